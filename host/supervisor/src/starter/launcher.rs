//! Starts processes with the rights that the configuration gives them, and keeps them until they are reaped.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{getegid, geteuid};
use spared_abi::PLUGIN_ROOT;
use spared_config::on_disk::path_of;
use spared_config::{Fault, Plugin, Setup, table_of};
use spared_contract::{ConfigTable, RootsFile, TABLE_SIZE_MAX};
use spared_message::control::RESERVED;
use spared_message::load::{Asks, Load};
use spared_message::plugin_files::Opened;
use spared_message::starter::{About, NotStarted, Reaped, Start};
use spared_process::Child;
use spared_process::account::{Account, Accounts};
use spared_process::child::SOCKET_FD;
use spared_process::starter::{ProcessStarter, Started};
use spared_process::worker::file::open_plugin;
use spared_process::worker::process::Worker;

use super::control_groups::ControlGroups;
use super::loaded;
use super::state_folders;
use super::unconfirmed;
use super::worker_rights::Rights;

/// Maximum time for workers to end once the host is gone.
const RESIGN: Duration = Duration::from_secs(2);
/// Maximum number of processes at once: several for each of more plugins than anybody has.
const CHILDREN_MAX: usize = 256;

/// Parts of a process: the process, the host's end of its socket, and the descriptor that reads its error output.
type Parts = (Child, OwnedFd, Option<OwnedFd>);

/// Paths of root's files that decide about processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    pub config: PathBuf,
    pub plugin_dir: PathBuf,
    /// Parent of the plugins' state folders, if they have any.
    pub state_dir: Option<PathBuf>,
}

/// Process that is not reaped yet.
#[derive(Debug)]
struct Process {
    child: Child,
    /// Plugin whose programs end with this process.
    plugin: Option<String>,
}

/// The starter itself. A program that tests or fuzzes the host has a starter within its own process.
#[derive(Debug)]
pub struct Launcher {
    /// Path of this program, valid even after an upgrade replaced its file.
    exe: PathBuf,
    files: Files,
    /// The last configuration that was read without a fault, or the reason why there is none.
    setup: Result<Setup, String>,
    /// Accounts; None if this process cannot change to them.
    accounts: Option<Accounts>,
    pub(crate) groups: Result<ControlGroups, String>,
    children: BTreeMap<u64, Process>,
    /// Processes that were killed and are reaped here, without a request of the host.
    abandoned: Vec<Child>,
    /// Number of the last process, if this process chooses the numbers.
    last: u64,
}

impl Launcher {
    pub fn new(files: Files) -> Self {
        Self {
            accounts: Accounts::new(),
            ..Self::with_program(PathBuf::from("/proc/self/exe"), files)
        }
    }

    /// Starts another program instead of this one, under the account of this process.
    pub fn with_program(exe: PathBuf, files: Files) -> Self {
        Self {
            exe,
            files,
            setup: Err("no configuration was read yet".to_owned()),
            accounts: None,
            groups: ControlGroups::open(),
            children: BTreeMap::new(),
            abandoned: Vec::new(),
            last: 0,
        }
    }

    /// Starts a process, which gets this number.
    pub(crate) fn start_as(&mut self, number: u64, start: &Start) -> Result<Started, NotStarted> {
        self.abandoned.retain_mut(|child| !child.has_ended());
        if self.children.len() + self.abandoned.len() >= CHILDREN_MAX {
            let why = format!("{CHILDREN_MAX} processes were started and have not ended");
            return Err(NotStarted::Failed(why));
        }
        let (child, socket, errors) = match start {
            Start::Check { plugin, memory } => self.check(plugin, *memory)?,
            Start::Worker { plugin, asks } => self.plugin(plugin, asks)?,
            Start::Link => self.link().map_err(failed)?,
            Start::Firewall => self.firewall().map_err(failed)?,
        };
        let started = Started {
            process: number,
            pid: child.pid(),
            socket,
            errors,
        };
        let plugin = match start {
            Start::Worker { plugin, asks } if keeps_programs(asks) => Some(plugin.clone()),
            _ => None,
        };
        self.children.insert(number, Process { child, plugin });
        Ok(started)
    }

    /// Waits for the workers when the host is gone. They notice that, resign and end; those that do not are killed.
    pub(crate) fn end(self) {
        let until = Instant::now() + RESIGN;
        for process in self.children.values() {
            process
                .child
                .wait(until.saturating_duration_since(Instant::now()));
        }
    }

    /// Keeps the files that form the configuration with this digest, the one in force.
    pub(crate) fn keep_files_of(&self, digest: &str, term_s: u64) -> Result<(), String> {
        let state = self.files.state_dir.as_deref();
        unconfirmed::keep(state, &self.files.config, digest, term_s)
    }

    pub(crate) fn is_realtime(&self) -> bool {
        self.setup.as_ref().is_ok_and(|setup| setup.host.realtime)
    }

    fn check(&mut self, plugin: &str, memory: u64) -> Result<Parts, NotStarted> {
        let file = self.library(plugin)?;
        let load = Load {
            name: plugin.to_owned(),
            check_only: true,
            uid_gid: self.account(plugin),
            memory: Some(memory),
            ..Load::default()
        };
        self.worker(&load, &file)
    }

