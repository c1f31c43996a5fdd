//! Settings of interfaces under /proc/sys/net, and their previous values.

use std::collections::BTreeMap;
use std::io;

/// Changed settings of the administrator's interfaces, which are restored at the end.
#[derive(Default)]
pub struct Borrowed(BTreeMap<String, String>);

impl Borrowed {
    /// Sets a value for the time that spared runs.
    pub fn set(&mut self, family: &str, interface: &str, key: &str, value: &str) -> io::Result<()> {
        let path = path(family, interface, key);
        let old = std::fs::read_to_string(&path)?.trim().to_owned();
        if old != value {
            std::fs::write(&path, value)?;
            self.0.entry(path).or_insert(old);
        }
        Ok(())
    }

    /// Restores the settings that still exist.
    pub fn put_back(&mut self) {
        for (path, old) in std::mem::take(&mut self.0) {
            // The interface may be gone, and its settings with it.
            let _ = std::fs::write(path, old);
        }
    }
}

/// Sets a value on a device of our own.
pub fn set(family: &str, interface: &str, key: &str, value: &str) -> io::Result<()> {
    std::fs::write(path(family, interface, key), value)
}

fn path(family: &str, interface: &str, key: &str) -> String {
    format!("/proc/sys/net/{family}/conf/{interface}/{key}")
}
