//! Reads a whole number from a file.

use std::io::ErrorKind;

use super::bounded;
use crate::config::{Number, Worse};
use crate::engine::Finding;

/// Maximum number of bytes that are read: more than the digits of a number.
const BYTES_MAX: u64 = 64;

/// Compares the number with the best one. A file that is missing or empty counts as 0; text that is no number counts as
/// the number next to the best one.
pub(super) fn read(number: &Number) -> Finding {
    let text = match bounded(&number.path, BYTES_MAX) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).trim().to_owned(),
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return judged(1, format!("cannot be read: {error}")),
    };
    let found: i64 = match text.as_str() {
        "" => 0,
        text => match text.parse() {
            Ok(found) => found,
            Err(_) => return judged(1, "gives no whole number".to_owned()),
        },
    };
    let (best, worse) = (number.best, number.worse);
    let (excess, bound) = match worse {
        Worse::Above => (found.saturating_sub(best), "at most"),
        Worse::Below => (best.saturating_sub(found), "at least"),
    };
    let excess = u32::try_from(excess.max(0)).unwrap_or(u32::MAX);
    let why = match excess {
        0 => format!("is {found}"),
        _ => format!("is {found}, {bound} {best} is good"),
    };
    judged(excess, why)
}

fn judged(excess: u32, why: String) -> Finding {
    Finding {
        excess: Some(excess),
        ..Finding::new(if excess == 0 { 100 } else { 0 }, why)
    }
}
