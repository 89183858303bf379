# Sourced by every check of this folder: strict mode, the repository as working directory, and in any
# case one closing line: `check NAME: passed`, `failed` or `skipped (reason)`. `.ci/run` counts them.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

check=$(basename "$0")
outcome=
locked=()
if [ -n "${CI:-}" ]; then locked=(--locked); fi
target_dir=${CARGO_TARGET_DIR:-$PWD/target}

finish() {
    local status=$?
    if [ -z "$outcome" ]; then
        if [ "$status" -eq 0 ]; then outcome=passed; else outcome=failed; fi
    fi
    echo "check $check: $outcome"
}
trap finish EXIT
# Who is told to end has not passed.
trap 'exit 143' TERM
trap 'exit 130' INT

# Ends the check without a verdict; the reason is printed.
skip() {
    outcome="skipped ($*)"
    exit 0
}

# Makes sure of a rustup component (with an optional +toolchain), where there is a network for it.
component() {
    local name=$1 toolchain=${2:-}
    cargo ${toolchain:+"+$toolchain"} "$name" --version >/dev/null 2>&1 && return
    local package=$name
    if [ "$name" = fmt ]; then package=rustfmt; fi
    rustup component add "$package" ${toolchain:+--toolchain "$toolchain"} >/dev/null 2>&1 ||
        skip "cargo $name is not installed and cannot be fetched"
}
