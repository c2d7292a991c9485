//! Makes the C header.
fn main() {}
