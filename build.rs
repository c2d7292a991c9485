//! What cargo's own build of the shared library needs beside its sources. (`make` links one of its own.)

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Its thread-local data and panic hook would stay behind if it were unloaded.
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
