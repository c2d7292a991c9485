//! Method strings: whatever parses has a canonical form that parses to the same, and is as long as a frame may carry.
#![no_main]

use gptz::container::MAX_METHOD_LEN;
use gptz::method::{Base, Method};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // What is no prefix and no number is looked for among files: not what is tried here.
    let prefixed = ["cfg:", "gru:", "mix:", "level:", "builtin:"].iter().any(|prefix| text.starts_with(prefix));
    if !prefixed && !text.starts_with(|c: char| c.is_ascii_digit()) {
        return;
    }
    if let Ok(method) = Method::parse(text) {
        let canonical = method.canonical();
        assert!(canonical.len() <= MAX_METHOD_LEN);
        for network in &method.networks {
            match &network.base {
                Base::Config { config, .. } => config.check().expect("a config that was parsed"),
                Base::Gru { config, .. } => config.check().expect("a config that was parsed"),
                Base::Builtin(_) | Base::File(_) => {}
            }
        }
        // A file's path is no part of a canonical form.
        if !method.networks.iter().any(|network| matches!(network.base, Base::File(_))) {
            let again = Method::parse(&canonical).expect("a canonical form");
            assert_eq!(again.canonical(), canonical);
            assert_eq!(again, method);
        }
    }
    let _ = Method::of_model(text);
});
