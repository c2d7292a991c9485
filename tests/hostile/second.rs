//! Another Rust library with a C ABI, which a program links together with gptz.

/// Returns `n`. If `n` is above 5, panics, catches the panic and returns -1.
#[unsafe(no_mangle)]
pub extern "C" fn second(n: i32) -> i32 {
    let texts: Vec<String> = (0..n).map(|i| i.to_string()).collect();
    std::panic::catch_unwind(|| {
        assert!(texts.len() <= 5, "the other library's own panic");
        texts.len() as i32
    })
    .unwrap_or(-1)
}
