//! Memory that faults if it is read beyond its end, or after it was revoked.

use std::ffi::c_void;
use std::ptr;

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

const PAGE: usize = 4096;

/// Bytes that end at a page that cannot be read; they can be revoked.
#[derive(Debug)]
pub struct Guarded {
    map: *mut c_void,
    pages: usize,
    start: *mut u8,
}

impl Guarded {
    /// Copies `bytes`; the copy is aligned to 8 if the length is a multiple of 8.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let pages = bytes.len().div_ceil(PAGE).max(1);
        let (read_write, private) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // SAFETY: a new mapping anywhere; its last page is protected before use.
        unsafe {
            let map =
                mmap_anonymous(ptr::null_mut(), (pages + 1) * PAGE, read_write, private).ok()?;
            let guard = map.cast::<u8>().add(pages * PAGE);
            mprotect(guard.cast(), PAGE, MprotectFlags::empty()).ok()?;
            let start = guard.sub(bytes.len());
            ptr::copy_nonoverlapping(bytes.as_ptr(), start, bytes.len());
            Some(Self { map, pages, start })
        }
    }

    pub fn start(&self) -> *mut u8 {
        self.start
    }

    /// Makes every later access fault; the addresses are not reused.
    pub fn revoke(self) {
        // SAFETY: the mapping is ours; a plugin that still reads it faults, as intended.
        let _ = unsafe { mprotect(self.map, self.pages * PAGE, MprotectFlags::empty()) };
        std::mem::forget(self);
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours.
        let _ = unsafe { munmap(self.map, (self.pages + 1) * PAGE) };
    }
}
