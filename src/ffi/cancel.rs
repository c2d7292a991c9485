//! Disables cancellation of the calling thread (`pthread_cancel`) during a call. Opening a file is a cancellation
//! point, and a thread that ended there would unwind through `catch_unwind`, where Rust aborts the process.

/// Cancellation of this thread is disabled until this is dropped, which restores the caller's state.
pub(super) struct Disabled(os::State);

impl Disabled {
    pub(super) fn new() -> Self {
        Self(os::disable())
    }
}

impl Drop for Disabled {
    fn drop(&mut self) {
        os::restore(self.0);
    }
}

/// Disables cancellation again after code of the caller has run inside a call.
pub(super) fn disable() {
    os::disable();
}

#[cfg(target_os = "linux")]
mod os {
    use std::ffi::c_int;
    use std::ptr;

    pub(super) type State = c_int;

    /// The value in glibc and in musl.
    const PTHREAD_CANCEL_DISABLE: c_int = 1;

    // The libc crate does not declare it. It unwinds if it enables asynchronous cancellation of a thread that was
    // cancelled.
    unsafe extern "C-unwind" {
        fn pthread_setcancelstate(state: c_int, old: *mut c_int) -> c_int;
    }

    pub(super) fn disable() -> State {
        let mut old = PTHREAD_CANCEL_DISABLE;
        // SAFETY: a state that exists and a place for the old one. It cannot fail, and takes no lock.
        unsafe { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &raw mut old) };
        old
    }

    pub(super) fn restore(state: State) {
        // SAFETY: the state was returned by the function itself. NULL for the old state is allowed by glibc and musl.
        unsafe { pthread_setcancelstate(state, ptr::null_mut()) };
    }
}

#[cfg(not(target_os = "linux"))]
mod os {
    pub(super) type State = ();
    pub(super) fn disable() {}
    pub(super) fn restore((): ()) {}
}
