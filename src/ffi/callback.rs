//! Calls the caller's callbacks, which may end its thread (`pthread_exit`) or throw a C++ exception.
//!
//! With glibc both unwind the stack. They must not unwind through the frames of a call, because Rust aborts the process
//! when a foreign exception reaches `catch_unwind`. So [`run`] stops the unwinding in the frame that calls the callback
//! and stores the exception object. The call then ends as if it had been cancelled. After its last `catch_unwind`,
//! [`resume_unwinding`] continues the unwinding, as C++ does after a `catch` that rethrows.

use std::cell::Cell;
use std::ffi::{c_char, c_int, c_void};
use std::ptr;

/// A progress callback that is not NULL.
pub(super) type Progress = unsafe extern "C" fn(userdata: *mut c_void, done: u64, total: u64) -> c_int;
/// A source's callback that is not NULL.
pub(super) type Read = unsafe extern "C" fn(opaque: *mut c_void, offset: u64, dst: *mut c_void, len: usize) -> i64;
/// A callback for salvaged content that is not NULL.
pub(super) type Write =
    unsafe extern "C" fn(userdata: *mut c_void, offset: u64, data: *const c_void, len: usize) -> c_int;
/// A callback for what is lost that is not NULL.
pub(super) type Lost = unsafe extern "C" fn(userdata: *mut c_void, offset: u64, len: u64, why: *const c_char) -> c_int;

/// A callback for tokens that is not NULL.
pub(super) type Token =
    unsafe extern "C-unwind" fn(userdata: *mut c_void, token: u32, bytes: *const c_char, len: usize) -> c_int;

/// A call of a callback with its arguments.
#[derive(Clone, Copy)]
pub(super) enum Call {
    Progress(Progress, *mut c_void, u64, u64),
    Read(Read, *mut c_void, u64, *mut c_void, usize),
    Write(Write, *mut c_void, u64, *const c_void, usize),
    Lost(Lost, *mut c_void, u64, u64, *const c_char),
    Token(Token, *mut c_void, u32, *const c_char, usize),
}

thread_local! {
    // It has no destructor, so it is usable in a thread that is ending.
    /// The exception that unwound out of the callback of the innermost call.
    static EXCEPTION: Cell<*mut c_void> = const { Cell::new(ptr::null_mut()) };
}

/// Calls a callback. Returns its result, or `None` if it unwound: then the call must end without any other callback.
///
/// # Safety
/// As the callback asks.
pub(super) unsafe fn run(call: Call) -> Option<i64> {
    let mut exception = ptr::null_mut();
    // SAFETY: the caller's promise, and a place for the exception.
    let result = unsafe { unwind::call(call, &raw mut exception) };
    if exception.is_null() {
        return Some(result);
    }
    EXCEPTION.with(|e| e.set(exception));
    None
}

/// Continues the unwinding that [`run`] stopped, if it did. No `catch_unwind` of this call may be on the stack.
pub(super) fn resume_unwinding() {
    let exception = EXCEPTION.with(|e| e.replace(ptr::null_mut()));
    if !exception.is_null() {
        unwind::resume(exception);
    }
}

