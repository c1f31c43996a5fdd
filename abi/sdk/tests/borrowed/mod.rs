//! What a plugin lends to its host for a call, copied as a host has to.

use std::ffi::{CStr, c_char};

use spared_sdk::abi;

pub fn text(text: abi::Str) -> String {
    if text.len == 0 {
        return String::new();
    }
    // SAFETY: a text that the SDK lends.
    let bytes = unsafe { std::slice::from_raw_parts(text.ptr.cast(), text.len) };
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub fn c_text(text: *const c_char) -> String {
    // SAFETY: a name that the SDK lends, or a constant of the descriptor.
    unsafe { CStr::from_ptr(text) }.to_str().unwrap().to_owned()
}
