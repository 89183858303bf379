#!/bin/sh
# Installs the peers that tests talk to under target/peers (or $PEERS_DIR), once; later calls need no
# network.
#
# Usage: setup.sh python|node|kafka-3.9|kafka-4|kfake|haproxy|network|c|java|faketime. Exits with 0 when they are ready, with 75 (EX_TEMPFAIL) and a reason on
# stderr when an interpreter is missing or the registry is out of reach.
set -u

here=$(cd "$(dirname "$0")" && pwd)
root=${PEERS_DIR:-$here/../../target/peers}
mkdir -p "$root" && root=$(cd "$root" && pwd)
exec 9> "$root/lock"
# Two tests may come here at once; the second finds the first one's work.
command -v flock > /dev/null && flock 9

out_of_reach() {
    echo "$1" >&2
    exit 75
}

# Apache Kafka's own artifacts, with all that a broker needs; $2 is the release.
install_kafka() {
    libs=$root/$1/libs
    [ -f "$libs/.complete-$2" ] && return
    for tool in java mvn; do
        command -v $tool > /dev/null || out_of_reach "$tool is not installed"
    done
    rm -rf "$libs" && mkdir -p "$libs"
    cat > "$root/$1/pom.xml" << POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>io.logdrive.tests</groupId><artifactId>$1</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$2</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>$2</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
POM
    (cd "$root/$1" && timeout 600 mvn --quiet --batch-mode dependency:copy-dependencies \
        -DoutputDirectory="$libs") >&2 || out_of_reach "Maven Central is out of reach"
    touch "$libs/.complete-$2"
}

case ${1-} in
python)
    python=$root/python/bin/python
    installed='import confluent_kafka, dnslib, kafka, kazoo, lz4, snappy, zstandard'
    "$python" -c "$installed" 2> /dev/null && exit 0
    command -v python3 > /dev/null || out_of_reach "python3 is not installed"
    python3 -m venv "$root/python" || out_of_reach "python3 has no venv module"
    # lz4, python-snappy and zstandard are what kafka-python compresses with; dnslib is a name server, kazoo a
    # client of ZooKeeper.
    timeout 300 "$python" -m pip install --quiet --disable-pip-version-check \
        confluent-kafka==2.16.1 kafka-python==3.0.12 lz4==4.4.5 python-snappy==0.7.3 \
        zstandard==0.25.0 dnslib==0.9.26 kazoo==2.10.0 >&2 || out_of_reach "PyPI is out of reach"
    "$python" -c "$installed" || out_of_reach "the Python clients do not load"
    ;;
node)
    [ -d "$root/node/node_modules/kafkajs" ] && exit 0
    command -v npm > /dev/null || out_of_reach "npm is not installed"
    mkdir -p "$root/node"
    timeout 300 npm install --silent --no-audit --no-fund --prefix "$root/node" kafkajs@2.2.4 >&2 \
        || out_of_reach "the npm registry is out of reach"
    ;;
kafka-3.9)
    install_kafka kafka-3.9 3.9.1
    ;;
kafka-4)
    install_kafka kafka-4 4.1.0
    ;;
haproxy)
    command -v haproxy > /dev/null && exit 0
    timeout 300 apt-get install --quiet --yes haproxy >&2 || out_of_reach "haproxy cannot be installed by apt-get"
    ;;
network)
    for tool in ip nft ss; do
        command -v $tool > /dev/null && continue
        timeout 300 apt-get install --quiet --yes iproute2 nftables >&2 \
            || out_of_reach "$tool cannot be installed by apt-get"
    done
    ;;
kfake)
    # Built anew when its source here changed.
    [ "$root/kfake/kfake" -nt "$here/kfake/main.go" ] && [ "$root/kfake/kfake" -nt "$here/kfake/go.mod" ] \
        && exit 0
    command -v go > /dev/null || out_of_reach "go is not installed"
    mkdir -p "$root/kfake"
    (cd "$here/kfake" && timeout 600 env GOPATH="$root/go" GOFLAGS=-modcacherw GOTOOLCHAIN=local \
        go build -o "$root/kfake/kfake" .) >&2 || out_of_reach "the Go module proxy is out of reach"
    ;;
c)
    # HTTP servers for the examples, {fmt}, and the first compiler of Debian 12 with <format>.
    packages='libmicrohttpd-dev libcpp-httplib-dev libfmt-dev clang clang-19 libc++-19-dev libc++abi-19-dev
        pkg-config cmake valgrind'
    dpkg -s $packages > /dev/null 2>&1 && exit 0
    command -v apt-get > /dev/null || out_of_reach "no apt-get: install by hand: $packages"
    [ "$(id -u)" = 0 ] || out_of_reach "not root: apt-get install" $packages
    { apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages; } \
        > "$root/c.log" 2>&1 || out_of_reach "the Debian mirror is out of reach: see $root/c.log"
    ;;
java)
    command -v javac > /dev/null && command -v mvn > /dev/null && exit 0
    command -v apt-get > /dev/null || out_of_reach "no JDK or no Maven, and no apt-get to install them"
    { apt-get update -qq && apt-get install -qq -y openjdk-17-jdk-headless maven; } >&2 \
        || out_of_reach "the package archive is out of reach"
    ;;
faketime)
    # For the fault suite's clock jumps; a library that is preloaded.
    ls /usr/lib/*/faketime/libfaketimeMT.so.1 > /dev/null 2>&1 && exit 0
    command -v apt-get > /dev/null || out_of_reach "libfaketime is not installed, and there is no apt-get"
    (timeout 120 apt-get -q update && timeout 120 apt-get -q install -y libfaketime) >&2 \
        || out_of_reach "libfaketime cannot be installed"
    ;;
*)
    echo "usage: setup.sh python|node|kafka-3.9|kafka-4|kfake|haproxy|network|c|java|faketime" >&2
    exit 2
    ;;
esac
