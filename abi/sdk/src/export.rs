//! The macro `plugin!`, which makes a library a plugin.

/// Makes a type the plugin of this library. It defines the plugin's descriptor, a note in the file, and the function
/// `spared_plugin_main`, which runs the plugin.
///
/// ```ignore
/// spared_sdk::plugin!(Vrrp {
///     name: "vrrp",                  // the file is vrrp.so
///     summary: "decides who is active",
///     vendor: "spared",              // optional; the crate's authors
///     brand: "acme",                 // optional; the fork of spared that it requires
///     capabilities: [net_admin],     // optional; names of capabilities(7)
///     flags: REALTIME,               // optional; of REALTIME, FILES, WRITE, ROOT, ASIDE: FILES | WRITE
///     paths: ["/etc/kea", "+/var/lib/kea"],   // optional; may be read, after a + also written
///     calls: [FILES, SOCKETS],       // optional; also PROGRAMS: the system calls that it makes
///     wire: (1, 2),                  // optional; versions of its messages to the peer plugin
///     // any of roles, transfer, query, interfaces, groups, peer, local, identity, watch, documents
///     parts: [query, interfaces, groups],
/// });
/// ```
///
/// The plugin's version is the crate's.
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

        /// Runs the plugin. Its worker calls this function once, with the socket of the daemon.
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
