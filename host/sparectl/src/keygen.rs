//! `sparectl keygen`: makes this node's key for the link, and prints its line for `[nodes]`.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use spared_key::{PrivateKey, public_text};

use crate::{EXIT_FAILED, output};

pub fn run(file: &Path, replace: bool) -> u8 {
    match make(file, replace) {
        Ok(line) => {
            output::text(&format!("{line}\n"));
            0
        }
        Err(why) => {
            output::errors(&[format!("keygen: {}: {why}", file.display())]);
            EXIT_FAILED
        }
    }
}

fn make(file: &Path, replace: bool) -> Result<String, String> {
    if file.exists() && !replace {
        return Err(kept(file));
    }
    let key = PrivateKey::generate().map_err(|error| error.to_string())?;
    write(file, &key).map_err(|error| error.to_string())?;
    Ok(line(&key))
}

// What one wants to know who runs it a second time is the public key of the first.
fn kept(file: &Path) -> String {
    let there = fs::read_to_string(file).map_err(|error| error.to_string());
    let key = there.and_then(|text| PrivateKey::parse(&text).map_err(|error| error.to_string()));
    match key {
        Ok(key) => format!(
            "is there and is kept (--replace makes another). Its line:\n{}",
            line(&key)
        ),
        Err(why) => format!("is there and is kept (--replace makes another): {why}"),
    }
}

fn line(key: &PrivateKey) -> String {
    let node = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let node = match node.trim() {
        "" => "NODE",
        name => name,
    };
    format!("{node}.public_key = \"{}\"", public_text(&key.public()))
}

// Beside it and renamed: never half a key, never one that others may read.
fn write(file: &Path, key: &PrivateKey) -> io::Result<()> {
    let beside = file.with_extension("new");
    let _ = fs::remove_file(&beside);
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut new = options.open(&beside)?;
    new.write_all(format!("{}\n", key.to_text()).as_bytes())?;
    new.sync_all()?;
    fs::rename(&beside, file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_for_its_owner_alone_and_kept() {
        let folder = std::env::temp_dir().join(format!("spared-keygen-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join("key");
        let line = make(&file, false).expect("a key");
        assert!(line.contains(".public_key = \"sk1:"), "{line}");
        let mode = fs::metadata(&file).expect("the key").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = make(&file, false).expect_err("it is kept");
        assert!(again.ends_with(&line), "{again}");
        assert_ne!(make(&file, true).expect("another"), line);
        fs::remove_dir_all(&folder).expect("removed");
    }
}
