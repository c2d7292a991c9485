//! Method strings: if a string parses, its canonical form is short enough for a frame and parses to the same method.
#![no_main]

use gptz::container::MAX_CANONICAL_LEN;
use gptz::method::{Base, Method};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // Other strings are taken as paths and looked up in the file system, which is not the subject of this target.
    let prefixed = ["cfg:", "gru:", "mix:", "level:", "builtin:"].iter().any(|prefix| text.starts_with(prefix));
    if !prefixed && !text.starts_with(|c: char| c.is_ascii_digit()) {
        return;
    }
    if let Ok(method) = Method::parse(text) {
        let canonical = method.canonical();
        assert!(canonical.len() <= MAX_CANONICAL_LEN);
        for network in &method.networks {
            match &network.base {
                Base::Config { config, .. } => config.check().expect("a config that was parsed"),
                Base::Gru { config, .. } => config.check().expect("a config that was parsed"),
                Base::Builtin(_) | Base::File(_) => {}
            }
        }
        // The canonical form has no path, so it does not parse as a method.
        if !method.networks.iter().any(|network| matches!(network.base, Base::File(_))) {
            let again = Method::parse(&canonical).expect("a canonical form");
            assert_eq!(again.canonical(), canonical);
            assert_eq!(again, method);
        }
    }
    let _ = Method::of_model(text);
});
