//! Names of the keys that plugins declare secret, by plugin. The daemon stores them in a file, so that a report masks
//! their values after the daemon's death as well.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use spared_contract::Scope;

const NAME: &str = "secret-keys";

/// Secret keys of each plugin that has run, such as "server.community".
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SecretKeys(BTreeMap<String, Vec<String>>);

impl SecretKeys {
    /// Reads the keys that the running or last daemon stored since the machine started. None are known if the file does
    /// not exist.
    pub fn read(runtime_dir: &Path) -> Self {
        let text = fs::read_to_string(runtime_dir.join(NAME)).unwrap_or_default();
        Self(serde_json::from_str(&text).unwrap_or_default())
    }

    /// Stores the keys that a plugin declares, also in the file if they are new.
    ///
    /// # Errors
    /// The file cannot be replaced.
    pub fn note(
        &mut self,
        plugin: &str,
        of: &[(String, Scope)],
        runtime_dir: &Path,
    ) -> io::Result<()> {
        if self.set(plugin, of) {
            self.write(runtime_dir)
        } else {
            Ok(())
        }
    }

    // Returns true if the keys are new.
    fn set(&mut self, plugin: &str, scopes: &[(String, Scope)]) -> bool {
        let secret = scopes.iter().filter(|(_, scope)| *scope == Scope::Secret);
        let keys: Vec<String> = secret.map(|(key, _)| key.clone()).collect();
        let before = self.0.insert(plugin.to_owned(), keys.clone());
        before.as_ref() != Some(&keys)
    }

    fn write(&self, runtime_dir: &Path) -> io::Result<()> {
        let new = runtime_dir.join(format!("{NAME}.new"));
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        serde_json::to_writer(options.open(&new)?, &self.0).map_err(io::Error::other)?;
        fs::rename(new, runtime_dir.join(NAME))
    }

    /// Secret keys of a plugin; None if it has not run, so that nobody knows them.
    pub fn of(&self, plugin: &str) -> Option<&[String]> {
        self.0.get(plugin).map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_plugin_declares_is_read_again() {
        let dir = std::env::temp_dir().join(format!("spared-secret-keys-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        assert_eq!(SecretKeys::read(&dir), SecretKeys::default());
        let mut keys = SecretKeys::default();
        let scopes = [
            ("server.community".to_owned(), Scope::Secret),
            ("server.port".to_owned(), Scope::Node),
        ];
        assert!(keys.set("radius", &scopes));
        assert!(!keys.set("radius", &scopes));
        assert!(keys.set("sets", &[]));
        keys.write(&dir).unwrap();
        let read = SecretKeys::read(&dir);
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(
            read.of("radius"),
            Some(&["server.community".to_owned()][..])
        );
        assert_eq!(read.of("sets"), Some(&[][..]));
        assert_eq!(read.of("other"), None);
    }
}
