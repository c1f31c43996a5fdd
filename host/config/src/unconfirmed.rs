//! Reads the files that come back unless the reload after them is confirmed. The starter keeps and removes them, as root.
//!
//! As long as they are kept, a start has them in force instead of the files in the folder of `spared.toml`: whoever has
//! locked himself out gets in again when the daemon or the machine starts again. A reload across restarts has a term
//! beside them, within which a start leaves the new files in force. A boot ends it.

use std::path::PathBuf;
use std::time::Duration;

use spared_file::starter::TERM;
pub use spared_file::starter::UNCONFIRMED;
use spared_process::clock::boot;

use crate::on_disk::{kept_texts, roots_text};
use crate::{Fault, Options, Setup, loaded};

/// Path of the file with the texts.
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

/// Time left of the term; None if there is none of this boot, or if it is over.
pub fn left(options: &Options) -> Option<Duration> {
    let text = roots_text(&path(options).with_file_name(TERM))?;
    boot::left(&text).filter(|left| !left.is_zero())
}
