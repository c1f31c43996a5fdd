//! Opens a plugin's library and reads its descriptor; no callback but `extension` is called.

#[cfg(test)]
mod tests;

use std::ffi::{CStr, c_char, c_int, c_void};
use std::fmt::Write;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use spared_abi as abi;
use spared_abi::{PassedStruct, copy_sized};
use spared_contract::{Descriptor, Verb};

use crate::descriptor::check;
use crate::driver::{sized, sized_array, slice};

const TEXT_MAX: usize = 256;
const PATHS_MAX: usize = 64;
const VERBS_MAX: u32 = 64;

/// A plugin that may be called.
#[derive(Debug)]
pub struct Loaded {
    /// A copy: the plugin's own is not read again.
    pub table: abi::Plugin,
    /// Plain data of the table.
    pub descriptor: Descriptor,
    /// Its half of `spared.interface/1`; empty if it has none.
    pub interface: abi::InterfacePlugin,
    /// Its half of `spared.group/1`; empty if it has none.
    pub group: abi::GroupPlugin,
    /// Its half of `spared.peer/1`; empty if it has none.
    pub peer: abi::PeerPlugin,
    /// Its half of `spared.identity/1`; empty if it has none.
    pub identity: abi::IdentityPlugin,
    /// Its half of `spared.local/1`; empty if it has none. Its partners are in the descriptor.
    pub local: abi::LocalPlugin,
    /// Its half of `spared.status/1`; empty if it has none.
    pub watch: abi::WatchPlugin,
}

/// A plugin that runs in a loop of its own: its function `spared_plugin_main`, which takes the socket of the daemon and
/// returns when the process is to end.
pub(crate) type Main = unsafe extern "C" fn(c_int) -> c_int;

/// Loads the plugin `name` from its opened file.
///
/// # Errors
/// A sentence that says what is wrong with the file and what to do.
pub fn load(name: &str, file: BorrowedFd<'_>) -> Result<Loaded, String> {
    let library = open(name, file)?;
    let symbol = find_symbol(name, &library)?;
    // Thread-local destructors make unloading unsound; the process ends with its plugin.
    std::mem::forget(library);
    // SAFETY: the symbol is there, and by the contract it is a descriptor.
    unsafe { read(name, symbol) }
}

