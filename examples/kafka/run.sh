#!/usr/bin/env bash
# A cluster of three Apache Kafka brokers on loopback: logs into it, kills a broker meanwhile, reads everything back.
#
#   examples/kafka/run.sh [RECORDS]
#
# Needs java, mvn and python3; installs the brokers under target/peers (or $PEERS_DIR), once. Builds logdrive unless
# $LOGDRIVE names the binary.
set -euo pipefail

cd "$(dirname "$0")/../.."
records=${1:-200000}
peers=${PEERS_DIR:-target/peers}
for peer in python kafka-4; do tests/peers/setup.sh "$peer"; done
logdrive=${LOGDRIVE:-}
if [ -z "$logdrive" ]; then
    cargo build --release --features cli --bin logdrive
    logdrive=${CARGO_TARGET_DIR:-target}/release/logdrive
fi
dir=$(mktemp -d)

coproc cluster { exec "$peers/python/bin/python" tests/peers/kafka_cluster.py "$peers/kafka-4/libs" 3; }
cluster_pid=$cluster_PID
# It ends its brokers before itself.
trap 'kill "$cluster_pid" || true; wait "$cluster_pid" || true; rm -rf "$dir"' EXIT
exec {commands}>&"${cluster[1]}" {answers}<&"${cluster[0]}"
tell() {
    echo "$1" >&"$commands"
    read -r answer <&"$answers"
    [ "${answer%% *}" = ok ] || { echo "$1: $answer" >&2; exit 1; }
}

echo "starting three brokers"
read -r _ready bootstrap <&"$answers"
tell "create app-logs 6 3"
url="kafka://$bootstrap/app-logs"

echo "logging $records records to $url; broker 2 is killed meanwhile"
seq 1 "$records" | sed 's/^/record /' > "$dir/lines"
"$logdrive" ship --to "$url" --spool "$dir/spool" --set batch.bytes=16KiB --deadline 2m "$dir/lines" &
ship=$!
tell "kill 2"
tell "start 2"
wait "$ship"

"$peers/python/bin/python" tests/peers/consume.py "$bootstrap" app-logs | cut -f 4 > "$dir/arrived"
echo "arrived: $(wc -l < "$dir/arrived"), of them different: $(sort -u "$dir/arrived" | wc -l)"
[ "$(sort -u "$dir/arrived" | wc -l)" = "$records" ] && [ "$(wc -l < "$dir/arrived")" = "$records" ]
echo "missing 0, duplicated 0"
