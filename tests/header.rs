//! The committed C header is the one that the sources make. `make header` renews it.

#[test]
fn the_committed_header_is_the_generated_one() {
    let generated = include_str!(concat!(env!("OUT_DIR"), "/gptz.h"));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/include/gptz.h");
    if std::env::var_os("GPTZ_RENEW_HEADER").is_some() {
        std::fs::write(path, generated).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap();
    assert!(committed == generated, "include/gptz.h is not what src/ffi makes: run `make header` and commit it");
}

#[test]
fn the_version_macros_are_those_of_the_package() {
    let header = include_str!("../include/gptz.h");
    let parts: Vec<&str> = env!("CARGO_PKG_VERSION").split('.').collect();
    for (name, value) in ["MAJOR", "MINOR", "PATCH"].iter().zip(parts) {
        assert!(header.contains(&format!("#define GPTZ_VERSION_{name} {value}\n")), "{name}");
    }
    assert!(header.contains(&format!("#define GPTZ_VERSION_STRING \"{}\"\n", env!("CARGO_PKG_VERSION"))));
}
