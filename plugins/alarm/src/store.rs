//! File with the book, in the folder of the plugin.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use spared_file::{Access, replace};

use crate::engine::Book;

pub const NAME: &str = "book.json";

/// Saved book. A missing one is empty, and so is one that is damaged: findings that last are then told again.
pub fn load(path: &Path) -> Book {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            if error.kind() != ErrorKind::NotFound {
                log::warn!("{}: {error}", path.display());
            }
            return Book::default();
        }
    };
    Book::load(&bytes).unwrap_or_else(|why| {
        let shown = path.display();
        log::warn!("{shown} is damaged, findings that last are told again: {why}");
        Book::default()
    })
}

/// # Errors
/// A sentence that names the file.
pub fn save(path: &Path, bytes: &[u8]) -> Result<(), String> {
    replace(path, bytes, Access::Private, || Ok(()))
}
