#!/bin/sh
# Builds liblogdrive_jni.so and puts it, stripped, where Maven packs it into the jar. Maven calls this;
# $1 is Maven's folder of classes.
set -eu
cd "$(dirname "$0")"
repository=$(cd ../.. && pwd)
locked=
if [ -n "${CI:-}" ]; then locked=--locked; fi
cargo build --manifest-path "$repository/Cargo.toml" --release --quiet $locked -p logdrive-java
folder=$1/META-INF/native/linux-$(uname -m)
mkdir -p "$folder"
strip -o "$folder/liblogdrive_jni.so" "${CARGO_TARGET_DIR:-$repository/target}/release/liblogdrive_jni.so"
