//! The client half of the control socket: connect, ask one request, read its answer.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};

use crate::{Answer, Request, SOCKET_NAME};

/// Longest answer that is read; the events of a week are far below.
const ANSWER_MAX: u64 = 64 * 1024 * 1024;

/// Asks the daemon that owns `runtime_dir` and waits at most `patience` for its answer.
pub fn ask(runtime_dir: &Path, request: &Request, patience: Duration) -> Result<Answer, AskError> {
    let path = runtime_dir.join(SOCKET_NAME);
    exchange(&path, request, patience).map_err(|fault| fault.at(path, patience))
}

/// Why there is no answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum AskError {
    /// No socket, or nobody behind it.
    NotRunning { path: PathBuf },
    /// The caller may not open the socket.
    Permission { path: PathBuf },
    /// Somebody holds the socket and does not answer: stopped, or hung.
    Silent { path: PathBuf, after: Duration },
    /// The answer is not one of this version.
    Garbled { path: PathBuf, why: String },
    /// Anything else that the kernel says.
    Io { path: PathBuf, source: io::Error },
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRunning { path } => {
                write!(
                    f,
                    "spared is not running (nobody answers at {})",
                    path.display()
                )
            }
            Self::Permission { path } => write!(
                f,
                "no permission to open {}: be root, or join its group: usermod -aG spared USER, then log in again",
                path.display()
            ),
            Self::Silent { path, after } => write!(
                f,
                "spared holds {} and did not answer for {} s: its process is stopped or hung",
                path.display(),
                after.as_secs_f32()
            ),
            Self::Garbled { path, why } => write!(
                f,
                "{}: the answer is not understood ({why}): are sparectl and spared of one version?",
                path.display()
            ),
            Self::Io { path, source } => write!(f, "{}: {source}", path.display()),
        }
    }
}

impl std::error::Error for AskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

// A fault before it is known at which path.
enum Fault {
    Io(io::Error),
    Garbled(String),
}

impl Fault {
    fn at(self, path: PathBuf, patience: Duration) -> AskError {
        let source = match self {
            Self::Garbled(why) => return AskError::Garbled { path, why },
            Self::Io(source) => source,
        };
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                AskError::NotRunning { path }
            }
            io::ErrorKind::PermissionDenied => AskError::Permission { path },
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => AskError::Silent {
                path,
                after: patience,
            },
            _ => AskError::Io { path, source },
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn exchange(path: &Path, request: &Request, patience: Duration) -> Result<Answer, Fault> {
    let mut stream = connect(path, patience)?;
    let mut line = serde_json::to_string(request).map_err(|e| Fault::Garbled(e.to_string()))?;
    line.push('\n');
    // A refusal may come before the request is read: the answer says more than a broken pipe.
    let sent = stream.write_all(line.as_bytes());

    let mut answer = Vec::new();
    BufReader::new((&stream).take(ANSWER_MAX)).read_until(b'\n', &mut answer)?;
    if answer.is_empty() {
        sent?;
        return Err(Fault::Garbled("it closed the connection".into()));
    }
    serde_json::from_slice(&answer).map_err(|e| Fault::Garbled(e.to_string()))
}

// The timeout is set before connecting, because connect() waits where a stopped daemon's backlog
// is full.
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
