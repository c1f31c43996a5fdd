//! Finds the hooks of a folder.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use spared_sdk::child::trusted;

/// Hooks of a folder, in the order of their names: executable files that only root owns and may write.
///
/// # Errors
/// The second list has a sentence for each refused hook; the first list has the accepted ones. A folder
/// that does not exist has none.
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

// Sentence about a hook. Most sentences already name the file at fault, which may be a folder, or a link's target.
fn named(path: &Path, why: &str) -> String {
    let path = path.display().to_string();
    let why = why.strip_prefix("is not run: ").unwrap_or(why);
    if why.starts_with(&path) {
        why.to_owned()
    } else {
        format!("{path}: {why}")
    }
}

/// True for files left by editors and dpkg, and for hidden files, which run-parts(8) also skips.
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