/// Loads the plugin `name`, whose file has a note, from its opened file.
///
/// # Errors
/// As [`load`].
pub(crate) fn load_main(name: &str, file: BorrowedFd<'_>) -> Result<Main, String> {
    let library = open(name, file)?;
    // SAFETY: by the contract it is this function.
    let main = unsafe { library.get::<Main>(b"spared_plugin_main") }.map(|it| *it);
    // as above
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

fn find_symbol(name: &str, library: &Library) -> Result<*const u8, String> {
    let find = |symbol: &str| {
        // SAFETY: only the address is taken.
        let found = unsafe { library.get::<*const u8>(symbol.as_bytes()) }.ok()?;
        Some(found.into_raw().cast_const().cast::<u8>()).filter(|address| !address.is_null())
    };
    if let Some(found) = find("spared_plugin_v0") {
        return Ok(found);
    }
    for major in (0..10).filter(|major| *major != abi::MAJOR) {
        if find(&format!("spared_plugin_v{major}")).is_some() {
            let update = if major > abi::MAJOR {
                "update spared, or "
            } else {
                ""
            };
            return Err(format!(
                "{name}.so is made for plugin ABI {major}, this spared has ABI {ours}: \
                 {update}install the plugin's version for ABI {ours}",
                ours = abi::MAJOR
            ));
        }
    }
    Err(format!(
        "{name}.so has no symbol spared_plugin_v0: it is not a spared plugin, \
         or was built without SPARED_PLUGIN"
    ))
}

/// Copies the descriptor and validates the copy.
///
/// # Safety
/// `symbol` leads to a `struct spared_plugin` of at least the size that it says.
unsafe fn read(name: &str, symbol: *const u8) -> Result<Loaded, String> {
    // SAFETY: size is the first field of every version.
    let size = unsafe { symbol.cast::<u32>().read_unaligned() };
    let least = std::mem::offset_of!(abi::Plugin, destroy) + size_of::<usize>();
    if (size as usize) < least {
        return Err(format!(
            "{name}.so says that its descriptor has {size} bytes, at least {least} are needed: \
             its author must use SPARED_PLUGIN"
        ));
    }
    // SAFETY: it is size bytes long.
    let table: abi::Plugin = unsafe { copy_sized(symbol.cast(), size) };
    // SAFETY: the contract: texts are NUL-terminated constants.
    let described = unsafe {
        check_brand(name, &table)?;
        describe(&table)
    };
    let descriptor = described.map_err(|why| format!("{name}.so: {why}"))?;
    // SAFETY: the contract: extension takes a C string, and answers NULL or its half.
    unsafe {
        let interface = half(name, &table, abi::INTERFACE)?;
        let group: abi::GroupPlugin = half(name, &table, abi::GROUP)?;
        let peer: abi::PeerPlugin = half(name, &table, abi::PEER)?;
        let identity: abi::IdentityPlugin = half(name, &table, abi::IDENTITY)?;
        let local: abi::LocalPlugin = half(name, &table, abi::LOCAL)?;
        let watch: abi::WatchPlugin = half(name, &table, abi::STATUS)?;
        let partners = partners(&local).map_err(|why| format!("{name}.so: {why}"))?;
        let descriptor = Descriptor {
            provides_groups: group.directive.is_some(),
            has_peer: peer.up.is_some() || peer.message.is_some(),
            has_identity: identity.signature.is_some() || identity.verified.is_some(),
            partners,
            ..descriptor
        };
        validate(name, &table, &descriptor)?;
        Ok(Loaded {
            table,
            descriptor,
            interface,
            group,
            peer,
            identity,
            local,
            watch,
        })
    }
}

/// The plugin's half of an extension, zero if it has none.
///
/// # Errors
/// It is shorter than in the first version: most likely its size was not set.
///
/// # Safety
/// What `extension` answers is NULL, or leads to a struct of the size that it says.
unsafe fn half<T: PassedStruct>(name: &str, table: &abi::Plugin, id: &CStr) -> Result<T, String> {
    // SAFETY: the caller's promise.
    unsafe {
        let found: *const c_void = table.extension.map_or(ptr::null(), |ask| ask(id.as_ptr()));
        if found.is_null() {
            return Ok(std::mem::zeroed());
        }
        let half = format!("its half of {}", id.to_string_lossy());
        sized(found.cast(), &half)
            .map_err(|why| format!("{name}.so: {why}: its author must set size"))
    }
}

/// # Safety
/// The texts of `table` are NULL or NUL-terminated.
unsafe fn check_brand(name: &str, table: &abi::Plugin) -> Result<(), String> {
    // SAFETY: the caller's promise.
    let brand = unsafe { text(table.brand, "brand") }.map_err(|why| format!("{name}.so: {why}"))?;
    if brand.is_empty() || brand.as_bytes() == abi::BRAND.to_bytes() {
        return Ok(());
    }
    Err(format!(
        "{name}.so is made for {brand}, a fork of spared: install the plugin's version for spared"
    ))
}

/// # Safety
/// The texts of `table` are NULL or NUL-terminated, and its list of paths ends with NULL.
unsafe fn describe(table: &abi::Plugin) -> Result<Descriptor, String> {
    // SAFETY: the caller's promise, for each of them.
    let (name, version, vendor, summary, paths, verbs) = unsafe {
        (
            text(table.name, "name")?,
            text(table.version, "version")?,
            text(table.vendor, "vendor")?,
            text(table.summary, "summary")?,
            paths(table.paths)?,
            verbs(table)?,
        )
    };
    Ok(Descriptor {
        name,
        version,
        vendor,
        summary,
        minor: table.minor,
        flags: table.flags,
        wire_min: table.wire_min,
        wire_max: table.wire_max,
        capabilities: table.capabilities,
        calls: table.calls,
        paths,
        has_drain: table.drain.is_some(),
        has_settle: table.settle.is_some(),
        has_role: table.role.is_some(),
        verbs,
        provides_groups: false,
        has_peer: false,
        has_identity: false,
        partners: Vec::new(),
    })
}

/// # Safety
/// `text` is NULL or NUL-terminated.
unsafe fn text(text: *const c_char, field: &str) -> Result<String, String> {
    if text.is_null() {
        return Ok(String::new());
    }
    // SAFETY: the caller's promise.
    let bytes = unsafe { CStr::from_ptr(text) }.to_bytes();
    if bytes.len() > TEXT_MAX {
        return Err(format!(
            "the plugin's {field} is longer than {TEXT_MAX} bytes"
        ));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => Ok(text.to_owned()),
        _ => Err(format!("the plugin's {field} is not UTF-8 of one line")),
    }
}

/// # Safety
/// `list` is NULL, or leads to NUL-terminated texts with NULL behind the last.
unsafe fn paths(list: *const *const c_char) -> Result<Vec<String>, String> {
    let mut paths = Vec::new();
    if list.is_null() {
        return Ok(paths);
    }
    for at in 0..=PATHS_MAX {
        // SAFETY: the caller's promise: no entry before it was NULL.
        let entry = unsafe { *list.add(at) };
        if entry.is_null() {
            return Ok(paths);
        }
        // SAFETY: as above.
        paths.push(unsafe { text(entry, "list of paths")? });
    }
    Err(format!(
        "the plugin wants to open more than {PATHS_MAX} paths"
    ))
}

/// # Safety
/// The list of partners is as long as its count says, its texts NULL or NUL-terminated.
unsafe fn partners(local: &abi::LocalPlugin) -> Result<Vec<String>, String> {
    let count = local.partner_count;
    if count > abi::LOCAL_PARTNERS_MAX {
        return Err(format!(
            "the plugin says {count} partners, at most {} are allowed",
            abi::LOCAL_PARTNERS_MAX
        ));
    }
    let mut names: Vec<String> = Vec::new();
    // SAFETY: the caller's promise.
    for entry in unsafe { slice(local.partners, count as usize) } {
        // SAFETY: as above.
        names.push(unsafe { text(*entry, "list of partners")? });
    }
    Ok(names)
}

/// # Safety
/// The verbs are as many sized structs as `verb_count` says, their texts NULL or NUL-terminated.
unsafe fn verbs(table: &abi::Plugin) -> Result<Vec<Verb>, String> {
    let count = table.verb_count;
    if count > VERBS_MAX {
        return Err(format!(
            "the plugin has {count} verbs, at most {VERBS_MAX} are allowed"
        ));
    }
    if count > 0 && table.query.is_none() {
        return Err("the plugin has verbs and no query: its author must set both".to_owned());
    }
    let least = abi::Verb::SIZE_MIN;
    // SAFETY: the caller's promise.
    let raw = unsafe { sized_array(table.verbs, count) };
    let raw = raw.ok_or_else(|| format!("a verb has less than {least} bytes"))?;
    let mut verbs: Vec<Verb> = Vec::with_capacity(raw.len());
    for raw in raw {
        // SAFETY: the caller's promise.
        verbs.push(unsafe { verb(&raw)? });
    }
    Ok(verbs)
}

/// # Safety
/// Its texts are NULL or NUL-terminated.
unsafe fn verb(raw: &abi::Verb) -> Result<Verb, String> {
    // SAFETY: the caller's promise.
    unsafe {
        Ok(Verb {
            word: text(raw.word, "verb")?,
            usage: text(raw.usage, "usage of a verb")?,
            summary: text(raw.summary, "summary of a verb")?,
            changes: raw.effect != abi::VERB_ASKS,
        })
    }
}

fn validate(name: &str, table: &abi::Plugin, descriptor: &Descriptor) -> Result<(), String> {
    if table.needs_minor > abi::MINOR {
        return Err(format!(
            "{name}.so needs plugin ABI {major}.{}, this spared has {major}.{}: update spared",
            table.needs_minor,
            abi::MINOR,
            major = abi::MAJOR
        ));
    }
    check(name, descriptor)?;
    let mut missing = String::new();
    for (field, present) in [
        ("create", table.create.is_some()),
        ("destroy", table.destroy.is_some()),
    ] {
        if !present {
            let _ = write!(
                missing,
                "{}{field}",
                if missing.is_empty() { "" } else { " and " }
            );
        }
    }
    if !missing.is_empty() {
        return Err(format!(
            "{name}.so has no {missing}: its author must set it"
        ));
    }
    Ok(())
}
