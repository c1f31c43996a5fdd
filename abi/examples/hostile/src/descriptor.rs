//! Invalid descriptors and halves of extensions.

use std::ffi::{c_char, c_void};
use std::ptr;

use spared_abi as abi;

use crate::lie;

/// Change of the descriptor before the host reads it.
pub type Lie = fn(&mut abi::Plugin);

/// Each has the name of its file.
pub const LIES: &[(&str, Lie)] = &[
    ("name-null", |it| it.name = ptr::null()),
    ("name-endless", |it| it.name = lie::unterminated()),
    ("name-unmapped", |it| it.name = lie::unmapped()),
    ("name-of-another", |it| it.name = c"vrrp".as_ptr()),
    ("name-a-path", |it| it.name = c"../../etc/shadow".as_ptr()),
    ("name-no-utf8", |it| it.name = c"\xff\xfe".as_ptr()),
    ("summary-lines", |it| {
        it.summary = c"one\ntwo\x1b[2J".as_ptr()
    }),
    ("vendor-endless", |it| it.vendor = lie::unterminated()),
    ("version-unmapped", |it| it.version = lie::unmapped()),
    ("size-0", |it| it.size = 0),
    ("size-8", |it| it.size = 8),
    ("minor-newer", |it| it.needs_minor = u32::MAX),
    ("flags-unknown", |it| it.flags = 0x8000_0000),
    ("capability-unknown", |it| it.capabilities = 1 << 63),
    ("capability-sys-admin", |it| it.capabilities = 1 << 21),
    ("capability-all", |it| it.capabilities = u64::MAX),
    ("calls-unknown", |it| it.calls = 0x8000_0000),
    ("calls-socket", |it| it.calls = abi::CALLS_BASIC),
    ("calls-fork", |it| {
        it.calls = abi::CALLS_BASIC | abi::CALLS_SOCKETS
    }),
    ("create-null", |it| it.create = None),
    ("destroy-null", |it| it.destroy = None),
    ("create-unmapped", |it| it.create = function()),
    ("configure-unmapped", |it| it.configure = function()),
    ("extension-unmapped", |it| it.extension = function()),
    ("wire-backwards", |it| it.wire_min = 7),
    ("paths-relative", |it| it.paths = list(&RELATIVE)),
    ("paths-up", |it| it.paths = list(&UP)),
    ("paths-endless", |it| it.paths = list(&ENDLESS)),
    ("paths-unmapped", |it| it.paths = lie::unmapped()),
    ("root-with-peer", |it| it.flags = abi::PLUGIN_ROOT),
    ("half-unmapped", |_| {}),
    ("half-endless", |_| {}),
    ("partners-many", |_| {}),
    ("partners-self", |_| {}),
    ("partners-path", |_| {}),
    ("partners-unmapped", |_| {}),
    // valid, but greedy
    ("size-endless", |it| it.size = u32::MAX),
    ("paths-of-the-host", |it| it.paths = list(&OF_THE_HOST)),
    ("half-of-nothing", |_| {}),
];

/// A function at an unmapped address.
fn function<F: Copy>() -> Option<F> {
    let nowhere = lie::unmapped::<c_void>();
    assert_eq!(size_of::<Option<F>>(), size_of_val(&nowhere));
    // SAFETY: none, on purpose. A function's pointer is as large as any other.
    unsafe { std::mem::transmute_copy(&nowhere) }
}

#[repr(transparent)]
struct Paths<const COUNT: usize>([*const c_char; COUNT]);

// SAFETY: constants that point to constants.
unsafe impl<const COUNT: usize> Sync for Paths<COUNT> {}

static RELATIVE: Paths<2> = Paths([c"etc/passwd".as_ptr(), ptr::null()]);
static UP: Paths<2> = Paths([c"/usr/../etc/spared".as_ptr(), ptr::null()]);
static ENDLESS: Paths<200> = Paths([c"/usr".as_ptr(); 200]);
static OF_THE_HOST: Paths<4> = Paths([
    c"+/".as_ptr(),
    c"+/etc".as_ptr(),
    c"+/etc/spared".as_ptr(),
    ptr::null(),
]);

fn list<const COUNT: usize>(paths: &'static Paths<COUNT>) -> *const *const c_char {
    paths.0.as_ptr()
}

/// An invalid half of an extension; None if this plugin has valid ones.
pub fn half(name: &str) -> Option<*const c_void> {
    static ENDLESS: [u32; 64] = [u32::MAX; 64];
    static NOTHING: [u32; 2] = [0; 2];
    match name {
        "half-unmapped" => Some(lie::unmapped()),
        // all its functions are invalid pointers, which the host calls
        "half-endless" => Some((&raw const ENDLESS).cast()),
        "half-of-nothing" => Some((&raw const NOTHING).cast()),
        _ => None,
    }
}
