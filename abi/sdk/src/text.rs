//! Text and bytes that the host lends for a call.

use std::borrow::Cow;

use spared_abi as abi;

/// The text. Bytes that are not UTF-8 are replaced: a later host must not break a plugin.
///
/// # Safety
/// `text` is valid for reading while the result lives.
pub(crate) unsafe fn read<'a>(text: abi::Str) -> Cow<'a, str> {
    // SAFETY: the caller's promise.
    String::from_utf8_lossy(unsafe { slice(text.ptr.cast(), text.len) })
}

/// A copy of the text.
///
/// # Safety
/// As for [`read`], for the call.
pub(crate) unsafe fn owned(text: abi::Str) -> String {
    // SAFETY: the caller's promise.
    unsafe { read(text) }.into_owned()
}

/// A slice of `len` elements, empty if `ptr` is NULL.
///
/// # Safety
/// Unless NULL, `ptr` points to `len` elements that are valid while the result lives.
pub(crate) unsafe fn slice<'a, T>(ptr: *const T, len: usize) -> &'a [T] {
    if ptr.is_null() || len == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(ptr, len) }
}

/// Walks an array of sized structs by each element's own size: those of a later host are longer.
pub(crate) struct Sized<'a, T> {
    next: *const u8,
    left: u32,
    size_of: fn(&T) -> u32,
    lent: std::marker::PhantomData<&'a T>,
}

impl<T> Sized<'_, T> {
    /// # Safety
    /// Unless `left` is 0, `first` points to `left` structs that are valid for the lifetime, each at
    /// least as long as `T` (minors only append) and as long as its own size says.
    pub(crate) unsafe fn new(first: *const T, left: u32, size_of: fn(&T) -> u32) -> Self {
        let left = if first.is_null() { 0 } else { left };
        Self {
            next: first.cast(),
            left,
            size_of,
            lent: std::marker::PhantomData,
        }
    }
}

impl<'a, T> Iterator for Sized<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        self.left = self.left.checked_sub(1)?;
        // SAFETY: the promise of new: there is one more element here.
        let item = unsafe { &*self.next.cast::<T>() };
        // SAFETY: its size is the distance to the next element, or to the end.
        self.next = unsafe { self.next.add((self.size_of)(item) as usize) };
        Some(item)
    }
}
