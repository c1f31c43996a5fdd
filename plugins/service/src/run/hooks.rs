//! Hooks of a folder.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use spared_sdk::child::trusted;

/// Hooks of a folder, in the order of their names: executable, root's, writable by nobody else.
///
/// # Errors
/// One sentence for each that is refused, beside those that are fine. A folder that is not there
/// has none.
pub fn hooks(folder: &Path) -> (Vec<String>, Vec<String>) {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return (Vec::new(), Vec::new()),
        Err(error) => {
            let refused = format!("{}: {error}", folder.display());
            return (Vec::new(), vec![refused]);
        }
    };
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !is_leftover(name))
        .collect();
    names.sort();
    let (mut fine, mut refused) = (Vec::new(), Vec::new());
    for name in names {
        let path = folder.join(name);
        match trusted(&path) {
            Ok(_) => fine.push(path.display().to_string()),
            Err(why) => refused.push(named(&path, &why.to_string())),
        }
    }
    (fine, refused)
}

// Most sentences name the file that is at fault, which may be another: a folder, or a link's end.
fn named(path: &Path, why: &str) -> String {
    let path = path.display().to_string();
    let why = why.strip_prefix("is not run: ").unwrap_or(why);
    if why.starts_with(&path) {
        why.to_owned()
    } else {
        format!("{path}: {why}")
    }
}

/// Files left by editors and dpkg, and hidden files: run-parts(8) skips them, too.
fn is_leftover(name: &str) -> bool {
    const ENDS: [&str; 6] = [
        "~",
        ".dpkg-old",
        ".dpkg-dist",
        ".dpkg-new",
        ".dpkg-tmp",
        ".swp",
    ];
    name.starts_with('.') || ENDS.iter().any(|end| name.ends_with(end))
}
