//! Reads from /proc what the kernel reports about a process.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;

/// Maximum bytes that are read, more than the needed lines of any of these files have.
const BYTES: usize = 4096;
/// Maximum bytes of files that are read every second.
const SHORT: usize = 256;

/// Beginning of a file of a process; None if the process is gone. One call reads it: `fs::read_to_string` needs eight,
/// because such a file has no length.
pub fn text(pid: u32, file: &str) -> Option<String> {
    let mut bytes = [0; BYTES];
    let count = File::open(format!("/proc/{pid}/{file}"))
        .and_then(|mut file| file.read(&mut bytes))
        .ok()?;
    Some(String::from_utf8_lossy(bytes.get(..count)?).into_owned())
}

/// File of a process that is read every second. It stays open: opening and closing it costs more than reading it.
#[derive(Debug)]
pub struct CachedProcFile {
    pid: u32,
    name: &'static str,
    file: Option<File>,
}

impl CachedProcFile {
    /// Creates it for a process that is not reaped yet.
    pub fn new(pid: u32, name: &'static str) -> Self {
        let file = None;
        Self { pid, name, file }
    }

    /// Present beginning of the file; None if the process is gone, or no descriptor is left.
    pub fn text(&mut self) -> Option<String> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(File::open(format!("/proc/{}/{}", self.pid, self.name)).ok()?),
        };
        let mut bytes = [0; SHORT];
        let count = file.read_at(&mut bytes, 0).ok()?;
        Some(String::from_utf8_lossy(bytes.get(..count)?).into_owned())
    }
}

/// Real-time priority of a process; 0 if it has none, None if the kernel does not report it.
pub fn real_time_priority(pid: u32) -> Option<u32> {
    let stat = text(pid, "stat")?;
    // the command in parentheses may contain anything; fields 40 and 41 are priority and policy
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split_ascii_whitespace().skip(37);
    let (priority, policy) = (fields.next()?.parse().ok()?, fields.next()?);
    let is_real_time = ["1", "2"].contains(&policy);
    Some(if is_real_time { priority } else { 0 })
}

/// User id under which a process runs; None if the process is gone.
pub fn account(pid: u32) -> Option<u32> {
    let status = text(pid, "status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}
