//! The last message of each thread.

use std::cell::UnsafeCell;
use std::ffi::c_char;

/// Room for the last message and its NUL.
const MESSAGE: usize = 512;

thread_local! {
    // No destructor, so that it serves a thread that is ending, and a library that is being unloaded.
    static LAST_ERROR: UnsafeCell<[u8; MESSAGE]> = const { UnsafeCell::new([0; MESSAGE]) };
}

/// This thread's last message.
pub(super) fn last_error() -> *const c_char {
    LAST_ERROR.try_with(|m| m.get().cast::<c_char>().cast_const()).unwrap_or(c"".as_ptr())
}

/// Keeps a message for [`last_error`], cut to what there is room for, at a character's end. What an input has put into it
/// cannot steer a terminal: control characters become spaces.
pub(super) fn set_last_error(text: &str) {
    let _ = LAST_ERROR.try_with(|m| {
        // SAFETY: the cell is this thread's own, no reference into it outlives this closure, and nothing in here calls
        // back; callers of gptz_last_error are told that the string changes with the next failure.
        let buffer = unsafe { &mut *m.get() };
        let mut end = 0;
        for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
            if end + c.len_utf8() >= MESSAGE {
                break;
            }
            end += c.encode_utf8(&mut buffer[end..]).len();
        }
        buffer[end] = 0;
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    fn message() -> String {
        // SAFETY: a NUL-terminated string of this thread that no call changes meanwhile.
        unsafe { CStr::from_ptr(last_error()) }.to_str().unwrap().to_owned()
    }

    #[test]
    fn long_messages_are_cut_at_a_character() {
        set_last_error(&"ä".repeat(600));
        assert_eq!(message().len(), 510);
        set_last_error("a\0b\x1b[2J\u{9b}c");
        assert_eq!(message(), "a b [2J c");
        set_last_error(&"x".repeat(511));
        assert_eq!(message().len(), 511);
    }
}
