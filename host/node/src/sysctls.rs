//! Reads kernel settings repeatedly. Their files stay open, as opening and closing a file costs more than reading it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

const ROOT: &str = "/proc/sys/";
/// Maximum length of a value, in bytes.
const VALUE_MAX: usize = 64;
/// Number of reads after which a folder is listed again: a module may add settings.
const LISTED_FOR: u32 = 12;

/// Open files, by path below /proc/sys.
#[derive(Debug, Default)]
pub struct Sysctls {
    files: HashMap<String, File>,
    names: Vec<String>,
    reads: u32,
}

impl Sysctls {
    /// Returns the value of a setting, with one space between its words. None if the kernel does not have the setting,
    /// or the value is too long.
    pub fn value(&mut self, path: &str) -> Option<String> {
        // an open file may belong to a device that is gone
        let known = self.files.get(path).and_then(read);
        let text = known.or_else(|| {
            self.files.remove(path);
            let file = File::open(format!("{ROOT}{path}")).ok()?;
            let text = read(&file)?;
            self.files.insert(path.to_owned(), file);
            Some(text)
        })?;
        let words: Vec<&str> = text.split_whitespace().collect();
        Some(words.join(" ")).filter(|value| value.len() <= VALUE_MAX)
    }

    /// Returns the names of the wanted settings of a folder.
    pub fn names(&mut self, folder: &str, is_wanted: impl Fn(&str) -> bool) -> Vec<String> {
        if self.names.is_empty() || self.reads % LISTED_FOR == 0 {
            let entries = fs::read_dir(format!("{ROOT}{folder}"));
            let entries = entries.into_iter().flatten().flatten();
            let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
            self.names = names.filter(|name| is_wanted(name)).collect();
        }
        self.reads = self.reads.wrapping_add(1);
        self.names.clone()
    }
}

fn read(file: &File) -> Option<String> {
    let mut bytes = [0; 4 * VALUE_MAX];
    let count = file.read_at(&mut bytes, 0).ok()?;
    let text = bytes.get(..count)?;
    Some(String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_as_the_kernel_has_it_at_each_read() {
        let mut sysctls = Sysctls::default();
        let path = "kernel/ostype";
        for _ in 0..2 {
            assert_eq!(sysctls.value(path).as_deref(), Some("Linux"));
        }
        assert_eq!(sysctls.value("kernel/random/nothing"), None);
        // the value differs at each read, so nothing is cached
        let uuid = |sysctls: &mut Sysctls| sysctls.value("kernel/random/uuid");
        assert_ne!(uuid(&mut sysctls), uuid(&mut sysctls));
        assert_eq!(sysctls.files.len(), 2);
    }
}