#[cfg(all(
    target_os = "linux",
    target_env = "gnu",
    target_pointer_width = "64",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod unwind {
    use std::arch::naked_asm;
    use std::ffi::{c_int, c_void};

    use super::Call;

    // The unwinder, which Rust's standard library links.
    unsafe extern "C-unwind" {
        fn _Unwind_Resume_or_Rethrow(exception: *mut c_void) -> c_int;
    }
    unsafe extern "C" {
        fn _Unwind_GetLanguageSpecificData(context: *mut c_void) -> usize;
        fn _Unwind_SetGR(context: *mut c_void, register: c_int, value: usize);
        fn _Unwind_SetIP(context: *mut c_void, address: usize);
    }

    pub(super) fn resume(exception: *mut c_void) {
        // SAFETY: an exception that `call` stopped, and that nothing has freed. The function returns only if no frame
        // above handles the exception. In that case C++ ends the process too.
        unsafe { _Unwind_Resume_or_Rethrow(exception) };
        std::process::abort();
    }

    /// Calls a callback and returns its result. If it unwinds, the unwinding ends here, and `*exception` is the exception.
    pub(super) unsafe fn call(call: Call, exception: *mut *mut c_void) -> i64 {
        // Every argument is one register of 64 bits. A callback with three ignores the fourth.
        let (function, [a, b, c, d], is_int) = match call {
            Call::Progress(f, userdata, done, total) => {
                (f as *const (), [userdata.expose_provenance() as u64, done, total, 0], true)
            }
            Call::Read(f, opaque, offset, dst, len) => (
                f as *const (),
                [opaque.expose_provenance() as u64, offset, dst.expose_provenance() as u64, len as u64],
                false,
            ),
            Call::Write(f, userdata, offset, data, len) => (
                f as *const (),
                [userdata.expose_provenance() as u64, offset, data.expose_provenance() as u64, len as u64],
                true,
            ),
            Call::Lost(f, userdata, offset, len, why) => (
                f as *const (),
                [userdata.expose_provenance() as u64, offset, len, why.expose_provenance() as u64],
                true,
            ),
            Call::Token(f, userdata, token, bytes, len) => {
                let bytes = bytes.expose_provenance() as u64;
                (f as *const (), [userdata.expose_provenance() as u64, token.into(), bytes, len as u64], true)
            }
        };
        // SAFETY: the function takes these arguments, and the caller's promise.
        let result = unsafe { call_registers(function, a, b, c, d, exception) };
        // The upper half of the register is undefined where the result is an int.
        if is_int { i64::from(result as c_int) } else { result }
    }

    /// Calls a function with four registers of arguments, as [`call`] asks.
    ///
    /// The frame has its own personality routine. Its language-specific data is the address at which execution
    /// continues after an unwind.
    #[cfg(target_arch = "x86_64")]
    #[unsafe(naked)]
    unsafe extern "C" fn call_registers(
        function: *const (),
        a: u64,
        b: u64,
        c: u64,
        d: u64,
        exception: *mut *mut c_void,
    ) -> i64 {
        naked_asm!(
            ".cfi_startproc",
            ".cfi_personality 0x9b, .Lgptz_callback_personality", // indirect, relative, four bytes
            ".cfi_lsda 0x1b, .Lgptz_callback_unwound",            // relative, four bytes
            "push rbx",
            ".cfi_adjust_cfa_offset 8",
            ".cfi_rel_offset rbx, 0",
            "mov rbx, r9",
            "mov rax, rdi",
            "mov rdi, rsi",
            "mov rsi, rdx",
            "mov rdx, rcx",
            "mov rcx, r8",
            "call rax",
            ".Lgptz_callback_return:",
            "pop rbx",
            ".cfi_remember_state",
            ".cfi_adjust_cfa_offset -8",
            ".cfi_restore rbx",
            "ret",
            ".cfi_restore_state",
            ".Lgptz_callback_unwound:",
            "mov [rbx], rax",
            "jmp .Lgptz_callback_return",
            ".cfi_endproc",
            ".pushsection .data.rel.ro.gptz_callback, \"aw\"",
            ".p2align 3",
            ".Lgptz_callback_personality:",
            ".quad {personality}",
            ".popsection",
            personality = sym personality,
        )
    }

    /// The same as the function for x86-64.
    #[cfg(target_arch = "aarch64")]
    #[unsafe(naked)]
    unsafe extern "C" fn call_registers(
        function: *const (),
        a: u64,
        b: u64,
        c: u64,
        d: u64,
        exception: *mut *mut c_void,
    ) -> i64 {
        naked_asm!(
            ".cfi_startproc",
            ".cfi_personality 0x9b, .Lgptz_callback_personality",
            ".cfi_lsda 0x1b, .Lgptz_callback_unwound",
            "stp x29, x30, [sp, #-32]!",
            ".cfi_def_cfa_offset 32",
            ".cfi_offset x29, -32",
            ".cfi_offset x30, -24",
            "str x19, [sp, #16]",
            ".cfi_offset x19, -16",
            "mov x29, sp",
            "mov x19, x5",
            "mov x9, x0",
            "mov x0, x1",
            "mov x1, x2",
            "mov x2, x3",
            "mov x3, x4",
            "blr x9",
            ".Lgptz_callback_return:",
            "ldr x19, [sp, #16]",
            "ldp x29, x30, [sp], #32",
            ".cfi_remember_state",
            ".cfi_def_cfa_offset 0",
            ".cfi_restore x29",
            ".cfi_restore x30",
            ".cfi_restore x19",
            "ret",
            ".cfi_restore_state",
            ".Lgptz_callback_unwound:",
            "hint #36", // bti j
            "str x0, [x19]",
            "b .Lgptz_callback_return",
            ".cfi_endproc",
            ".pushsection .data.rel.ro.gptz_callback, \"aw\"",
            ".p2align 3",
            ".Lgptz_callback_personality:",
            ".xword {personality}",
            ".popsection",
            personality = sym personality,
        )
    }

    /// The personality routine of [`call_registers`]'s frame: every exception ends there.
    unsafe extern "C" fn personality(
        version: c_int,
        actions: c_int,
        _class: u64,
        exception: *mut c_void,
        context: *mut c_void,
    ) -> c_int {
        const SEARCH_PHASE: c_int = 1;
        const FATAL_PHASE1_ERROR: c_int = 3;
        const HANDLER_FOUND: c_int = 6;
        const INSTALL_CONTEXT: c_int = 7;
        if version != 1 {
            return FATAL_PHASE1_ERROR;
        }
        if actions & SEARCH_PHASE != 0 {
            return HANDLER_FOUND;
        }
        // SAFETY: the context that the unwinder passed. Register 0 is rax or x0, which both ABIs allow a landing pad to
        // receive.
        unsafe {
            _Unwind_SetGR(context, 0, exception as usize);
            _Unwind_SetIP(context, _Unwind_GetLanguageSpecificData(context));
        }
        INSTALL_CONTEXT
    }
}

#[cfg(not(all(
    target_os = "linux",
    target_env = "gnu",
    target_pointer_width = "64",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
mod unwind {
    use std::ffi::c_void;

    use super::Call;

    pub(super) unsafe fn call(call: Call, _exception: *mut *mut c_void) -> i64 {
        // SAFETY: the caller's promise. The header forbids callbacks to unwind here.
        unsafe {
            match call {
                Call::Progress(f, userdata, done, total) => f(userdata, done, total).into(),
                Call::Read(f, opaque, offset, dst, len) => f(opaque, offset, dst, len),
                Call::Write(f, userdata, offset, data, len) => f(userdata, offset, data, len).into(),
                Call::Lost(f, userdata, offset, len, why) => f(userdata, offset, len, why).into(),
                Call::Token(f, userdata, token, bytes, len) => f(userdata, token, bytes, len).into(),
            }
        }
    }

    pub(super) fn resume(_exception: *mut c_void) {}
}
