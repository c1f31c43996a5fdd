//! Reads the files that come back unless the reload after them is confirmed. The starter keeps and removes them, as root.
//!
//! As long as they are kept, a start has them in force instead of the files in the folder of `spared.toml`: whoever has
//! locked himself out gets in again when the daemon or the machine starts again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use spared_worker::file::open_checked;

use crate::{Fault, Options, Setup, loaded};

/// Name of the file with their texts, beside [`LOADED`](crate::LOADED).
pub const UNCONFIRMED: &str = "unconfirmed";
const SIZE_MAX: u64 = 64 * 1024 * 1024;

/// Path of the file with their texts.
pub fn path(options: &Options) -> PathBuf {
    loaded(options).with_file_name(UNCONFIRMED)
}

/// Texts by their path below the folder of `spared.toml`; None if there are none.
pub fn texts(path: &Path) -> Option<BTreeMap<String, String>> {
    let mut text = String::new();
    let file = File::from(open_checked(path).ok()?);
    file.take(SIZE_MAX).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

/// Configuration that comes back; None if there is none.
///
/// # Errors
/// All faults of its `spared.toml`.
pub fn read(options: &Options) -> Option<Result<Setup, Vec<Fault>>> {
    let texts = texts(&path(options))?;
    Some(Setup::of_texts(&options.config(), &texts))
}
