//! The least that a plugin may pass, whatever a later minor version has appended.

use crate::{
    AddressClaim, Cause, Claims, GroupClaim, GroupPlugin, IdentityPlugin, InterfacePlugin,
    LocalPlugin, PeerPlugin, Publication, RouteClaim, Verb, VirtualRouterClaim, WatchPlugin,
};

/// A struct that a plugin passes to its host. Minor versions append to it, so that one of an older
/// plugin ends earlier than the host's own.
///
/// # Safety
/// `repr(C)`; it starts with its `u32` size, and all its fields may be zero.
pub unsafe trait PassedStruct: Sized {
    /// Size in the first version of the header, the least that a host accepts.
    const SIZE_MIN: usize;
}

/// A copy of a sized struct, which may be shorter than `T`, as of an older one, or longer: the first min(`size`,
/// size of `T`) bytes; the rest is zero.
///
/// # Safety
/// `from` leads to `size` bytes; `T` is `repr(C)` and all its fields may be zero.
pub unsafe fn copy_sized<T>(from: *const T, size: u32) -> T {
    // SAFETY: zero is a value of T, which is long enough for the copy.
    unsafe {
        let mut copy: T = std::mem::zeroed();
        let length = size_of::<T>().min(size as usize);
        std::ptr::copy_nonoverlapping(from.cast::<u8>(), (&raw mut copy).cast::<u8>(), length);
        copy
    }
}

/// Each struct with the last field of its first version. A field that is appended does not stand here.
macro_rules! end_with {
    ($($type:ident $last:ident)*) => {$(
        // SAFETY: as every sized struct of the header; integers, pointers and functions may be zero.
        unsafe impl PassedStruct for $type {
            const SIZE_MIN: usize = std::mem::offset_of!($type, $last)
                + size_of_field(|value: &$type| &value.$last);
        }
    )*};
}

const fn size_of_field<T, F>(_: fn(&T) -> &F) -> usize {
    size_of::<F>()
}

end_with! {
    Verb summary
    InterfacePlugin changed
    GroupPlugin directive
    PeerPlugin writable
    IdentityPlugin verified
    LocalPlugin writable
    WatchPlugin event
    VirtualRouterClaim vmac_name
    AddressClaim octets
    RouteClaim source
    Claims lease_ns
    Cause text
    GroupClaim claims
    Publication cause
}
