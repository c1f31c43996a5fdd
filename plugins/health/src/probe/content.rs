//! Checks that a file exists, its age, and its content.

use std::fs;
use std::time::{Duration, SystemTime};

use spared_sdk::config::format_duration;

use super::bounded;
use crate::config::File;
use crate::engine::Finding;

/// Maximum number of bytes of a file that are examined.
const CONTENT_MAX: u64 = 1 << 20;

pub(super) fn read(file: &File) -> Finding {
    let about = match fs::metadata(&file.path) {
        Ok(about) => about,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return if file.exists {
                Finding::failed("is not there")
            } else {
                Finding::good("is not there")
            };
        }
        Err(error) => return Finding::failed(format!("cannot be examined: {error}")),
    };
    if !file.exists {
        return Finding::failed("is there");
    }
    if let Some(why) = file.max_age_ns.and_then(|max_ns| too_old(&about, max_ns)) {
        return Finding::failed(why);
    }
    if file.contains.is_none() && file.equals.is_none() {
        return Finding::good("is there");
    }
    if !about.is_file() {
        return Finding::failed("is not a regular file");
    }
    match bounded(&file.path, CONTENT_MAX) {
        Ok(bytes) => content(file, &String::from_utf8_lossy(&bytes)),
        Err(error) => Finding::failed(format!("cannot be read: {error}")),
    }
}

fn content(file: &File, text: &str) -> Finding {
    if let Some(wanted) = &file.contains {
        return if text.contains(wanted.as_str()) {
            Finding::good(format!("contains {wanted:?}"))
        } else {
            Finding::failed(format!("does not contain {wanted:?}"))
        };
    }
    let text = text.trim_end();
    match &file.equals {
        Some(wanted) if text != wanted.trim_end() => {
            let short: String = text.chars().take(60).collect();
            Finding::failed(format!("is {short:?}, not {wanted:?}"))
        }
        Some(wanted) => Finding::good(format!("is {wanted:?}")),
        None => Finding::good("is there"),
    }
}

/// Reason why the file is too old, if it is; a time in the future is not old.
fn too_old(about: &fs::Metadata, max_ns: u64) -> Option<String> {
    let age = SystemTime::now()
        .duration_since(about.modified().ok()?)
        .ok()?;
    let max = Duration::from_nanos(max_ns);
    let whole = Duration::from_secs(age.as_secs());
    (age > max).then(|| {
        let (age, max) = (format_duration(whole), format_duration(max));
        format!("was written {age} ago, the limit is {max}")
    })
}
