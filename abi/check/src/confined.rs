//! The plugin in a worker as the host starts it, with the host's own driver and confinement.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use spared_abi as abi;
use spared_contract::{
    Call, ConfigTable, Descriptor, FromPlugin, LogLevel, Role, RoleEvent, ToPlugin,
};
use spared_message::load::Load;
use spared_process::account::CHECK_ACCOUNT;
use spared_worker::capabilities;
use spared_worker::errors::Errors;
use spared_worker::process::Worker;
use spared_worker::{is_misbehaviour, is_refusal};

use crate::finding::Finding;
use crate::trial::{name_of, surroundings};

/// How long each answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs the plugin from load to exit.
pub fn check(path: &Path, config: &ConfigTable) -> Vec<Finding> {
    let mut host = match Host::spawn(path) {
        Ok(host) => host,
        Err(why) => return vec![Finding::fail(format!("cannot start a worker: {why}"))],
    };
    if let Err(why) = host.drive(config) {
        // Only root can give it the rights that it asks for.
        let lacks = !host.is_root && host.wants_rights;
        host.findings.push(match lacks {
            true => Finding::warn(format!(
                "{why}; it requests rights that only root can give: run this check as root"
            )),
            false => Finding::fail(why),
        });
    }
    host.findings
}

/// The descriptor in the file's note, if it has one: the plugin runs in a loop of its own.
///
/// # Errors
/// The file cannot be read, or what is wrong with the note.
pub fn describe(path: &Path) -> Result<Option<Descriptor>, String> {
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    spared_worker::describe(&name_of(path), file.as_fd())
}

/// The host's side of the worker.
pub struct Host {
    worker: Worker,
    pub findings: Vec<Finding>,
    token: u64,
    is_root: bool,
    wants_rights: bool,
}

impl Host {
    pub fn spawn(path: &Path) -> Result<Self, String> {
        let words = |error: std::io::Error| error.to_string();
        let descriptor = match describe(path)? {
            Some(descriptor) => descriptor,
            None => crate::trial::load(path)?.descriptor,
        };
        let is_root = rustix::process::geteuid().is_root();
        let exe = std::env::current_exe().map_err(words)?;
        let file = File::open(path).map_err(words)?;
        let load = load(path, &descriptor, is_root);
        let worker = Worker::spawn_heard(&exe, &load, file.as_fd()).map_err(words)?;
        Ok(Self {
            worker,
            findings: Vec::new(),
            token: 0,
            is_root,
            wants_rights: descriptor.capabilities != 0 || descriptor.flags != 0,
        })
    }

    /// Waits until the plugin is loaded.
    pub fn loaded(&mut self) -> Result<Descriptor, String> {
        self.wait("load", |message| match message {
            FromPlugin::Loaded(loaded) => Some(loaded),
            _ => None,
        })?
    }

    /// Loads, configures and starts the plugin.
    pub fn begin(&mut self, config: &ConfigTable) -> Result<Descriptor, String> {
        let descriptor = self.loaded()?;
        self.ask("configure", configure(config, false))?;
        self.ask("start", |token| ToPlugin::Start { token })?;
        Ok(descriptor)
    }

    /// A short life of a worker. An error is the plugin's fault.
    fn drive(&mut self, config: &ConfigTable) -> Result<(), String> {
        let descriptor = self.begin(config)?;
        for role in [Role::Active, Role::Backup] {
            self.say("role", |token| change(token, role))?;
        }
        let asks = descriptor.verbs.iter().filter(|verb| !verb.changes);
        for word in asks.map(|verb| verb.word.clone()) {
            let argv = Vec::from_iter((!word.is_empty()).then_some(word));
            self.say("query", |token| ToPlugin::Query { token, argv })?;
        }
        self.end()
    }

    /// Stops the plugin and waits for the end of its process.
    pub fn end(&mut self) -> Result<(), String> {
        self.ask("stop", |token| ToPlugin::Stop { token })?;
        self.exit()
    }

