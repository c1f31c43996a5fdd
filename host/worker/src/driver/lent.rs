//! Reads what a plugin lends for a call: all is copied and checked.

use std::borrow::Cow;
use std::ffi::{CStr, c_char};

use spared_abi::{self as abi, copy_sized};

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

/// A copy of a sized struct, which may be shorter than `T`, as of an older plugin, or longer.
///
/// # Errors
/// It says less than the header's first version has; the name is for the message.
///
/// # Safety
/// `raw` leads to a struct of the size that it says.
pub unsafe fn sized<T: abi::PassedStruct>(raw: *const T, name: &str) -> Result<T, String> {
    // SAFETY: the caller's promise.
    unsafe {
        let size = raw.cast::<u32>().read_unaligned();
        if (size as usize) < T::SIZE_MIN {
            let least = T::SIZE_MIN;
            return Err(format!(
                "{name} has {size} bytes, at least {least} are needed"
            ));
        }
        Ok(copy_sized(raw, size))
    }
}

/// Copies of the sized structs of an array, each as long as its size field says. None if one says
/// less than the header's first version has: with a size of 0 the walk would not end.
///
/// # Safety
/// Unless NULL, `first` leads to `count` structs of the sizes that they say.
pub unsafe fn sized_array<T: abi::PassedStruct>(first: *const T, count: u32) -> Option<Vec<T>> {
    if first.is_null() {
        return (count == 0).then(Vec::new);
    }
    let mut next = first.cast::<u8>();
    let mut copies = Vec::new();
    for _ in 0..count {
        // SAFETY: the caller's promise: one more element is here, and starts with its size.
        unsafe {
            let size = next.cast::<u32>().read_unaligned();
            if (size as usize) < T::SIZE_MIN {
                return None;
            }
            copies.push(copy_sized(next.cast(), size));
            next = next.add(size as usize);
        }
    }
    Some(copies)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A publication as a host of a later minor has it.
    #[repr(C)]
    struct Later {
        known: abi::Publication,
        more: u64,
    }

    // SAFETY: as the publication.
    unsafe impl abi::PassedStruct for Later {
        const SIZE_MIN: usize = <abi::Publication as abi::PassedStruct>::SIZE_MIN;
    }

    fn publication(role: u32) -> abi::Publication {
        abi::Publication {
            size: size_of::<abi::Publication>() as u32,
            flags: 0,
            group: abi::Str::of("office"),
            role,
            reserved: 0,
            cause: std::ptr::null(),
        }
    }

    #[test]
    fn structs_of_an_older_plugin_are_taken_and_end_with_zeros() {
        let array = [publication(1), publication(2)];
        let first = array.as_ptr().cast::<Later>();
        // SAFETY: two elements of the size that they say.
        let (copies, one) =
            unsafe { (sized_array(first, 2).unwrap(), sized(first, "it").unwrap()) };
        let roles: Vec<u32> = copies.iter().map(|copy| copy.known.role).collect();
        assert_eq!((roles, copies[1].more), (vec![1, 2], 0));
        assert_eq!((one.known.role, one.more), (1, 0));
    }

    #[test]
    fn a_struct_shorter_than_in_the_first_version_is_refused() {
        let short = abi::Publication {
            size: size_of::<abi::Publication>() as u32 - 1,
            ..publication(1)
        };
        // SAFETY: no more is read than it has.
        unsafe {
            assert!(sized_array(&raw const short, 1).is_none());
            let why = sized(&raw const short, "spared_publication").unwrap_err();
            assert_eq!(
                why,
                "spared_publication has 39 bytes, at least 40 are needed"
            );
        }
    }
}
