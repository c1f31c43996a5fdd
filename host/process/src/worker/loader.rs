//! Opens a plugin's library and finds its function.

#[cfg(test)]
mod tests;

use std::ffi::c_int;
use std::os::fd::{AsRawFd, BorrowedFd};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

/// The function `spared_plugin_main` of a plugin, which takes the socket of the daemon and returns when the process is
/// to end.
pub(crate) type Main = unsafe extern "C" fn(c_int) -> c_int;

/// Loads the plugin `name`, whose file has a descriptor, from its opened file.
///
/// # Errors
/// A sentence that says what is wrong with the file and what to do.
pub(crate) fn load(name: &str, file: BorrowedFd<'_>) -> Result<Main, String> {
    let library = open(name, file)?;
    // SAFETY: by the contract it is this function.
    let main = unsafe { library.get::<Main>(b"spared_plugin_main") }.map(|it| *it);
    // Thread-local destructors make unloading unsound; the process ends with its plugin.
    std::mem::forget(library);
    main.map_err(|_| {
        format!("{name}.so has no function spared_plugin_main: its author must export it")
    })
}

fn open(name: &str, file: BorrowedFd<'_>) -> Result<Library, String> {
    check_elf(name, file)?;
    let flags = RTLD_NOW | RTLD_LOCAL | libc::RTLD_NODELETE;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    // SAFETY: constructors of the library run; that is why this process is confined.
    unsafe { Library::open(Some(&path), flags) }
        .map_err(|error| explain(name, &path, &error_text(&error)))
}

/// Why the file of the plugin `name`, which has no descriptor, is no plugin.
pub(crate) fn refusal(name: &str, file: BorrowedFd<'_>) -> String {
    let why = || {
        format!(
            "{name}.so has no descriptor: it is not a spared plugin, or was built without SPARED_PLUGIN"
        )
    };
    check_elf(name, file).err().unwrap_or_else(why)
}

fn check_elf(name: &str, file: BorrowedFd<'_>) -> Result<(), String> {
    let mut head = [0; 20];
    let length = rustix::io::pread(file, &mut head, 0)
        .map_err(|errno| format!("{name}.so cannot be read: {}", std::io::Error::from(errno)))?;
    if length < head.len() || !head.starts_with(b"\x7fELF") {
        return Err(format!(
            "{name}.so is not a shared object (not ELF): reinstall the package that it came from"
        ));
    }
    let machine = head.get(18..20).and_then(|bytes| bytes.try_into().ok());
    if MACHINE.is_some() && machine.map(u16::from_ne_bytes) != MACHINE {
        return Err(format!(
            "{name}.so is built for another machine: install the package for this architecture"
        ));
    }
    Ok(())
}

/// e_machine of files for this machine. On others dlopen finds the mismatch, with a poorer message.
const MACHINE: Option<u16> = if cfg!(target_arch = "x86_64") {
    Some(62)
} else if cfg!(target_arch = "aarch64") {
    Some(183)
} else if cfg!(target_arch = "riscv64") {
    Some(243)
} else {
    None
};

fn error_text(error: &libloading::Error) -> String {
    match error {
        libloading::Error::DlOpen { desc } => format!("{desc:?}").trim_matches('"').to_owned(),
        other => other.to_string(),
    }
}

/// Turns an error of the dynamic loader into what the administrator can do about it.
fn explain(name: &str, path: &str, error: &str) -> String {
    let error = error.replace(path, &format!("{name}.so"));
    if let Some((library, _)) = error.split_once(": cannot open shared object file") {
        return format!(
            "{name}.so needs the library {library}, which is not here: install the package that has it"
        );
    }
    if let Some((_, symbol)) = error.split_once("undefined symbol: ") {
        return format!(
            "{name}.so uses {symbol}, which none of its libraries has: \
             install the versions that it was built for, or rebuild it"
        );
    }
    format!("{name}.so cannot be loaded: {error}")
}
