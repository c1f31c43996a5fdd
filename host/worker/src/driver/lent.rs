//! Reads what a plugin lends for a call: all is copied and checked.

use std::borrow::Cow;
use std::ffi::{CStr, c_char};

use spared_abi as abi;

/// Longest text of a plugin; longer ones are cut.
const TEXT_MAX: usize = 64 * 1024;

/// # Safety
/// Unless NULL, `text.ptr` leads to `text.len` bytes that live while the result does.
pub unsafe fn text<'a>(text: abi::Str) -> Cow<'a, str> {
    // SAFETY: the caller's promise; fewer bytes than promised are read.
    let bytes = unsafe { slice(text.ptr.cast::<u8>(), text.len.min(TEXT_MAX)) };
    String::from_utf8_lossy(bytes)
}

/// A C string; empty if it is NULL or not UTF-8.
///
/// # Safety
/// `text` is NULL or NUL-terminated, and lives while the result does.
pub unsafe fn c_text<'a>(text: *const c_char) -> &'a str {
    if text.is_null() {
        return "";
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_str().unwrap_or_default()
}

/// Checks flags of a plugin. Unknown low bits are ignored; none of the high bits is known yet.
///
/// # Errors
/// A high bit is set, which must be understood.
pub fn check_flags(of: &str, flags: u32) -> Result<(), String> {
    match flags & abi::FLAGS_REQUIRED {
        0 => Ok(()),
        unknown => Err(format!(
            "{of} has the flags {unknown:#x}, which this spared does not know: update spared"
        )),
    }
}

/// # Safety
/// Unless NULL, `first` leads to `length` elements that live while the result does.
pub unsafe fn slice<'a, T>(first: *const T, length: usize) -> &'a [T] {
    if first.is_null() || length == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(first, length) }
}

/// Copies of the sized structs of an array, each as long as its size field says. None if one says
/// less than `least` bytes: with a size of 0 the walk would not end.
///
/// # Safety
/// Unless NULL, `first` leads to `count` structs of the sizes that they say; `T` is `repr(C)`,
/// starts with its `u32` size, and all its fields may be zero.
pub unsafe fn sized_array<T>(first: *const T, count: u32, least: usize) -> Option<Vec<T>> {
    if first.is_null() {
        return (count == 0).then(Vec::new);
    }
    let mut next = first.cast::<u8>();
    let mut copies = Vec::new();
    for _ in 0..count {
        // SAFETY: the caller's promise: one more element is here, and starts with its size.
        unsafe {
            let size = next.cast::<u32>().read_unaligned();
            if (size as usize) < least {
                return None;
            }
            copies.push(crate::loader::copy_sized(next.cast(), size));
            next = next.add(size as usize);
        }
    }
    Some(copies)
}
