#!/bin/sh
# Installs the foreign producers under target/peers, once; later calls need no network.
#
# Usage: setup.sh python|node. Exits with 0 when they are ready, with 75 (EX_TEMPFAIL) and a reason on
# stderr when an interpreter is missing or the registry is out of reach.
set -u

root=$(cd "$(dirname "$0")/../.." && pwd)/target/peers
mkdir -p "$root"
exec 9> "$root/lock"
# Two tests may come here at once; the second finds the first one's work.
command -v flock > /dev/null && flock 9

out_of_reach() {
    echo "$1" >&2
    exit 75
}

case ${1-} in
python)
    python=$root/python/bin/python
    installed='import confluent_kafka, kafka, lz4, snappy, zstandard'
    "$python" -c "$installed" 2> /dev/null && exit 0
    command -v python3 > /dev/null || out_of_reach "python3 is not installed"
    python3 -m venv "$root/python" || out_of_reach "python3 has no venv module"
    # lz4, python-snappy and zstandard are what kafka-python compresses with.
    timeout 300 "$python" -m pip install --quiet --disable-pip-version-check \
        confluent-kafka==2.16.1 kafka-python==3.0.12 lz4==4.4.5 python-snappy==0.7.3 \
        zstandard==0.25.0 >&2 || out_of_reach "PyPI is out of reach"
    "$python" -c "$installed" || out_of_reach "the Python clients do not load"
    ;;
node)
    [ -d "$root/node/node_modules/kafkajs" ] && exit 0
    command -v npm > /dev/null || out_of_reach "npm is not installed"
    mkdir -p "$root/node"
    timeout 300 npm install --silent --no-audit --no-fund --prefix "$root/node" kafkajs@2.2.4 >&2 \
        || out_of_reach "the npm registry is out of reach"
    ;;
*)
    echo "usage: setup.sh python|node" >&2
    exit 2
    ;;
esac
