//! How the library is linked: never unloaded, though a JVM unloads libraries with their class loaders.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Threads of the JVM hold thread-locals of ours: unloading would crash them when they end.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
