//! Reads the files that come back unless the reload after them is confirmed. The starter keeps and removes them, as root.
//!
//! As long as they are kept, a start has them in force instead of the files in the folder of `spared.toml`: whoever has
//! locked himself out gets in again when the daemon or the machine starts again. A reload across restarts has a term
//! beside them, within which a start leaves the new files in force. A boot ends it.

use std::path::PathBuf;
use std::time::Duration;

use spared_process::clock;

use crate::on_disk::{kept_texts, roots_text};
use crate::{Fault, Options, Setup, loaded};

/// Name of the file with their texts, beside [`LOADED`](crate::LOADED).
pub const UNCONFIRMED: &str = "unconfirmed";
/// Name of the file with the term of a reload across restarts, beside it: the boot's id, and the end by its monotonic
/// clock in ns. Without a term, or after it, a start has the kept files in force.
pub const TERM: &str = "unconfirmed-term";

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

/// Text of a term that ends after this time.
pub fn term(lasts: Duration) -> String {
    let lasts_ns = u64::try_from(lasts.as_nanos()).unwrap_or(u64::MAX);
    let until_ns = clock::monotonic_ns().saturating_add(lasts_ns);
    format!("{} {until_ns}\n", clock::boot_id())
}

/// Time left of the term; None if there is none of this boot, or if it is over.
pub fn left(options: &Options) -> Option<Duration> {
    let text = roots_text(&path(options).with_file_name(TERM))?;
    let left = left_of(&text, &clock::boot_id(), clock::monotonic_ns())?;
    (!left.is_zero()).then_some(left)
}

fn left_of(text: &str, boot: &str, now_ns: u64) -> Option<Duration> {
    let (of, until_ns) = text.trim().split_once(' ')?;
    let until_ns: u64 = until_ns.parse().ok()?;
    (of == boot).then(|| Duration::from_nanos(until_ns.saturating_sub(now_ns)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_ends_with_its_time_and_with_the_boot() {
        let text = term(Duration::from_secs(60));
        let (boot, now_ns) = (clock::boot_id(), clock::monotonic_ns());
        let left = left_of(&text, &boot, now_ns).expect("of this boot");
        assert!(left <= Duration::from_secs(60) && left > Duration::from_secs(50));
        let later_ns = now_ns + 61_000_000_000;
        assert_eq!(left_of(&text, &boot, later_ns), Some(Duration::ZERO));
        assert_eq!(left_of(&text, "another", now_ns), None);
        for text in ["", "1", &format!("{boot} soon")] {
            assert_eq!(left_of(text, &boot, now_ns), None, "{text}");
        }
    }
}
