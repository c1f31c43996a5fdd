//! What outlives the process: of which active node everything is here.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::config::Settings;

/// A file for each server, in the plugin's own folder; without that, nothing is remembered, and
/// leases are offered once more than needed.
#[derive(Debug)]
pub struct Memory {
    files: Vec<Option<PathBuf>>,
}

impl Memory {
    pub fn new(folder: Option<PathBuf>, settings: &Settings) -> Self {
        let file = |name: &str| Some(folder.as_ref()?.join(format!("{name}.follows")));
        let servers = settings.servers.iter();
        Self {
            files: servers.map(|server| file(&server.name)).collect(),
        }
    }

    /// For each server; None: of nobody.
    pub fn recall(&self) -> Vec<Option<u64>> {
        let read = |file: &Option<PathBuf>| {
            let text = fs::read_to_string(file.as_ref()?).ok()?;
            text.trim().parse().ok()
        };
        self.files.iter().map(read).collect()
    }

    pub fn remember(&self, server: usize, life: Option<u64>) {
        let Some(Some(file)) = self.files.get(server) else {
            return;
        };
        let done = match life {
            Some(life) => write(file, life),
            None => forget(file),
        };
        if let Err(error) = done {
            log::warn!("cannot write {}: {error}", file.display());
        }
    }
}

fn write(file: &Path, life: u64) -> io::Result<()> {
    let new = file.with_extension("new");
    fs::write(&new, format!("{life}\n"))?;
    fs::rename(&new, file)
}

/// Certain before anything else happens: who was active must not believe after a crash that it
/// was not.
fn forget(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        result => result?,
    }
    match file.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_recalled_until_it_is_forgotten() {
        let folder = std::env::temp_dir().join(format!("spared-dhcp-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a temporary folder");
        let text = "[[server]]\nkind = \"kea4\"\n[[server]]\nkind = \"kea6\"\n";
        let config = spared_sdk::config::Config::parse(text, "r1", &[]).expect("TOML");
        let settings = crate::config::read(&config).expect("no fault");
        let memory = Memory::new(Some(folder.clone()), &settings);
        assert_eq!(memory.recall(), [None, None]);
        memory.remember(1, Some(u64::MAX));
        assert_eq!(memory.recall(), [None, Some(u64::MAX)]);
        fs::write(folder.join("kea4.follows"), "nonsense").expect("our own folder");
        memory.remember(1, None);
        memory.remember(1, None);
        assert_eq!(memory.recall(), [None, None]);
        fs::remove_dir_all(&folder).expect("our own folder");
        let nowhere = Memory::new(None, &settings);
        nowhere.remember(0, Some(1));
        assert_eq!(nowhere.recall(), [None, None]);
    }
}
