//! The host's half: starts workers, exchanges messages with them without blocking, and ends them.

mod check;

pub use check::{CHECK_TIMEOUT, CheckError, Configuration, check};

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use crate::child::{Child, SOCKET_FD};
use crate::starter::{Started, Starter};
use spared_contract::{Call, Cause, Descriptor, FromPlugin, ToPlugin, Value};
use spared_message::clean;
use spared_message::load::Load;
use spared_records::{ReceiveError, Receiver, SendError};

use crate::worker::error_output::ErrorOutput;

/// Descriptor of the plugin's file, in the worker.
pub const PLUGIN_FD: RawFd = 4;

/// Maximum number of characters of a group's name and of the texts of a cause. The rest is cut off.
const TEXT_MAX: usize = 1024;

/// Running worker. Dropping it kills the process.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    socket: OwnedFd,
    receiver: Receiver,
    errors: Option<ErrorOutput>,
}

impl Worker {
    /// Starts `exe worker NAME` and sends `load` to it. The calling thread must outlive the worker, which takes the end
    /// of that thread for the end of the host.
    ///
    /// # Errors
    /// The kernel's: no process or descriptor left, or `exe` is not there.
    pub fn spawn(exe: &Path, load: &Load, plugin: BorrowedFd<'_>) -> io::Result<Self> {
        Self::begin(exe, load, plugin, (None, Stdio::inherit()))
    }

    /// Starts a worker like [`spawn`](Self::spawn), with an error output that [`errors`](Self::errors) reads. A plugin
    /// that runs as root keeps the caller's error output, because its children outlive it and write there too.
    ///
    /// # Errors
    /// As for [`spawn`](Self::spawn).
    pub fn spawn_heard(exe: &Path, load: &Load, plugin: BorrowedFd<'_>) -> io::Result<Self> {
        if load.root {
            return Self::spawn(exe, load, plugin);
        }
        let (errors, theirs) = ErrorOutput::pair()?;
        Self::begin(exe, load, plugin, (Some(errors), theirs.into()))
    }

    fn begin(
        exe: &Path,
        load: &Load,
        plugin: BorrowedFd<'_>,
        (errors, stderr): (Option<ErrorOutput>, Stdio),
    ) -> io::Result<Self> {
        let (socket, theirs) = spared_records::pair()?;
        let placed = [(theirs.as_fd(), SOCKET_FD), (plugin, PLUGIN_FD)];
        let child = Child::spawn(exe, &["worker", &load.name], None, stderr, placed)?;
        drop(theirs);
        let worker = Self {
            child,
            socket,
            receiver: Receiver::default(),
            errors,
        };
        spared_records::send(worker.socket.as_fd(), load, &[]).map_err(unsent)?;
        let roots = load.roots.clone().map(ToPlugin::RootsFile);
        let first = load.check_only.then_some(ToPlugin::CheckOnly).or(roots);
        if let Some(first) = first {
            worker.send(&first, &[]).map_err(unsent)?;
        }
        Ok(worker)
    }

    /// Wraps a worker that the starter has started: it has its [`Load`] already.
    ///
    /// # Errors
    /// The kernel's: no descriptor left.
    pub fn started(started: Started, by: Starter) -> io::Result<Self> {
        Ok(Self {
            child: Child::started(started.process, started.pid, by)?,
            socket: started.socket,
            receiver: Receiver::default(),
            errors: started.errors.map(ErrorOutput::from),
        })
    }

    /// The process, which the starter keeps, and the host's ends of its socket and its error output, which the starter
    /// passes on.
    pub fn into_parts(self) -> (Child, OwnedFd, Option<OwnedFd>) {
        (self.child, self.socket, self.errors.map(OwnedFd::from))
    }

    /// Sends a message, at once or not at all. [`SendError::Full`] means that the worker has not read for hundreds of
    /// messages. Kill it then, because it cannot catch up with the messages that it missed.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn send(
        &self,
        message: &ToPlugin,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), SendError> {
        spared_records::send(self.socket.as_fd(), message, descriptors)
    }

    /// Returns the next message; None if there is none yet. Descriptors from a worker are closed. Texts have no control
    /// characters, because they appear on terminals and in logs.
    ///
    /// # Errors
    /// The worker is gone, or sent an invalid record: kill it.
    pub fn receive(&mut self) -> Result<Option<FromPlugin>, ReceiveError> {
        let received = self.receiver.receive(&self.socket)?;
        Ok(received.map(|(message, _descriptors)| printable(message)))
    }

    /// Length in bytes of the message that [`receive`](Self::receive) returned last.
    pub fn received_bytes(&self) -> usize {
        self.receiver.length
    }

    /// Error output of the worker, until it ends.
    pub fn errors(&mut self) -> Option<&mut ErrorOutput> {
        self.errors.as_mut()
    }

    /// Closes the error output, once it has ended.
    pub fn close_errors(&mut self) {
        self.errors = None;
    }

    /// Process id, for logs and status.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Descriptor that is readable once the process has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.child.pidfd()
    }

    /// Sends SIGKILL. [`exit`](Self::exit) reports when the process has ended.
    pub fn kill(&self) {
        self.child.kill();
    }

    /// Exit status; None while the process runs. Never waits.
    pub fn exit(&mut self) -> Option<ExitStatus> {
        self.child.exit()
    }

    /// Exit reason in words; None while the process runs.
    pub fn exit_reason(&mut self) -> Option<String> {
        self.child.exit_reason()
    }

    /// Peak memory of the process and its children in bytes, once it has ended.
    pub fn peak(&self) -> u64 {
        self.child.peak()
    }

    /// Returns the process without its connection.
    pub fn into_child(self) -> Child {
        self.child
    }
}

