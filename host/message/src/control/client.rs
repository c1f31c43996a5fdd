//! The client half of the control socket: connect, send one request, read its answer.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};

use crate::control::{Answer, BEGUN, Request, SOCKET_NAME};

/// Maximum bytes of an answer, far more than the daemon sends.
const ANSWER_MAX: u64 = 64 * 1024 * 1024;

/// Asks the daemon of `runtime_dir`, and waits at most `patience` for its answer.
pub fn ask(runtime_dir: &Path, request: &Request, patience: Duration) -> Result<Answer, AskError> {
    let path = runtime_dir.join(SOCKET_NAME);
    let answer = exchange(&path, request, patience);
    answer
        .unwrap_or_else(|source| Err(Fault::of(source, patience)))
        .map_err(|fault| AskError { path, fault })
}

/// Failure to get an answer.
#[derive(Debug)]
pub struct AskError {
    /// Path of the socket.
    pub path: PathBuf,
    /// Cause of the failure.
    pub fault: Fault,
}

/// Cause of a failure to get an answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum Fault {
    /// There is no socket, or no process listens on it.
    NotRunning,
    /// The caller may not open the socket.
    Permission,
    /// The daemon holds the socket and did not answer for this long: it is stopped or hung.
    Silent(Duration),
    /// The daemon began to carry out the order, and did not report the result for this long.
    Unfinished(Duration),
    /// The daemon closed the connection without an answer: it ended meanwhile.
    Closed,
    /// This version does not understand the answer.
    Garbled(String),
    /// Any other error of the kernel.
    Io(io::Error),
}

impl AskError {
    /// True if the daemon does not run, or does not answer.
    pub fn is_down(&self) -> bool {
        matches!(
            self.fault,
            Fault::NotRunning | Fault::Silent(_) | Fault::Unfinished(_)
        )
    }
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.fault {
            Fault::NotRunning => write!(f, "spared is not running (no answer at {path})"),
            Fault::Permission => write!(
                f,
                "no permission to open {path}: be root, or join its group: usermod -aG spared USER, \
                 then log in again"
            ),
            Fault::Silent(after) => write!(
                f,
                "spared holds {path} and did not answer for {} s: its process is stopped or hung",
                after.as_secs_f32()
            ),
            Fault::Unfinished(after) => write!(
                f,
                "spared holds {path}, began this command, and did not say within {} s how it ended: see \
                 `sparectl status` and `sparectl events`",
                after.as_secs_f32()
            ),
            Fault::Closed => write!(
                f,
                "spared closed {path} without an answer, perhaps because it is stopping: try again, and see its \
                 journal"
            ),
            Fault::Garbled(why) => write!(
                f,
                "{path}: invalid answer ({why}): are sparectl and spared the same version?"
            ),
            Fault::Io(source) => write!(f, "{path}: {source}"),
        }
    }
}

impl std::error::Error for AskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.fault {
            Fault::Io(source) => Some(source),
            _ => None,
        }
    }
}

impl Fault {
    fn of(source: io::Error, patience: Duration) -> Self {
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Self::NotRunning,
            io::ErrorKind::PermissionDenied => Self::Permission,
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::Silent(patience),
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Self::Closed,
            _ => Self::Io(source),
        }
    }
}

// Sends the request and reads the answer. The outer error is the kernel's; the inner one is about the answer.
fn exchange(
    path: &Path,
    request: &Request,
    patience: Duration,
) -> io::Result<Result<Answer, Fault>> {
    let mut stream = connect(path, patience)?;
    let mut line = serde_json::to_string(request).map_err(io::Error::other)?;
    line.push('\n');
    // The daemon may refuse before it has read the request: its answer says more than a broken pipe.
    let sent = stream.write_all(line.as_bytes());

    let mut answer = Vec::new();
    let read = BufReader::new((&stream).take(ANSWER_MAX)).read_until(b'\n', &mut answer);
    if let Err(error) = read {
        withdraw(&mut stream, &mut answer)?;
        match (answer.as_slice(), Fault::of(error, patience)) {
            ([.., b'\n'], _) => {}
            ([BEGUN, ..], Fault::Silent(_)) => return Ok(Err(Fault::Unfinished(patience))),
            (_, fault) => return Ok(Err(fault)),
        }
    }
    if answer.iter().all(|byte| *byte == BEGUN) {
        sent?;
        return Ok(Err(Fault::Closed));
    }
    let answer = serde_json::from_slice(&answer);
    Ok(answer.map_err(|error| Fault::Garbled(error.to_string())))
}

// Gives up. Once this end is closed for reading, the daemon begins nothing more, so the bytes that it wrote before are
// all.
fn withdraw(stream: &mut UnixStream, answer: &mut Vec<u8>) -> io::Result<()> {
    stream.shutdown(Shutdown::Read)?;
    stream.take(ANSWER_MAX).read_to_end(answer)?;
    Ok(())
}

// Connects. The timeout is set first, because connect() waits if a stopped daemon's backlog is full.
fn connect(path: &Path, patience: Duration) -> io::Result<UnixStream> {
    let address = SocketAddrUnix::new(path)?;
    let socket: OwnedFd = net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(patience))?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(patience))?;
    loop {
        match net::connect(&socket, &address) {
            Err(Errno::INTR) => continue,
            result => break result?,
        }
    }
    Ok(UnixStream::from(socket))
}

#[cfg(test)]
mod tests;
