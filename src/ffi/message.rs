//! The last message of each thread, and of each handle.

use std::cell::UnsafeCell;
use std::ffi::c_char;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The size of a message with its NUL.
const MESSAGE: usize = 512;
/// What replaces the middle of a longer message.
const GAP: &str = " ... ";
/// The most bytes of a longer message that are kept from its start. More bytes are kept of its end, where the reason
/// usually is.
const HEAD: usize = 200;

/// A message with its NUL.
type Text = [u8; MESSAGE];

thread_local! {
    // It has no destructor, so it is usable in a thread that is ending and in a library that is being unloaded.
    static LAST_ERROR: UnsafeCell<Text> = const { UnsafeCell::new([0; MESSAGE]) };
}

/// This thread's last message.
pub(super) fn last_error() -> *const c_char {
    LAST_ERROR.try_with(|m| m.get().cast::<c_char>().cast_const()).unwrap_or(c"".as_ptr())
}

/// Keeps a message for [`last_error`].
pub(super) fn set_last_error(text: &str) {
    let _ = LAST_ERROR.try_with(|m| {
        // SAFETY: the cell belongs to this thread, no reference into it outlives this closure, and nothing in here
        // calls back. The header states that the string changes with the next failure.
        write(text, unsafe { &mut *m.get() });
    });
}

/// A message as a C string.
pub(super) fn c_text(text: &str) -> [u8; MESSAGE] {
    let mut buffer = [0; MESSAGE];
    write(text, &mut buffer);
    buffer
}

/// Writes a message. If it is too long, its middle is left out, between two characters. Control characters become
/// spaces, so that text from an input cannot control a terminal.
fn write(text: &str, buffer: &mut Text) {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let size = |c: char| clean(c).len_utf8();
    let mut end = 0;
    let mut put = |part: &str| {
        for c in part.chars() {
            end += clean(c).encode_utf8(&mut buffer[end..]).len();
        }
    };
    if text.chars().map(size).sum::<usize>() < MESSAGE {
        put(text);
    } else {
        let (mut head, mut room) = (0, HEAD);
        for c in text.chars().take_while(|c| fits(&mut room, size(*c))) {
            head += c.len_utf8();
        }
        let (mut tail, mut room) = (text.len(), MESSAGE - 1 - HEAD - GAP.len());
        for c in text.chars().rev().take_while(|c| fits(&mut room, size(*c))) {
            tail -= c.len_utf8();
        }
        put(&text[..head]);
        put(GAP);
        put(&text[tail..]);
    }
    buffer[end] = 0;
}

/// Takes `n` bytes of the room. Returns false, and takes nothing, if it has fewer.
fn fits(room: &mut usize, n: usize) -> bool {
    match room.checked_sub(n) {
        Some(left) => {
            *room = left;
            true
        }
        None => false,
    }
}

/// The last message of a handle. Any thread may read it while another thread stores one: a string that a reader has
/// does not change until the second message after it is stored.
pub(super) struct Shared {
    texts: [UnsafeCell<Text>; 2],
    /// The index of the last message.
    last: AtomicUsize,
    storing: AtomicBool,
}

// SAFETY: a thread writes to a text only while it has set `storing`, and only to the text that `last` does not name.
unsafe impl Sync for Shared {}

impl Shared {
    pub(super) const fn new() -> Self {
        let texts = [const { UnsafeCell::new([0; MESSAGE]) }; 2];
        Self { texts, last: AtomicUsize::new(0), storing: AtomicBool::new(false) }
    }

    /// The last message. The pointer is valid as long as `self`.
    pub(super) fn get(&self) -> *const c_char {
        self.texts[self.last.load(Ordering::Acquire)].get().cast::<c_char>().cast_const()
    }

    /// Stores this thread's last message. If another thread is storing one at the same time, it does nothing.
    pub(super) fn store_last_error(&self) {
        if self.storing.swap(true, Ordering::Acquire) {
            return;
        }
        let next = 1 - self.last.load(Ordering::Relaxed);
        let _ = LAST_ERROR.try_with(|m| {
            // SAFETY: the first cell belongs to this thread. Only this thread writes to the second cell, and the header
            // states how long a string from it is valid.
            unsafe { self.texts[next].get().copy_from_nonoverlapping(m.get(), 1) };
        });
        self.last.store(next, Ordering::Release);
        self.storing.store(false, Ordering::Release);
    }
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
    fn long_messages_lose_their_middle_between_two_characters() {
        set_last_error(&"ä".repeat(600));
        assert_eq!(message(), format!("{}{GAP}{}", "ä".repeat(100), "ä".repeat(153)));
        for n in [511, 512, 600, 100_000] {
            let text = format!("opening {}: not found\x07", "/some/path".repeat(n).split_at(n - 20).0);
            assert_eq!(text.len(), n);
            set_last_error(&text);
            let kept = message();
            assert_eq!(kept.len(), 511);
            assert!(kept.starts_with("opening /some/path") && kept.ends_with(": not found "), "{kept}");
            assert_eq!(kept.contains(GAP), n > 511);
        }
        // A message that fits after its control characters have become spaces.
        set_last_error(&"\u{9b}".repeat(511));
        assert_eq!(message(), " ".repeat(511));
        set_last_error("a\0b\x1b[2J\u{9b}c");
        assert_eq!(message(), "a b [2J c");
        set_last_error(&"x".repeat(511));
        assert_eq!(message().len(), 511);
    }

    #[test]
    fn a_handles_message_may_be_read_while_another_is_stored() {
        let shared = Shared::new();
        // SAFETY: NUL-terminated strings of `shared`, which lives.
        let read = |p: *const c_char| unsafe { CStr::from_ptr(p) }.to_str().unwrap().to_owned();
        assert_eq!(read(shared.get()), "");
        set_last_error("one");
        shared.store_last_error();
        let one = shared.get();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                set_last_error("two");
                shared.store_last_error();
            });
        });
        assert_eq!((read(one).as_str(), read(shared.get()).as_str()), ("one", "two"));
        assert_eq!(message(), "one", "each thread has its own as well");
    }
}
