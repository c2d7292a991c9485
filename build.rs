//! Makes `gptz.h` from the comments and signatures under src/ffi, in OUT_DIR. The committed copy is
//! include/gptz.h; a test compares the two, and `make header` renews it.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// In the order in which a reader meets them.
const NOUNS: [&str; 8] = ["status", "library", "handle", "compress", "records", "predict", "model", "snapshot"];

fn main() -> Result<()> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let mut config = cbindgen::Config::from_file(root.join("cbindgen.toml")).map_err(anyhow::Error::msg)?;
    let part = |name: &str| env::var(format!("CARGO_PKG_VERSION_{name}"));
    let (major, minor, patch) = (part("MAJOR")?, part("MINOR")?, part("PATCH")?);
    config.after_includes = Some(format!(
        "\n/** The version of this header. */\n\
         #define GPTZ_VERSION_MAJOR {major}\n\
         #define GPTZ_VERSION_MINOR {minor}\n\
         #define GPTZ_VERSION_PATCH {patch}\n\
         #define GPTZ_VERSION_STRING \"{major}.{minor}.{patch}\"\n\
         /** Compare with gptz_version_number(), which tells of the library that is running. */\n\
         #define GPTZ_VERSION_NUMBER (GPTZ_VERSION_MAJOR * 10000 + GPTZ_VERSION_MINOR * 100 + GPTZ_VERSION_PATCH)\n"
    ));
    let mut builder = cbindgen::Builder::new().with_config(config);
    for noun in NOUNS {
        let path = root.join(format!("src/ffi/{noun}.rs"));
        println!("cargo::rerun-if-changed={}", path.display());
        builder = builder.with_src(path);
    }
    println!("cargo::rerun-if-changed=cbindgen.toml");
    let header = PathBuf::from(env::var("OUT_DIR")?).join("gptz.h");
    builder.generate().context("reading src/ffi")?.write_to_file(header);
    Ok(())
}