impl AsFd for Worker {
    /// Socket, which is readable when [`receive`](Self::receive) has something.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn unsent(error: SendError) -> io::Error {
    io::Error::other(error.to_string())
}

/// Removes control characters, so that a plugin cannot draw on a terminal or make one line of the log look like two.
fn printable(mut message: FromPlugin) -> FromPlugin {
    match &mut message {
        FromPlugin::Log { text, .. }
        | FromPlugin::Loaded(Err(text))
        | FromPlugin::InSync { why: text, .. }
        | FromPlugin::ForgetCheck { name: text } => to_line(text),
        FromPlugin::Check { name, why, .. } => {
            to_line(name);
            to_line(why);
        }
        FromPlugin::Callback { name, why } => {
            to_line(name);
            why.iter_mut().for_each(to_line);
        }
        FromPlugin::Returned { failures, rows, .. } => {
            for failure in failures {
                to_line(&mut failure.key);
                // A usage text may have several lines.
                let lines = failure.why.trim_end().split('\n');
                failure.why = lines.map(clean::line).collect::<Vec<_>>().join("\n");
            }
            for row in rows {
                to_line(&mut row.key);
                if let Value::Text(text) = &mut row.value {
                    to_line(text);
                }
            }
        }
        FromPlugin::Scopes { scopes } => {
            for (key, _) in scopes {
                to_line(key);
            }
        }
        FromPlugin::Loaded(Ok(descriptor)) => {
            let Descriptor {
                version,
                vendor,
                summary,
                verbs,
                ..
            } = descriptor;
            for text in [version, vendor, summary] {
                to_line(text);
            }
            for verb in verbs {
                for text in [&mut verb.word, &mut verb.usage, &mut verb.summary] {
                    to_line(text);
                }
            }
        }
        FromPlugin::Call { call, .. } => printable_call(call),
        FromPlugin::Pong { .. }
        | FromPlugin::Pending { .. }
        | FromPlugin::Document { .. }
        | FromPlugin::Unknown { .. } => {}
    }
    message
}

/// Removes control characters from groups and causes, which reach other workers, the peer and events.
fn printable_call(call: &mut Call) {
    match call {
        Call::Claim { groups } => groups.iter_mut().for_each(|(group, _)| plain(group)),
        Call::Announce { groups } => groups.iter_mut().for_each(plain),
        Call::Publish { groups } => {
            for (group, publication) in groups {
                plain(group);
                plain_cause(&mut publication.cause);
            }
        }
        Call::SwitchOver { group, cause } | Call::Explain { group, cause, .. } => {
            plain(group);
            plain_cause(cause);
        }
        Call::Add { group, .. } => plain(group),
        // Interfaces are checked by the kernel's rules for names.
        Call::Follow { .. } | Call::Unfollow { .. } | Call::Watch { .. } | Call::Unknown { .. } => {
        }
    }
}

fn plain_cause(cause: &mut Cause) {
    for text in [&mut cause.peer, &mut cause.interface, &mut cause.text] {
        plain(text);
    }
}

fn plain(text: &mut String) {
    to_line(text);
    cut(text);
}

/// Cuts a text that would make a record to another worker too long, which would end that worker.
fn cut(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(TEXT_MAX) {
        text.truncate(end);
    }
}

/// Converts a text to one line; most texts are.
pub(crate) fn to_line(text: &mut String) {
    if text.contains(char::is_control) {
        *text = clean::line(text);
    }
}

#[cfg(test)]
mod tests {
    use spared_verdict::CauseKind;

    use super::*;
    use spared_contract::{Cause, Failure, LogLevel, Publication, Role, Row};

    #[test]
    fn control_characters_of_a_plugin_reach_neither_log_nor_terminal() {
        let line = FromPlugin::Log {
            level: LogLevel::Info,
            text: "fine\nspared: forged\x1b[2J\u{9b}1m\n".to_owned(),
        };
        let FromPlugin::Log { text, .. } = printable(line) else {
            panic!("another message");
        };
        assert_eq!(text, "fine spared: forged [2J 1m");
    }

    #[test]
    fn a_cause_that_goes_on_to_others_is_one_line_of_bounded_length() {
        let publication = Publication {
            role: Role::Active,
            reopens: false,
            cause: Cause {
                peer: "\x1b[2J".to_owned(),
                ..Cause::new(CauseKind::Other, "ä".repeat(100_000))
            },
            sent_ns: 0,
        };
        let publish = FromPlugin::Call {
            number: 1,
            call: Call::Publish {
                groups: vec![("office\nspared: forged".to_owned(), publication)],
            },
        };
        let FromPlugin::Call {
            call: Call::Publish { groups },
            ..
        } = printable(publish)
        else {
            panic!("another message");
        };
        let (group, publication) = &groups[0];
        assert_eq!(group, "office spared: forged");
        let cause = &publication.cause;
        assert_eq!(cause.peer, " [2J");
        assert_eq!(cause.text, "ä".repeat(TEXT_MAX));
    }

    #[test]
    fn lines_of_a_usage_stay_lines() {
        let returned = FromPlugin::Returned {
            token: 1,
            status: -22,
            failures: vec![Failure {
                key: "a\tb".to_owned(),
                why: "usage: x\n       y\x07".to_owned(),
            }],
            rows: vec![Row {
                key: "k".to_owned(),
                value: Value::Text("one\ntwo".to_owned()),
            }],
            missing: false,
        };
        let FromPlugin::Returned { failures, rows, .. } = printable(returned) else {
            panic!("another message");
        };
        assert_eq!(failures[0].key, "a b");
        assert_eq!(failures[0].why, "usage: x\n       y ");
        // in a table a line is a row
        assert_eq!(rows[0].value, Value::Text("one two".to_owned()));
    }
}