    /// Makes a call that must succeed.
    pub fn ask(
        &mut self,
        callback: &str,
        message: impl FnOnce(u64) -> ToPlugin,
    ) -> Result<(), String> {
        match self.call(callback, message)? {
            (0.., _) => Ok(()),
            (status, why) if why.is_empty() => {
                let error = std::io::Error::from_raw_os_error(status.saturating_neg());
                Err(format!("{callback} failed: {error}"))
            }
            (_, why) => Err(format!("{callback} failed: {why}")),
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
        let wanted = self.token;
        self.send(&ToPlugin::Ping { number: wanted });
        self.wait(callback, |message| {
            matches!(message, FromPlugin::Pong { number, .. } if number == wanted).then_some(())
        })
    }

    /// Makes a call; the status, and the reasons given by fail().
    pub fn call(
        &mut self,
        callback: &str,
        message: impl FnOnce(u64) -> ToPlugin,
    ) -> Result<(abi::Status, String), String> {
        self.token += 1;
        let wanted = self.token;
        self.send(&message(wanted));
        self.wait(callback, |message| match message {
            FromPlugin::Returned {
                token,
                status,
                failures,
                ..
            } if token == wanted => {
                let said = failures.into_iter();
                let said: Vec<String> = said.map(|it| format!("{}: {}", it.key, it.why)).collect();
                Some((status, said.join("; ")))
            }
            // A start may be pending for 90 s; that is not waited for here.
            FromPlugin::Pending { token } if token == wanted && callback == "start" => {
                Some((0, String::new()))
            }
            _ => None,
        })
    }

    /// Answers a call with success.
    fn answer(&self, number: u64, call: Call) {
        let count = match call {
            Call::Claim { groups } => groups.len(),
            Call::Publish { groups } => groups.len(),
            Call::Announce { groups } => groups.len(),
            _ => 1,
        };
        let statuses = vec![0; count];
        self.send(&ToPlugin::Answer { number, statuses });
    }

    /// Sends a message; reading notices a worker that is gone.
    pub fn send(&self, message: &ToPlugin) {
        self.hand(message, &[]);
    }

    /// The same with descriptors beside it.
    pub fn hand(&self, message: &ToPlugin, descriptors: &[BorrowedFd<'_>]) {
        let _ = self.worker.send(message, descriptors);
    }

    fn wait<T>(
        &mut self,
        step: &str,
        mut pick: impl FnMut(FromPlugin) -> Option<T>,
    ) -> Result<T, String> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            self.hear();
            match self.worker.receive() {
                Ok(None) => self.nap(),
                Ok(Some(FromPlugin::Log { level, text })) => self.note(level, &text),
                Ok(Some(FromPlugin::Call { number, call })) => {
                    self.answer(number, call);
                }
                Ok(Some(message)) => {
                    if let Some(picked) = pick(message) {
                        return Ok(picked);
                    }
                }
                Err(_) => return Err(format!("its worker ended in {step}: {}", self.reason())),
            }
        }
        let seconds = PATIENCE.as_secs();
        Err(format!("{step} is not answered within {seconds} s"))
    }

    /// Notes a line of log; one of the driver about misbehaviour is the plugin's fault.
    fn note(&mut self, level: LogLevel, text: &str) {
        eprintln!("      log {}: {text}", level.to_raw());
        if level == LogLevel::Error && is_misbehaviour(text) {
            self.findings.push(Finding::fail(text));
        }
    }

    /// Shows its error output; a system call that was refused is the plugin's fault.
    fn hear(&mut self) {
        while let Some((_, lines)) = self.worker.errors().and_then(Errors::read) {
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

    fn exit(&mut self) -> Result<(), String> {
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

    fn reason(&mut self) -> String {
        let reason = self.worker.exit_reason();
        reason.unwrap_or_else(|| "it closed its socket".to_owned())
    }
}

/// The host's confinement, as far as this process may set it up.
fn load(path: &Path, descriptor: &Descriptor, is_root: bool) -> Load {
    let (writable, files) = descriptor
        .paths
        .iter()
        .cloned()
        .partition(|path| path.starts_with('+'));
    let writable: Vec<String> = writable;
    Load {
        name: name_of(path),
        capabilities: match is_root {
            true => capabilities::grantable(descriptor.capabilities),
            false => 0,
        },
        uid_gid: is_root.then_some((CHECK_ACCOUNT, CHECK_ACCOUNT)),
        files,
        writable: writable
            .iter()
            .map(|path| path.trim_start_matches('+').to_owned())
            .collect(),
        calls: descriptor.calls,
        ..Load::default()
    }
}

/// A configuration, or only a check of it.
pub fn configure(config: &ConfigTable, check: bool) -> impl FnOnce(u64) -> ToPlugin {
    let table = config.clone();
    move |token| ToPlugin::Configure {
        token,
        table,
        check,
        surroundings: surroundings(),
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
