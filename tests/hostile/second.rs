//! Another Rust library with a C ABI, such as any program may have beside gptz.

/// The number, or -1 after a panic of its own, which a number above 5 gets.
#[unsafe(no_mangle)]
pub extern "C" fn second(n: i32) -> i32 {
    let texts: Vec<String> = (0..n).map(|i| i.to_string()).collect();
    std::panic::catch_unwind(|| {
        assert!(texts.len() <= 5, "the other library's own panic");
        texts.len() as i32
    })
    .unwrap_or(-1)
}
