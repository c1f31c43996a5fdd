//! `export!`, which defines the constant that makes a library a plugin.

use std::ffi::{CStr, c_char, c_void};

use spared_abi as abi;

use crate::Plugin;
use crate::group::size;
use crate::shim;

/// Exports a type as the plugin of this library: defines the constant `spared_plugin_v0`.
///
/// ```ignore
/// spared_sdk::export!(Vrrp {
///     name: "vrrp",                  // the file is vrrp.so
///     summary: "decides who is active",
///     vendor: "spared",              // optional; the crate's authors
///     brand: "acme",                 // optional; the fork of spared that it requires
///     needs_minor: 1,                // optional; older hosts refuse it, so only if it cannot do without
///     capabilities: [],              // optional; numbers of <linux/capability.h>, like libc's
///     flags: REALTIME,               // optional; of REALTIME, FILES, WRITE, ROOT, ASIDE: FILES | WRITE
///     paths: ["/etc/kea", "+/var/lib/kea"],   // optional; may be read, after a + also written
///     calls: [FILES, SOCKETS],       // optional; also PROGRAMS: the system calls that it makes
///     wire: (1, 2),                  // optional; versions of its messages to the peer plugin
///     // any of roles, transfer, query, interfaces, groups, peer, local, identity, watch
///     parts: [query, interfaces, groups],
/// });
/// ```
///
/// The version is the crate's.
#[macro_export]
macro_rules! export {
    ($plugin:ty {
        name: $name:literal,
        summary: $summary:literal
        $(, vendor: $vendor:literal)?
        $(, brand: $brand:literal)?
        $(, needs_minor: $needs_minor:expr)?
        $(, capabilities: [$($capability:expr),* $(,)?])?
        $(, flags: $($flag:ident)|+)?
        $(, paths: [$($path:literal),* $(,)?])?
        $(, calls: [$($call:ident),* $(,)?])?
        $(, wire: ($wire_min:expr, $wire_max:expr))?
        $(, parts: [$($part:ident),* $(,)?])?
        $(,)?
    }) => {
        #[cfg(panic = "abort")]
        compile_error!("a spared plugin needs panic = \"unwind\": a panic must end one callback, not the worker in the middle of it");

        #[doc(hidden)]
        unsafe extern "C" fn __spared_extension(
            id: *const ::core::ffi::c_char,
        ) -> *const ::core::ffi::c_void {
            $($(
                // SAFETY: the host passes a C string.
                let half = unsafe { $crate::export::part::$part::half::<$plugin>(id) };
                if !half.is_null() {
                    return half;
                }
            )*)?
            let _ = id;
            ::core::ptr::null()
        }

        #[doc(hidden)]
        #[unsafe(no_mangle)]
        #[allow(non_upper_case_globals)]
        pub static spared_plugin_v0: $crate::abi::Exported = $crate::abi::Exported({
            let plugin = $crate::export::descriptor::<$plugin>(
                $crate::export::text(concat!($name, "\0")),
                $crate::export::text(concat!(env!("CARGO_PKG_VERSION"), "\0")),
                $crate::export::text(concat!($summary, "\0")),
                __spared_extension,
            );
            let plugin = $crate::export::vendor(
                plugin,
                $crate::export::text(concat!(env!("CARGO_PKG_AUTHORS"), "\0")),
            );
            $(let plugin = $crate::export::vendor(
                plugin,
                $crate::export::text(concat!($vendor, "\0")),
            );)?
            $(let plugin = $crate::export::brand(
                plugin,
                $crate::export::text(concat!($brand, "\0")),
            );)?
            $(let plugin = $crate::export::needs_minor(plugin, $needs_minor);)?
            $($(let plugin = $crate::export::capability(plugin, $capability as u64);)*)?
            $($(let plugin = $crate::export::flag(plugin, $crate::export::$flag);)+)?
            $(let plugin = $crate::export::paths(plugin, {
                const PATHS: &[*const ::core::ffi::c_char] = &[
                    $($crate::export::text(concat!($path, "\0")),)*
                    ::core::ptr::null(),
                ];
                PATHS
            });)?
            $(let plugin = $crate::export::calls(
                plugin,
                $crate::abi::CALLS_BASIC $(| $crate::export::calls::$call)*,
            );)?
            $(let plugin = $crate::export::wire(plugin, $wire_min, $wire_max);)?
            $($(let plugin = $crate::export::part::$part::add::<$plugin>(plugin);)*)?
            plugin
        });
    };
}

