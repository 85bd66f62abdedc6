//! What Rust's standard library takes from the C library even in an action that touches neither files nor the
//! environment: a panic looks for `RUST_BACKTRACE` and prints to standard error. The C library imports the
//! environment, the standard streams, terminals and polling for that. The linker takes these functions instead, so
//! that an action that asks for nothing imports nothing of the kind.
#![allow(unsafe_code, reason = "functions of a C library")]

use std::ffi::{c_char, c_int, c_void};

use crate::__private::capstan::host::step;
use crate::__private::capstan::host::types::OutputStream;

/// What a write to a file fails with that is not asked for.
pub(crate) const BAD_DESCRIPTOR: c_int = 8;

unsafe extern "C" {
    safe fn __errno_location() -> *mut c_int;
}

/// A step has no environment of its own, only one for its programs.
#[unsafe(no_mangle)]
extern "C" fn getenv(_: *const c_char) -> *mut c_char {
    std::ptr::null_mut()
}

/// What takes the place of the C library's `write` in an action that requests no files: standard output and error go
/// to the step's output, and there is nothing else.
///
/// # Safety
/// `data` points to `length` bytes.
pub unsafe fn write(descriptor: c_int, data: *const c_void, length: usize) -> isize {
    let to = match descriptor {
        1 => OutputStream::Stdout,
        2 => OutputStream::Stderr,
        _ => {
            // SAFETY: the C library gives the place of this thread's error number.
            unsafe { *__errno_location() = BAD_DESCRIPTOR };
            return -1;
        }
    };
    if length > 0 {
        // SAFETY: the caller gives as many bytes as it says.
        step::write(to, unsafe {
            std::slice::from_raw_parts(data.cast(), length)
        });
    }
    length as isize
}
