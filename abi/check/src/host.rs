//! The host's side of a worker with the plugin, confined as by the host.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use spared_abi as abi;
use spared_contract::{
    Call, ConfigTable, Descriptor, FromPlugin, LogLevel, Role, RoleEvent, RootsFile, Surroundings,
    ToPlugin,
};
use spared_message::load::{Asks, Load};
use spared_message::plugin_files::Opened;
use spared_process::account::CHECK_ACCOUNT;
use spared_process::worker::capabilities;
use spared_process::worker::error_output::ErrorOutput;
use spared_process::worker::is_refusal;
use spared_process::worker::process::Worker;

use crate::finding::Finding;

/// How long each answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Error that a plugin gets in place of a document.
const EIO: i32 = 5;
/// Lines of its log that are shown.
const LINES_MAX: u32 = 20;

/// Lines that the loops of plugins log at level ERROR about misuse: a call from another thread, or of what is not the
/// plugin's own.
const WRONG_THREAD: &str = "() from a thread other than the loop's";
const CLOSED_DESCRIPTOR: &str = "closed a descriptor of its worker (";
/// The end of a line at level DEBUG about a callback that took long.
const SLOW: &str = ", limit is 50 ms";

/// Reasons that a loop gives for a plugin that has said nothing of its synchrony since an up or a down.
const UNTOLD: [&str; 3] = ["", "not reported yet", "peer is down"];

/// Names of the nodes: this one, and its peer.
pub const NODES: [&str; 2] = ["r1", "r2"];

/// The plugin's name, which is its file's.
pub fn name_of(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default();
    stem.to_string_lossy().into_owned()
}

/// The descriptor in the file's note.
///
/// # Errors
/// The file is no plugin, or what is wrong with the note.
pub fn describe(path: &Path) -> Result<Descriptor, String> {
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    spared_process::worker::describe(&name_of(path), file.as_fd())
}

/// A worker that is asked and told by a check.
pub struct Host {
    worker: Worker,
    pub descriptor: Descriptor,
    pub findings: Vec<Finding>,
    /// Number of messages that have an effect on the host.
    pub effects: u32,
    /// True if it has said whether it is in sync: yes, or why not.
    pub has_told_in_sync: bool,
    token: u64,
    lines: u32,
}

impl Host {
    /// Starts a worker, which loads the plugin, with the rights for this configuration. `roots` is root's file, if the
    /// plugin is to be told.
    ///
    /// # Errors
    /// No worker, or why the plugin is not loaded.
    pub fn spawn(
        path: &Path,
        config: &ConfigTable,
        roots: Option<RootsFile>,
    ) -> Result<Self, String> {
        let words = |error: std::io::Error| format!("cannot start a worker: {error}");
        let descriptor = describe(path)?;
        let exe = std::env::current_exe().map_err(words)?;
        let file = File::open(path).map_err(words)?;
        let load = Load {
            roots,
            ..load(path, &descriptor, config)
        };
        let worker = Worker::spawn_heard(&exe, &load, file.as_fd()).map_err(words)?;
        let mut host = Self {
            worker,
            descriptor,
            findings: Vec::new(),
            effects: 0,
            has_told_in_sync: false,
            token: 0,
            lines: 0,
        };
        host.hear_of("load", |message| match message {
            FromPlugin::Loaded(loaded) => Some(loaded),
            _ => None,
        })??;
        Ok(host)
    }

    /// Configures and starts the plugin.
    pub fn begin(&mut self, config: &ConfigTable) -> Result<(), String> {
        self.ask("configure", configure(config, false))?;
        self.ask("start", |token| ToPlugin::Start { token })
    }

    /// Makes a call that must succeed.
    fn ask(&mut self, callback: &str, message: impl FnOnce(u64) -> ToPlugin) -> Result<(), String> {
        match self.call(callback, message)? {
            (0.., _) => Ok(()),
            (status, why) => Err(format!("{callback} failed: {}", reason(status, &why))),
        }
    }

    /// Makes a call that may fail or stay pending, as it may need something that is not here. It must
    /// not end the worker or block it.
    pub fn say(
        &mut self,
        callback: &str,
        message: impl FnOnce(u64) -> ToPlugin,
    ) -> Result<(), String> {
        self.token += 1;
        self.send(&message(self.token));
        self.pass(callback)
    }