/// Makes a type the plugin of this library, in the SDK's own loop: `spared_plugin_main`, and a note with the
/// descriptor. It takes the same as [`export!`](crate::export), but for `needs_minor`, and capabilities by name:
/// `capabilities: [net_admin]`.
#[macro_export]
macro_rules! plugin {
    ($plugin:ty {
        name: $name:literal,
        summary: $summary:literal
        $(, vendor: $vendor:literal)?
        $(, brand: $brand:literal)?
        $(, capabilities: [$($capability:ident),* $(,)?])?
        $(, flags: $($flag:ident)|+)?
        $(, paths: [$($path:literal),* $(,)?])?
        $(, calls: [$($call:ident),* $(,)?])?
        $(, wire: ($wire_min:expr, $wire_max:expr))?
        $(, parts: [$($part:ident),* $(,)?])?
        $(,)?
    }) => {
        #[cfg(panic = "abort")]
        compile_error!("a spared plugin needs panic = \"unwind\": a panic must end one callback, not the worker in the middle of it");

        #[doc(hidden)]
        const __SPARED_DESCRIPTOR: $crate::run::Writer = {
            let note = $crate::run::Writer::new($name, env!("CARGO_PKG_VERSION"), $summary);
            let note = note.line("vendor", env!("CARGO_PKG_AUTHORS"));
            $(let note = note.line("vendor", $vendor);)?
            $(let note = note.line("brand", $brand);)?
            $($(let note = note.line("capability", stringify!($capability));)*)?
            $($(let note = note.line("flag", $crate::run::flag::$flag);)+)?
            $($(let note = note.line("path", $path);)*)?
            $(
                let note = note.line("calls", "basic");
                $(let note = note.line("calls", $crate::run::calls::$call);)*
            )?
            $(let note = note.wire($wire_min, $wire_max);)?
            $($(
                let note = note.line("part", stringify!($part));
                let note = $crate::run::part::$part::describe::<$plugin>(note);
            )*)?
            note
        };

        // exported, so that no linker drops it
        #[doc(hidden)]
        #[unsafe(no_mangle)]
        #[unsafe(link_section = ".note.spared")]
        #[allow(non_upper_case_globals)]
        pub static spared_plugin_note: $crate::run::Note<{ __SPARED_DESCRIPTOR.length() }> =
            __SPARED_DESCRIPTOR.note();

        /// Runs the plugin; its worker calls it once, with the socket of the daemon.
        #[doc(hidden)]
        #[unsafe(no_mangle)]
        pub extern "C" fn spared_plugin_main(socket: ::core::ffi::c_int) -> ::core::ffi::c_int {
            let parts = $crate::run::Parts::<$plugin>::NONE;
            $($(let parts = parts.$part();)*)?
            // SAFETY: the contract: the socket is this function's own.
            let socket = unsafe { $crate::run::socket(socket) };
            $crate::run::run::<$plugin>(socket, parts)
        }
    };
}

/// `flags: REALTIME`.
pub const REALTIME: u32 = abi::PLUGIN_REALTIME;

/// `flags: FILES`.
pub const FILES: u32 = abi::PLUGIN_FILES;

/// `flags: FILES | WRITE`.
pub const WRITE: u32 = abi::PLUGIN_WRITE;

/// `flags: ROOT`.
pub const ROOT: u32 = abi::PLUGIN_ROOT;

/// `flags: ASIDE`.
pub const ASIDE: u32 = abi::PLUGIN_ASIDE;

/// `calls: [FILES, SOCKETS]`.
pub mod calls {
    pub use spared_abi::{
        CALLS_FILES as FILES, CALLS_PROGRAMS as PROGRAMS, CALLS_SOCKETS as SOCKETS,
    };
}

/// The descriptor of a plugin without parts.
pub const fn descriptor<T: Plugin>(
    name: *const c_char,
    version: *const c_char,
    summary: *const c_char,
    extension: unsafe extern "C" fn(*const c_char) -> *const c_void,
) -> abi::Plugin {
    abi::Plugin {
        size: size::<abi::Plugin>(),
        minor: abi::MINOR,
        needs_minor: 0,
        flags: 0,
        wire_min: 0,
        wire_max: 0,
        capabilities: 0,
        name,
        version,
        vendor: name,
        summary,
        brand: std::ptr::null(),
        create: Some(shim::create::<T>),
        destroy: Some(shim::destroy::<T>),
        configure: Some(shim::configure::<T>),
        start: Some(shim::start::<T>),
        stop: Some(shim::stop::<T>),
        drain: None,
        settle: None,
        role: None,
        fd: Some(shim::fd::<T>),
        timer: Some(shim::timer::<T>),
        woken: Some(shim::woken::<T>),
        query: None,
        extension: Some(extension),
        paths: std::ptr::null(),
        verbs: std::ptr::null(),
        verb_count: 0,
        calls: 0,
    }
}

/// A literal with its NUL as a C string; another NUL within it fails the build.
pub const fn text(text: &'static str) -> *const c_char {
    match CStr::from_bytes_with_nul(text.as_bytes()) {
        Ok(text) => text.as_ptr(),
        Err(_) => panic!("a text of export! holds a NUL"),
    }
}

