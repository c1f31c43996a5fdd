//! Probes of the machine: children, connections, and files.
//!
//! [`read`] may block on a disk or a file server that does not answer, so it runs on a thread of its own.

pub mod child;
mod content;
mod load;
mod members;
mod number;
mod process;
mod route;
mod sensor;
mod smart;
mod storage;
pub mod tcp;

use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

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

/// Examines the object of `kind`; no finding if there is nothing to judge.
pub fn read(root: &Root, kind: &Kind) -> Vec<Finding> {
    match kind {
        Kind::Interface { interface, .. } => members::read(root, interface),
        Kind::Process(process) => vec![process::read(root, process)],
        Kind::File(file) => vec![content::read(file)],
        Kind::Disk { path, min_free } => vec![storage::free(path, *min_free)],
        Kind::ReadOnly { path } => vec![storage::writable(root, path)],
        Kind::Sensor(sensor) => found(sensor::read(root, sensor)),
        Kind::Smart { path, max_age_ns } => found(smart::read(path, *max_age_ns)),
        Kind::Conntrack { max_used } => found(load::connections(root, *max_used)),
        Kind::Pressure(pressure) => found(load::pressure(root, *pressure)),
        Kind::Route(route) => vec![route::read(*route)],
        Kind::Number(number) => vec![number::read(number)],
        Kind::Ping(_) | Kind::Tcp { .. } | Kind::Unit { .. } | Kind::Script { .. } => Vec::new(),
    }
}

/// Findings of a probe, or a failure with the reason why it could not look; none if there is nothing to judge.
fn found(judged: Result<Option<Finding>, String>) -> Vec<Finding> {
    let finding = judged.unwrap_or_else(|why| Some(Finding::failed(why)));
    finding.into_iter().collect()
}

/// Line of a file of the kernel; None if the file does not exist, or cannot be read.
fn line(path: &Path) -> Option<String> {
    let text = bounded(path, 4096).ok()?;
    Some(String::from_utf8_lossy(&text).trim().to_owned())
}

fn number(path: &Path) -> Option<i64> {
    line(path)?.parse().ok()
}

/// Number in a file of the kernel; None if the file does not exist.
///
/// # Errors
/// A sentence: the file cannot be read.
fn number_there(path: &Path) -> Result<Option<i64>, String> {
    let number = line_there(path)?.map(|line| line.parse());
    number.transpose().map_err(|_| "gives no number".to_owned())
}

/// Line of a file of the kernel; None if the file does not exist, or if the kernel has switched off the feature.
fn line_there(path: &Path) -> Result<Option<String>, String> {
    match bounded(path, 4096) {
        Ok(text) => Ok(Some(String::from_utf8_lossy(&text).trim().to_owned())),
        Err(error) if is_nothing(&error) => Ok(None),
        Err(error) => Err(format!("cannot be read: {error}")),
    }
}

fn is_nothing(error: &std::io::Error) -> bool {
    let is_off = Errno::from_io_error(error) == Some(Errno::OPNOTSUPP);
    is_off || error.kind() == ErrorKind::NotFound
}

/// Reads at most `most` bytes of a file.
fn bounded(path: &Path, most: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Names in a directory, sorted; none if the directory does not exist.
///
/// # Errors
/// A sentence: the directory cannot be read, so its content is not known.
fn names(directory: &Path) -> Result<Vec<String>, String> {
    let unread = |error| format!("{} cannot be read: {error}", directory.display());
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unread(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(unread)?.file_name();
        names.extend(name.into_string().ok());
    }
    names.sort();
    Ok(names)
}