    /// Waits until the plugin has heard all that was said.
    pub fn pass(&mut self, callback: &str) -> Result<(), String> {
        self.token += 1;
        let wanted = self.token;
        self.send(&ToPlugin::Ping { number: wanted });
        self.hear_of(callback, |message| {
            matches!(message, FromPlugin::Pong { number, .. } if number == wanted).then_some(())
        })
    }

    /// Makes a call; the status, and the reasons given by fail().
    pub fn call(
        &mut self,
        callback: &str,
        message: impl FnOnce(u64) -> ToPlugin,
    ) -> Result<(abi::Status, String), String> {
        let ended = self.call_within(callback, PATIENCE, message)?;
        ended.ok_or_else(|| unanswered(callback))
    }

    /// The same; None if it is not through in time.
    pub fn call_within(
        &mut self,
        callback: &str,
        limit: Duration,
        message: impl FnOnce(u64) -> ToPlugin,
    ) -> Result<Option<(abi::Status, String)>, String> {
        self.token += 1;
        let wanted = self.token;
        self.send(&message(wanted));
        self.wait(callback, limit, |message| match message {
            FromPlugin::Returned {
                token,
                status,
                failures,
                ..
            } if token == wanted => {
                let said = failures.into_iter().map(|it| match it.key.as_str() {
                    "" => it.why,
                    key => format!("{key}: {}", it.why),
                });
                Some((status, said.collect::<Vec<_>>().join("; ")))
            }
            // A start may be pending for 90 s; that is not waited for here.
            FromPlugin::Pending { token } if token == wanted && callback == "start" => {
                Some((0, String::new()))
            }
            _ => None,
        })
    }

    /// Sends a message; reading notices a worker that is gone.
    pub fn send(&self, message: &ToPlugin) {
        self.hand(message, &[]);
    }