    fn plugin(&mut self, plugin: &str, asks: &Asks) -> Result<Parts, NotStarted> {
        let (settings, realtime) = self.settings(plugin).map_err(NotStarted::Failed)?;
        let file = self.library(plugin)?;
        permit(plugin, asks, &file).map_err(NotStarted::Refused)?;
        if keeps_programs(asks) {
            self.kill_programs(plugin);
        }
        let rights = Rights::new(settings.allow, asks.flags, asks.capabilities, realtime);
        let account = self.account(plugin).filter(|_| !rights.root);
        let state_dir = self.state_dir(plugin, account);
        let memory = settings.memory();
        let groups = self.groups.as_ref().ok().filter(|_| !rights.root);
        let group = groups.and_then(|groups| groups.prepare(plugin, memory));
        let opened = Opened::new(asks, &settings.table, self.files.state_dir.as_deref());
        let roots = rights.root.then(|| RootsFile {
            state: state_dir.clone(),
            ..self.roots_file(&settings)
        });
        let load = Load {
            name: plugin.to_owned(),
            check_only: false,
            capabilities: rights.capabilities,
            realtime: rights.realtime,
            root: rights.root,
            roots,
            uid_gid: account,
            state_dir,
            files: opened.to_read,
            writable: opened.to_write,
            memory: (!rights.root).then_some(memory),
            calls: asks.calls,
            asks: Some(asks.clone()),
            control_group: group.and_then(|group| group.to_str().map(str::to_owned)),
        };
        self.worker(&load, &file)
    }

    /// Settings of a plugin that is to run. The flag is true if the configuration permits real-time priority.
    fn settings(&self, plugin: &str) -> Result<(Plugin, bool), String> {
        let setup = self.setup.as_ref().map_err(Clone::clone)?;
        let Some(settings) = setup.plugin(plugin).filter(|it| it.enabled) else {
            let file = path_of(plugin);
            return Err(format!(
                "{file} does not enable it: reload the configuration"
            ));
        };
        if settings.faults.is_empty() {
            return Ok((settings.clone(), setup.host.realtime));
        }
        let faults = sentence(&settings.faults);
        Err(format!(
            "plugins/{faults}: correct it, and reload the configuration"
        ))
    }

    /// Configuration file of a plugin that runs as root. The host may have the text in force that was loaded last,
    /// although the file has changed since.
    pub(crate) fn roots_file(&self, settings: &Plugin) -> RootsFile {
        let file = path_of(&settings.name);
        let mut tables = vec![settings.table.clone()];
        let loaded = loaded::read(self.files.state_dir.as_deref()).remove(&file);
        let loaded = loaded.and_then(|text| table_of(&text).ok());
        // both have to fit into one message
        let fits = |it: &ConfigTable| it.size() + settings.table.size() <= TABLE_SIZE_MAX;
        tables.extend(loaded.filter(|it| *it != settings.table && fits(it)));
        let folder = self.files.config.parent().unwrap_or(Path::new("."));
        let host = self.setup.as_ref().map(|setup| &setup.host);
        RootsFile {
            path: folder.join(file).display().to_string(),
            tables,
            state: None,
            node: host.map_or_else(|_| String::new(), |host| host.node.clone()),
            nodes: host.map_or_else(|_| Vec::new(), |host| host.nodes.clone()),
        }
    }

    /// Kills the programs of a plugin. A killed worker had no time to end them, and the next worker would start them a
    /// second time.
    fn kill_programs(&self, plugin: &str) {
        if let Ok(groups) = &self.groups {
            groups.kill(plugin);
        }
    }

    // Opens the plugin. It checks the name before anything is stored about it, because anybody may have invented it.
    fn library(&self, plugin: &str) -> Result<OwnedFd, NotStarted> {
        if !spared_process::worker::is_name(plugin) || RESERVED.contains(&plugin) {
            let why =
                "allowed names: a-z, then a-z, 0-9 and -, at most 32, no word of spared's own";
            return Err(NotStarted::Refused(why.to_owned()));
        }
        open_plugin(&self.files.plugin_dir, plugin).map_err(NotStarted::Refused)
    }

    fn worker(&self, load: &Load, file: &OwnedFd) -> Result<Parts, NotStarted> {
        let worker = Worker::spawn_heard(&self.exe, load, file.as_fd()).map_err(failed)?;
        Ok(worker.into_parts())
    }

    fn link(&mut self) -> io::Result<Parts> {
        let account = self.account("link");
        self.part(&["link"], account)
    }

    // Starts `spared firewall`, which changes its account itself because it keeps a capability.
    fn firewall(&mut self) -> io::Result<Parts> {
        match self.account("firewall") {
            None => self.part(&["firewall"], None),
            Some((uid, gid)) => self.part(&["firewall", &uid.to_string(), &gid.to_string()], None),
        }
    }

