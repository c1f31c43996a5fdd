//! Whose word a configuration is: a plugin that runs as root takes root's alone. The daemon, which need not be root,
//! repeats it.

use std::fs::File;
use std::io::{self, Read};

use rustix::fs::{Mode, OFlags, fstat, open};
use spared_contract::{RootsFile, Surroundings};

use crate::config::{self, ConfigTable};

/// Bits of a file's mode by which others than its owner may write it.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Configuration of the plugin, according to the starter of this process.
#[derive(Clone, Debug)]
pub struct Roots(pub RootsFile);

impl Roots {
    /// Permits a configuration that is root's, and corrects the plugin's folder.
    ///
    /// # Errors
    /// It is not root's, and what to do.
    pub fn permit(
        &self,
        table: &ConfigTable,
        surroundings: &mut Surroundings,
    ) -> Result<(), String> {
        let Self(file) = self;
        surroundings.state.clone_from(&file.state);
        // of a table by node name, the daemon does not say whose value holds
        if (&surroundings.node, &surroundings.nodes) != (&file.node, &file.nodes) {
            return Err(
                "runs as root, and the names of the nodes are others than at its start: restart spared".to_owned(),
            );
        }
        // after a change, until this process is started anew
        let is_there = || read(&file.path).is_ok_and(|text| says(&text, table));
        if file.tables.contains(table) || is_there() {
            return Ok(());
        }
        let path = &file.path;
        Err(format!(
            "runs as root, and this configuration differs from {path}: reload the configuration"
        ))
    }
}

/// The file as it is now, if nobody but this process's user can have written it.
fn read(path: &str) -> io::Result<String> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = open(path, flags, Mode::empty())?;
    let about = fstat(&file)?;
    let is_own = about.st_uid == rustix::process::geteuid().as_raw();
    if !is_own || about.st_mode & WRITABLE_BY_OTHERS != 0 {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let mut text = String::new();
    File::from(file).read_to_string(&mut text)?;
    Ok(text)
}

/// Returns true if a file of root's has these values: all of them, and no other.
fn says(text: &str, table: &ConfigTable) -> bool {
    config::table(text).as_ref() == Ok(table)
}
