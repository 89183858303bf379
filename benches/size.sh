#!/usr/bin/env bash
# Stripped size of a C library that holds the core (no TLS, no tools): `benches/size.sh [TARGET_DIR]`.
#
# Builds a throwaway crate outside the tree that exports open, log, flush and close, so that the linker keeps all
# that they reach and drops the rest. Limit: 1.5 MiB.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
crate=$(mktemp -d)
trap 'rm -rf "$crate"' EXIT
mkdir "$crate/src"
cat > "$crate/Cargo.toml" <<TOML
[package]
name = "logdrive-size"
version = "0.0.0"
edition = "2024"

[lib]
crate-type = ["cdylib"]

[dependencies]
logdrive = { path = "$root", default-features = false }

[profile.release]
lto = "fat"
codegen-units = 1
strip = true

[workspace]
TOML
cp "$root/Cargo.lock" "$crate/"
cat > "$crate/src/lib.rs" <<'RUST'
use std::time::Duration;

use logdrive::Client;
use logdrive::Severity;

#[unsafe(no_mangle)]
pub extern "C" fn logdrive_size(number: u64) -> i32 {
    let Ok(client) = Client::open("receivers://localhost:9092/topic") else { return 1 };
    let attributes: [(&str, &[u8]); 1] = [("name", b"value")];
    let outcomes = [
        client.log(Severity::Info, "text"),
        client.log_with(Severity::Info, "text", &attributes),
        client.log_keyed(Severity::Info, "key", "text", &attributes),
        client.write(Severity::Info, format_args!("{number}")),
    ];
    let flushed = client.flush(Duration::from_secs(1)).is_ok();
    println!("{}", client.stats());
    let closed = client.close(Duration::from_secs(1)).is_ok();
    i32::from(!(flushed && closed && outcomes.iter().all(Result::is_ok)))
}
RUST
export CARGO_TARGET_DIR=${1:-${CARGO_TARGET_DIR:-$root/target}/size}
cargo build --quiet --release --manifest-path "$crate/Cargo.toml"
bytes=$(stat -c %s "$CARGO_TARGET_DIR/release/liblogdrive_size.so")
awk -v bytes="$bytes" 'BEGIN { printf "%d bytes stripped, %.2f MiB (limit 1.50)\n", bytes, bytes / 1048576 }'
test "$bytes" -le $((3 << 19))
