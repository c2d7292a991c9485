//! Linker options for cargo's build of the shared library. (`make` links its own shared library without them.)

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // The library must not be unloaded, because its thread-local data and panic hook would remain.
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