/// Sets the vendor.
pub const fn vendor(mut plugin: abi::Plugin, vendor: *const c_char) -> abi::Plugin {
    plugin.vendor = vendor;
    plugin
}

/// Sets the fork of spared that is required.
pub const fn brand(mut plugin: abi::Plugin, brand: *const c_char) -> abi::Plugin {
    plugin.brand = brand;
    plugin
}

/// Sets the minor version without which it cannot work.
pub const fn needs_minor(mut plugin: abi::Plugin, minor: u32) -> abi::Plugin {
    plugin.needs_minor = minor;
    plugin
}

/// Adds a capability by its number.
pub const fn capability(mut plugin: abi::Plugin, number: u64) -> abi::Plugin {
    plugin.capabilities |= 1 << number;
    plugin
}

/// Sets a flag.
pub const fn flag(mut plugin: abi::Plugin, flag: u32) -> abi::Plugin {
    plugin.flags |= flag;
    plugin
}

/// Sets the files and folders that it may open; the last of `paths` is NULL.
pub const fn paths(mut plugin: abi::Plugin, paths: &'static [*const c_char]) -> abi::Plugin {
    plugin.paths = paths.as_ptr();
    plugin
}

/// Sets the groups of system calls that it makes.
pub const fn calls(mut plugin: abi::Plugin, calls: u32) -> abi::Plugin {
    plugin.calls = calls;
    plugin
}

/// Sets the versions of the messages to the peer plugin.
pub const fn wire(mut plugin: abi::Plugin, min: u32, max: u32) -> abi::Plugin {
    plugin.wire_min = min;
    plugin.wire_max = max;
    plugin
}

/// Used by [`has!`](crate::has).
pub const fn reaches(size: u32, offset: usize, field: usize) -> bool {
    size as usize >= offset + field
}

/// Used by [`has!`](crate::has).
pub const fn size_of_field<T, F>(_: fn(&T) -> &F) -> usize {
    size_of::<F>()
}

/// One module per part: `add` puts its callbacks into the descriptor, `half` answers for its
/// extension.
pub mod part {
    macro_rules! callbacks {
        ($part:ident, $trait:ident, $($callback:ident),+) => {
            #[doc = concat!("The part `", stringify!($part), "`.")]
            pub mod $part {
                use std::ffi::{c_char, c_void};

                /// Puts its callbacks into the descriptor.
                pub const fn add<T: crate::$trait>(
                    mut plugin: spared_abi::Plugin,
                ) -> spared_abi::Plugin {
                    $(plugin.$callback = Some(crate::part::$callback::<T>);)+
                    plugin
                }

                /// NULL: it has no extension.
                ///
                /// # Safety
                /// None needed; other parts read `id`.
                pub const unsafe fn half<T>(_id: *const c_char) -> *const c_void {
                    std::ptr::null()
                }
            }
        };
    }

    macro_rules! extension {
        ($part:ident, $trait:ident, $id:ident) => {
            #[doc = concat!("The part `", stringify!($part), "`.")]
            pub mod $part {
                use std::ffi::{CStr, c_char, c_void};

                /// Changes nothing: it has no callback in the descriptor.
                pub const fn add<T: crate::$trait>(
                    plugin: spared_abi::Plugin,
                ) -> spared_abi::Plugin {
                    plugin
                }

                /// Its half of the extension, or NULL if `id` is another one.
                ///
                /// # Safety
                /// `id` is NULL or a C string.
                pub unsafe fn half<T: crate::$trait>(id: *const c_char) -> *const c_void {
                    // SAFETY: the caller's promise.
                    if !id.is_null() && unsafe { CStr::from_ptr(id) } == spared_abi::$id {
                        return (&raw const *const { &crate::part::Half::<T>::$id }).cast();
                    }
                    std::ptr::null()
                }
            }
        };
    }

    callbacks!(roles, Roles, role);
    callbacks!(transfer, Transfer, drain, settle);
    /// The part `query`.
    pub mod query {
        use std::ffi::{c_char, c_void};

        /// Puts its callback and verbs into the descriptor.
        pub const fn add<T: crate::Query>(mut plugin: spared_abi::Plugin) -> spared_abi::Plugin {
            plugin.query = Some(crate::part::query::<T>);
            // `Verb` is a transparent wrapper of the ABI's.
            plugin.verbs = T::VERBS.as_ptr().cast();
            plugin.verb_count = T::VERBS.len() as u32;
            plugin
        }

        /// NULL: it has no extension.
        ///
        /// # Safety
        /// None needed; other parts read `id`.
        pub const unsafe fn half<T>(_id: *const c_char) -> *const c_void {
            std::ptr::null()
        }
    }

    extension!(interfaces, Interfaces, INTERFACE);
    extension!(groups, Groups, GROUP);
    extension!(peer, Peer, PEER);
    extension!(local, Local, LOCAL);
    extension!(watch, Watch, STATUS);
    extension!(identity, Identity, IDENTITY);
}