    /// Sends a message with descriptors beside it.
    pub fn hand(&self, message: &ToPlugin, descriptors: &[BorrowedFd<'_>]) {
        let _ = self.worker.send(message, descriptors);
    }

    pub fn pid(&self) -> u32 {
        self.worker.pid()
    }

    /// Waits for the end of the process.
    pub fn exit(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            self.hear();
            match self.worker.exit() {
                Some(status) if status.success() => return Ok(()),
                Some(_) => return Err(format!("its worker ended in destroy: {}", self.reason())),
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        Err("its worker still runs after stop and destroy".to_owned())
    }

    /// Finding of a check that ended early. Only root can give a plugin the rights that it asks for.
    pub fn fault(&self, why: String) -> Finding {
        let wants_rights = self.descriptor.capabilities != 0 || self.descriptor.flags != 0;
        if wants_rights && !is_root() {
            Finding::warn(format!(
                "{why}; it requests rights that only root can give: run this check as root"
            ))
        } else {
            Finding::fail(why)
        }
    }

    fn hear_of<T>(
        &mut self,
        step: &str,
        pick: impl FnMut(FromPlugin) -> Option<T>,
    ) -> Result<T, String> {
        let picked = self.wait(step, PATIENCE, pick)?;
        picked.ok_or_else(|| unanswered(step))
    }

    fn wait<T>(
        &mut self,
        step: &str,
        limit: Duration,
        mut pick: impl FnMut(FromPlugin) -> Option<T>,
    ) -> Result<Option<T>, String> {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            self.hear();
            match self.worker.receive() {
                Ok(None) => self.nap(),
                Ok(Some(message)) => {
                    self.take(&message);
                    if let Some(picked) = pick(message) {
                        return Ok(Some(picked));
                    }
                }
                Err(_) => return Err(format!("its worker ended in {step}: {}", self.reason())),
            }
        }
        Ok(None)
    }

    /// Notes what everybody has to know of a message, and answers a call with success.
    fn take(&mut self, message: &FromPlugin) {
        match message {
            FromPlugin::Log { level, text } => self.note(*level, text),
            FromPlugin::Call { number, call } => {
                self.effects += 1;
                let count = match call {
                    Call::Claim { groups } => groups.len(),
                    Call::Publish { groups } => groups.len(),
                    Call::Announce { groups } => groups.len(),
                    _ => 1,
                };
                let (number, statuses) = (*number, vec![0; count]);
                self.send(&ToPlugin::Answer { number, statuses });
            }
            FromPlugin::InSync { yes, why } => {
                self.effects += 1;
                self.has_told_in_sync |= *yes || !UNTOLD.contains(&why.as_str());
            }
            FromPlugin::Document { ticket, .. } => {
                self.effects += 1;
                // a plugin must go on without a document
                self.send(&ToPlugin::Document {
                    ticket: *ticket,
                    status: -EIO,
                    text: String::new(),
                    left: 0,
                });
            }
            FromPlugin::Check { .. }
            | FromPlugin::ForgetCheck { .. }
            | FromPlugin::Scopes { .. } => self.effects += 1,
            _ => {}
        }
    }

    fn note(&mut self, level: LogLevel, text: &str) {
        if text.ends_with(SLOW) {
            self.findings.push(Finding::warn(text));
        } else if level == LogLevel::Error && is_misuse(text) {
            self.findings.push(Finding::fail(text));
        }
        self.lines += 1;
        match self.lines {
            ..=LINES_MAX => eprintln!("      log {}: {text}", level.to_raw()),
            lines if lines == LINES_MAX + 1 => {
                eprintln!("      more lines of its log are not shown");
            }
            _ => {}
        }
    }

    /// Shows its error output; a system call that was refused is the plugin's fault.
    fn hear(&mut self) {
        while let Some((_, lines)) = self.worker.errors().and_then(ErrorOutput::read) {
            if lines.is_empty() {
                return;
            }
            for line in lines {
                eprintln!("      {line}");
                if is_refusal(&line) {
                    self.findings.push(Finding::fail(line));
                }
            }
        }
    }

    fn nap(&self) {
        let tick = Timespec {
            tv_sec: 0,
            tv_nsec: 20_000_000,
        };
        let _ = poll(&mut [PollFd::new(&self.worker, PollFlags::IN)], Some(&tick));
    }

    fn reason(&mut self) -> String {
        let until = Instant::now() + Duration::from_millis(500);
        while self.worker.exit().is_none() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.hear();
        let reason = self.worker.exit_reason();
        reason.unwrap_or_else(|| "it closed its socket".to_owned())
    }
}

/// The reasons of a failed call, or its errno in words.
pub fn reason(status: abi::Status, why: &str) -> String {
    match why {
        "" => std::io::Error::from_raw_os_error(status.saturating_neg()).to_string(),
        why => why.to_owned(),
    }
}

/// Returns true if a line at level ERROR is about a function that the plugin called wrongly.
fn is_misuse(line: &str) -> bool {
    let function = line.split_once("(): ").map(|(function, _)| function);
    let is_call = function.is_some_and(|it| {
        it.bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    });
    is_call || line.ends_with(WRONG_THREAD) || line.starts_with(CLOSED_DESCRIPTOR)
}

fn unanswered(step: &str) -> String {
    format!("{step} is not answered within {} s", PATIENCE.as_secs())
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The host's confinement, as far as this process may set it up.
fn load(path: &Path, descriptor: &Descriptor, config: &ConfigTable) -> Load {
    let opened = Opened::new(&Asks::of(descriptor), config, None);
    Load {
        name: name_of(path),
        capabilities: if is_root() {
            capabilities::grantable(descriptor.capabilities)
        } else {
            0
        },
        uid_gid: is_root().then_some((CHECK_ACCOUNT, CHECK_ACCOUNT)),
        files: opened.to_read,
        writable: opened.to_write,
        calls: descriptor.calls,
        ..Load::default()
    }
}

/// A configuration, or only a check of it.
pub fn configure(config: &ConfigTable, check: bool) -> impl FnOnce(u64) -> ToPlugin {
    let table = config.clone();
    let surroundings = Surroundings {
        node: NODES[0].to_owned(),
        nodes: NODES.map(str::to_owned).to_vec(),
        links: Vec::new(),
        peer: Some(NODES[1].to_owned()),
        state: None,
    };
    move |token| ToPlugin::Configure {
        token,
        table,
        check,
        surroundings,
    }
}

pub fn change(token: u64, role: Role) -> ToPlugin {
    let event = RoleEvent {
        group: "group".to_owned(),
        role,
        epoch: token,
        why: "because of a test".to_owned(),
        deadline_ns: u64::MAX,
        ..RoleEvent::default()
    };
    ToPlugin::Role { token, event }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_about_misuse_are_found_among_others() {
        for line in [
            "called timer() from a thread other than the loop's",
            "closed a descriptor of its worker (Bad file descriptor)",
            "report(): check lan1: state 101, allowed 0-100",
        ] {
            assert!(is_misuse(line), "{line}");
        }
        for line in ["cannot start: exec(): no such file", "start failed: x"] {
            assert!(!is_misuse(line), "{line}");
        }
    }
}
