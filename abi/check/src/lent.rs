//! Arguments of a callback in memory that ends at a page that cannot be read.

use spared_abi as abi;

use crate::guarded::Guarded;
use crate::trial::Mode;

/// A copy of a struct in front of a page that cannot be read.
pub fn guard<T: Copy>(value: &T) -> Guarded {
    // SAFETY: plain structs of the ABI, which have no uninitialised padding.
    let bytes = unsafe {
        std::slice::from_raw_parts(std::ptr::from_ref(value).cast::<u8>(), size_of::<T>())
    };
    Guarded::new(bytes).unwrap_or_else(|| panic!("no memory"))
}

pub fn leaked<T>(memory: Guarded) -> *const T {
    let start = memory.start().cast_const().cast();
    std::mem::forget(memory);
    start
}

/// A text or bytes, lent for one call.
pub struct Lent {
    memory: Guarded,
    length: usize,
    mode: Mode,
}

impl Lent {
    pub fn new(mode: Mode, text: &str) -> Self {
        Self::of_bytes(mode, text.as_bytes())
    }

    pub fn of_bytes(mode: Mode, bytes: &[u8]) -> Self {
        let memory = Guarded::new(bytes).unwrap_or_else(|| panic!("no memory"));
        Self {
            memory,
            length: bytes.len(),
            mode,
        }
    }

    pub fn bytes(&self) -> abi::Bytes {
        abi::Bytes {
            ptr: self.memory.start().cast_const(),
            len: self.length,
        }
    }

    pub fn text(&self) -> abi::Str {
        abi::Str {
            ptr: self.memory.start().cast_const().cast(),
            len: self.length,
        }
    }

    pub fn end(self) {
        if self.mode == Mode::Borrow {
            self.memory.revoke();
        }
    }
}
