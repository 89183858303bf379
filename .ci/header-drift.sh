#!/usr/bin/env bash
# include/logdrive.h is what the pinned cbindgen makes of bindings/c. `--write` rewrites it.
. "$(dirname "$0")/common.sh"

# Other releases write other text, so exactly this one.
version=0.29.4
tool=${CBINDGEN:-cbindgen}
found() { [ "$("$tool" --version 2>/dev/null)" = "cbindgen $version" ]; }
if ! found; then
    tool=$target_dir/tools/bin/cbindgen
    found || cargo install cbindgen --version "$version" --locked --root "$target_dir/tools" ||
        skip "cbindgen $version is not installed and cannot be fetched"
fi

header=$(mktemp)
"$tool" --quiet --config bindings/c/cbindgen.toml --output "$header" bindings/c
# Rust's word for what the caller has to keep.
sed -i 's/^\( \+\*\) # Safety$/\1 Required:/' "$header"
if [ "${1:-}" = --write ]; then
    install -m 644 "$header" include/logdrive.h
fi
diff -u include/logdrive.h "$header"
rm -f "$header"
