//! Rules for texts that occur in the files of many plugins.

use std::path::{Component, Path};

use super::Section;

/// IFNAMSIZ without its NUL.
const INTERFACE_NAME_MAX: usize = 15;

impl Section<'_> {
    /// True if `text` is an absolute path without ".."; if not, notes a fault of `key`.
    pub fn fits_path(&self, key: &str, text: &str) -> bool {
        let fits = is_path(text);
        if !fits {
            self.fault(
                key,
                format!("found {text:?}, allowed is an absolute path without \"..\""),
            );
        }
        fits
    }

    /// True if `name` can be an interface's name; if not, notes a fault of `key`.
    pub fn fits_interface(&self, key: &str, name: &str) -> bool {
        let fits = is_interface(name);
        if !fits {
            self.fault(
                key,
                format!("found {name:?}, allowed is an interface's name"),
            );
        }
        fits
    }
}

/// True for an absolute path without "..".
pub fn is_path(text: &str) -> bool {
    let path = Path::new(text);
    let climbs = path.components().any(|part| part == Component::ParentDir);
    path.is_absolute() && !climbs && !text.contains('\0')
}

/// True for a name that an interface can have.
pub fn is_interface(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= INTERFACE_NAME_MAX
        && name != "."
        && name != ".."
        && name.chars().all(|c| c.is_ascii_graphic() && c != '/')
}
