#!/usr/bin/env bash
# The figures of docs/performance.md for Java: calls by JMH, then the distribution of calls under a steady load.
#
#   bindings/java/bench.sh [--short]      JAVA_HOME says which JDK; --short only shows that it works.
set -euo pipefail
cd "$(dirname "$0")"
repository=$(cd ../.. && pwd)
target=${CARGO_TARGET_DIR:-$repository/target}
java=${JAVA_HOME:+$JAVA_HOME/bin/}java
seconds=20 rates=(20000 100000) options=()
# One core is left for what sends and what receives: threads that take turns on a core measure each other's bursts.
threads=$(($(nproc) > 1 ? $(nproc) - 1 : 1))
if [ "${1:-}" = --short ]; then
    seconds=3 rates=(20000) options=(-wi 10 -i 11)
fi
# JDK 24 warns of native code that it was not told of, 17 warns of the option.
native=
if [ "$("$java" -version 2>&1 | grep -oE '[0-9]+' | head -1)" -ge 24 ]; then
    native=--enable-native-access=ALL-UNNAMED
fi

cargo build --manifest-path "$repository/Cargo.toml" --release --quiet --features cli --bin logdrive
mvn -B -q -DskipTests install
mvn -B -q -f bench/pom.xml package
classpath="bench/target/classes:bench/target/libs/*"
dir=$(mktemp -d /dev/shm/logdrive-bench-XXXXXX)
receiver=
finish() {
    if [ -n "$receiver" ]; then kill "$receiver" && wait "$receiver" || true; fi
    rm -rf "$dir"
}
trap finish EXIT

"$java" -version 2>&1 | head -1
"$java" -cp "$classpath" org.openjdk.jmh.Main -jvmArgsPrepend "-Dbench.dir=$dir/jmh $native" \
    "${options[@]}" -rf json -rff "$dir/jmh.json" 'io.logdrive.bench.*' >"$dir/jmh.log" ||
    { cat "$dir/jmh.log"; exit 1; }
python3 - "$dir/jmh.json" <<'PYTHON'
import json, sys
median = {}
print(f"{'call of 200 B, medians of bursts':40} {'p50':>8} {'p99':>8}  ns")
for run in json.load(open(sys.argv[1])):
    name = run["benchmark"].split(".", 3)[3]
    figures = run["primaryMetric"]["scorePercentiles"]
    median[name] = figures["50.0"]
    print(f"{name:40} {figures['50.0']:8.1f} {figures['99.0']:8.1f}")
rival = median["Log4jAsyncFileCalls.log4jAsyncFile"]
print(f"direct, limit 50 ns: {median['DirectCalls.bytes']:.1f}")
for name in "logback", "log4j":
    print(f"{name} appender / Log4j's async file call, limit 1.3: {median['AppenderCalls.' + name] / rival:.2f}")
PYTHON

"$target/release/logdrive" receive --listen 127.0.0.1:0 --dir "$dir/received" >"$dir/listening" &
receiver=$!
until grep -q '^listening on ' "$dir/listening"; do sleep 0.1; done
address=$(sed -n 's/^listening on //p' "$dir/listening")
for rate in "${rates[@]}"; do
    for side in logdrive logstash nothing; do
        url=()
        if [ $side = logdrive ]; then url=("receivers://$address/bench?ring.dir=$dir/ring&spool.dir=$dir/spool"); fi
        "$java" $native -Xmx512m -cp "$classpath" io.logdrive.bench.Latency $side "${url[@]}" "$rate" "$threads" "$seconds"
    done
done
