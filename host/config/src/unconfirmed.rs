//! Reads the files that come back unless the reload after them is confirmed. The starter keeps and removes them, as root.
//!
//! As long as they are kept, a start has them in force instead of the files in the folder of `spared.toml`: whoever has
//! locked himself out gets in again when the daemon or the machine starts again.

use std::path::PathBuf;

use crate::on_disk::kept_texts;
use crate::{Fault, Options, Setup, loaded};

/// Name of the file with their texts, beside [`LOADED`](crate::LOADED).
pub const UNCONFIRMED: &str = "unconfirmed";

/// Path of the file with their texts.
pub fn path(options: &Options) -> PathBuf {
    loaded(options).with_file_name(UNCONFIRMED)
}

/// Configuration that comes back; None if there is none.
///
/// # Errors
/// All faults of its `spared.toml`.
pub fn read(options: &Options) -> Option<Result<Setup, Vec<Fault>>> {
    let texts = kept_texts(&path(options))?;
    Some(Setup::of_texts(&options.config(), &texts))
}
