//! Probes of the machine: children, connections, and files.
//!
//! [`read`] may block, on a disk or a file server that does not answer: it has a thread of its own.

pub mod child;
mod content;
mod load;
mod members;
mod process;
mod route;
mod sensor;
mod smart;
mod storage;
pub mod tcp;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::config::Kind;
use crate::engine::Finding;

/// Root of /proc and /sys: "/", or a copy for tests.
#[derive(Clone, Debug)]
pub struct Root(PathBuf);

impl Root {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    fn join(&self, path: &str) -> PathBuf {
        self.0.join(path.trim_start_matches('/'))
    }
}

/// Looks at what `kind` names; nothing where there is nothing to judge.
pub fn read(root: &Root, kind: &Kind) -> Vec<Finding> {
    match kind {
        Kind::Interface { interface, .. } => members::read(root, interface),
        Kind::Process(process) => vec![process::read(root, process)],
        Kind::File(file) => vec![content::read(file)],
        Kind::Disk { path, min_free } => vec![storage::free(path, *min_free)],
        Kind::ReadOnly { path } => vec![storage::writable(root, path)],
        Kind::Sensor(sensor) => sensor::read(root, sensor).into_iter().collect(),
        Kind::Smart { path, max_age_ns } => smart::read(path, *max_age_ns).into_iter().collect(),
        Kind::Conntrack { max_used } => load::connections(root, *max_used).into_iter().collect(),
        Kind::Pressure(pressure) => load::pressure(root, *pressure).into_iter().collect(),
        Kind::Route(route) => vec![route::read(*route)],
        Kind::Ping(_) | Kind::Tcp { .. } | Kind::Unit { .. } | Kind::Script { .. } => Vec::new(),
    }
}

/// A file of the kernel's in one line; None where it is not there, or does not answer.
fn line(path: &Path) -> Option<String> {
    let text = bounded(path, 4096).ok()?;
    Some(String::from_utf8_lossy(&text).trim().to_owned())
}

fn number(path: &Path) -> Option<i64> {
    line(path)?.parse().ok()
}

/// At most `most` bytes of a file.
fn bounded(path: &Path, most: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The names in a directory, sorted; none where it is not there.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}