    fn part(&self, words: &[&str], account: Option<Account>) -> io::Result<Parts> {
        let (socket, theirs) = spared_records::pair()?;
        let placed = [(theirs.as_fd(), SOCKET_FD)];
        let child = Child::spawn(&self.exe, words, account, Stdio::inherit(), placed)?;
        Ok((child, socket, None))
    }

    /// Account of the process with this name; None if it runs as this process does.
    pub(crate) fn account(&mut self, name: &str) -> Option<Account> {
        let accounts = self.accounts.as_mut()?;
        let mut owners = state_folders::owners(self.files.state_dir.as_deref());
        let kept = owners.remove(name);
        let others: Vec<u32> = owners.into_values().collect();
        Some(accounts.of(name, kept, &others))
    }

    // Creates the worker's state folder, because the worker may not. The folder of a plugin that runs as root belongs
    // to root, so that nobody else can write there.
    fn state_dir(&self, name: &str, account: Option<Account>) -> Option<String> {
        let path = self.files.state_dir.as_ref()?.join(name);
        let own = || (geteuid().as_raw(), getegid().as_raw());
        state_folders::make_folder(&path, account.unwrap_or_else(own)).ok()?;
        path.to_str().map(str::to_owned)
    }
}

impl ProcessStarter for Launcher {
    fn configure(&mut self, digest: &str) -> Result<(), String> {
        let state_dir = self.files.state_dir.as_deref();
        let put_back = unconfirmed::put_back(state_dir, &self.files.config, digest, |_| Ok(()));
        let read = match Setup::read(&self.files.config) {
            Ok(setup) if setup.digest == digest => {
                loaded::write(state_dir, &setup);
                Ok(setup)
            }
            // The files were changed since, and the host continues with what root had loaded.
            read => {
                let loaded = loaded::setup(state_dir, &self.files.config);
                let in_force = loaded.filter(|it| it.digest == digest);
                let kept = || unconfirmed::setup(state_dir, &self.files.config, digest);
                in_force.or_else(kept).map_or(read, Ok)
            }
        };
        match read {
            Ok(setup) => {
                self.setup = Ok(setup);
                put_back
            }
            Err(faults) => {
                let why = sentence(&faults);
                if self.setup.is_err() {
                    self.setup = Err(why.clone());
                }
                Err(why)
            }
        }
    }

    fn keep_files(&mut self, term_s: u64) -> Result<(), String> {
        let digest = self.setup.as_ref().map(|setup| setup.digest.clone());
        self.keep_files_of(&digest.map_err(Clone::clone)?, term_s)
    }

    fn end_term(&mut self) -> Result<(), String> {
        unconfirmed::end_term(self.files.state_dir.as_deref())
    }

    fn forget_files(&mut self) -> Result<(), String> {
        unconfirmed::forget(self.files.state_dir.as_deref())
    }

    fn about(&self) -> About {
        let groups = self.groups.as_ref().map(ControlGroups::delegated);
        About {
            state_dir: self.files.state_dir.clone(),
            groups: groups.map_err(Clone::clone),
        }
    }

    fn start(&mut self, start: &Start) -> Result<Started, NotStarted> {
        self.last += 1;
        self.start_as(self.last, start)
    }

    fn kill(&mut self, process: u64) {
        if let Some(process) = self.children.get(&process) {
            process.child.kill();
        }
    }

    fn kill_and_reap(&mut self, process: u64) {
        if let Some(Process { child, .. }) = self.children.remove(&process) {
            child.kill();
            self.abandoned.push(child);
        }
    }

    fn reap(&mut self, process: u64) -> Reaped {
        let Some(Process { child, plugin }) = self.children.get_mut(&process) else {
            return Reaped::Unknown;
        };
        let Some(status) = child.exit() else {
            return Reaped::Running;
        };
        let (peak, plugin) = (child.peak(), plugin.take());
        self.children.remove(&process);
        // Another worker of the plugin may have been started before the kernel had ended this one.
        let is_last = |plugin: &String| {
            let mut others = self.children.values();
            !others.any(|it| it.plugin.as_ref() == Some(plugin))
        };
        if let Some(plugin) = plugin.filter(is_last) {
            self.kill_programs(&plugin);
        }
        Reaped::Ended {
            status: status.into_raw(),
            peak,
        }
    }
}

/// Compares what the daemon says that a plugin asks for with the file itself, before anything is done for the plugin.
/// Otherwise a plugin that runs as root would lose its state folder to another account, and services of the machine
/// would be killed.
fn permit(plugin: &str, asks: &Asks, file: &OwnedFd) -> Result<(), String> {
    asks.permit(&spared_process::worker::describe(plugin, file.as_fd())?)
}

/// Returns true if the programs that a plugin starts end with it. A plugin that asks to be root starts services of the
/// machine, which outlive it even if it is not root.
fn keeps_programs(asks: &Asks) -> bool {
    asks.flags & PLUGIN_ROOT == 0
}

fn sentence(faults: &[Fault]) -> String {
    let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
    faults.join("; ")
}

fn failed(error: io::Error) -> NotStarted {
    NotStarted::Failed(error.to_string())
}
