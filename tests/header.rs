//! Generates include/gptz.h from the comments and signatures under src/ffi and compares it with the committed file,
//! which builds use. `make header` renews the file.

use cbindgen::{Builder, Config};

/// The files under src/ffi that the header documents, in the order of the header.
const NOUNS: [&str; 19] = [
    "status",
    "library",
    "handle",
    "compress",
    "frame",
    "stream",
    "source",
    "reader",
    "salvage",
    "records",
    "predict",
    "learn",
    "model",
    "tokenize",
    "generator",
    "snapshot",
    "stats",
    "tensors",
    "tensor_writer",
];
const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const COMMITTED: &str = include_str!("../include/gptz.h");

fn version() -> [u32; 3] {
    let parts: Vec<u32> = env!("CARGO_PKG_VERSION").split('.').map(|n| n.parse().unwrap()).collect();
    parts.try_into().unwrap()
}

fn number() -> u32 {
    let [major, minor, patch] = version();
    major * 10_000 + minor * 100 + patch
}

fn generated() -> String {
    let mut config = Config::from_file(format!("{ROOT}/cbindgen.toml")).unwrap();
    let [major, minor, patch] = version();
    // The number is a literal, because some programs read the header without a preprocessor.
    config.after_includes = Some(format!(
        "\n/** The version of this header. */\n\
         #define GPTZ_VERSION_MAJOR {major}\n\
         #define GPTZ_VERSION_MINOR {minor}\n\
         #define GPTZ_VERSION_PATCH {patch}\n\
         #define GPTZ_VERSION_STRING \"{major}.{minor}.{patch}\"\n\
         /**\n \
         * major * 10000 + minor * 100 + patch. gptz_version_number() returns the same number of the library that is\n \
         * running.\n \
         */\n\
         #define GPTZ_VERSION_NUMBER {}\n",
        number()
    ));
    let mut builder = Builder::new().with_config(config);
    for noun in NOUNS {
        builder = builder.with_src(format!("{ROOT}/src/ffi/{noun}.rs"));
    }
    let mut header = Vec::new();
    builder.generate().unwrap().write(&mut header);
    // cbindgen adds comments that are not C89.
    let header = String::from_utf8(header).unwrap();
    header.replace("}  // extern \"C\"", "}  /* extern \"C\" */").replace("// __cplusplus", "/* __cplusplus */")
}

#[test]
fn the_committed_header_is_the_generated_one() {
    let generated = generated();
    let path = format!("{ROOT}/include/gptz.h");
    if std::env::var_os("GPTZ_RENEW_HEADER").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap();
    assert!(
        committed == generated,
        "include/gptz.h differs from what src/ffi generates: run `make header` and commit it"
    );
}

#[test]
fn the_version_macros_are_those_of_the_package() {
    for (name, value) in ["MAJOR", "MINOR", "PATCH", "NUMBER"].iter().zip(version().into_iter().chain([number()])) {
        assert!(COMMITTED.contains(&format!("#define GPTZ_VERSION_{name} {value}\n")), "{name}");
    }
    assert!(COMMITTED.contains(&format!("#define GPTZ_VERSION_STRING \"{}\"\n", env!("CARGO_PKG_VERSION"))));
    assert_eq!(gptz::ffi::gptz_version_number(), number());
}

/// Programs that read the header without a preprocessor (Python's cffi) understand only literals.
#[test]
fn every_macro_is_a_literal() {
    let mut macros = 0;
    for line in COMMITTED.lines().filter_map(|l| l.strip_prefix("#define ")) {
        if let Some((name, value)) = line.split_once(' ') {
            let text = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
            assert!(text.is_some_and(|t| !t.contains('"')) || value.parse::<i64>().is_ok(), "{name} is {value}");
            macros += 1;
        }
    }
    assert!(macros > 20, "{macros}");
}

#[test]
fn comments_are_c89() {
    for line in COMMITTED.lines().filter(|l| !l.trim_start().starts_with(['*', '/'])) {
        assert!(!line.contains("//"), "{line}");
    }
    assert!(!COMMITTED.lines().any(|l| l.trim_start().starts_with("//")));
}
