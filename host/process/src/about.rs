//! What the kernel says about a process, from /proc.

use std::fs::File;
use std::io::Read;

/// More than any of these files has in the lines that are asked for.
const BYTES: usize = 4096;

/// The beginning of a file of a process; None if the process is gone. The host reads three of each child every
/// second: in one call, where `fs::read_to_string` takes eight, as such a file has no length.
pub fn text(pid: u32, file: &str) -> Option<String> {
    let mut bytes = [0; BYTES];
    let count = File::open(format!("/proc/{pid}/{file}"))
        .and_then(|mut file| file.read(&mut bytes))
        .ok()?;
    Some(String::from_utf8_lossy(bytes.get(..count)?).into_owned())
}

/// Real-time priority of a process; 0: it has none. None if the kernel does not say.
pub fn real_time_priority(pid: u32) -> Option<u32> {
    let stat = text(pid, "stat")?;
    // the command in parentheses may hold anything; fields 40 and 41 are priority and policy
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
