//! How the shared library is linked: with a soname of its ABI, and never unloaded.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // As cargo-c names it: before 1.0 each minor version may break the ABI.
    let part = |name| std::env::var(name).expect("cargo sets the version");
    let (major, minor) = (part("CARGO_PKG_VERSION_MAJOR"), part("CARGO_PKG_VERSION_MINOR"));
    let version = if major == "0" { format!("0.{minor}") } else { major };
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,liblogdrive.so.{version}");
    // Threads of the host hold thread-locals of ours: unloading would crash them when they end.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
