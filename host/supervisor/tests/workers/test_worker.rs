//! A worker whose messages the test chooses: a process that only sleeps, and the test takes its end of the socket. For
//! the supervisor it is a plugin that decides roles. Its reports go where the host's loop would pass them.
//!
//! Used by the tests of this folder and by the fuzz target `worker_messages`.

#[path = "../../src/starter/tests/library.rs"]
pub mod library;

use std::cell::RefCell;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use spared_config::Setup;
use spared_config::keys::flatten;
use spared_contract::{Call, Cause, Descriptor, FromPlugin, Role, Surroundings, ToPlugin};
use spared_group::{Action, Follower, Groups, KernelStep, Order, Ticket};
use spared_process::child::SOCKET_FD;
use spared_process::poller::{Key, Poller};
use spared_process::starter::{ProcessStarter, Starter};
use spared_records::Receiver;
use spared_supervisor::starter::{Files, Launcher};
use spared_supervisor::{PluginReport, Report, Supervisor, WorkerSettings};
use spared_verdict::Sentence as _;
use spared_verdict::quality::{self, Quality};

use super::choices::Choices;

pub const NAME: &str = "rogue";
pub const GROUP: &str = "office";
const TEXT: &str = "vrid = 50\n";

pub struct TestWorker {
    pub supervisor: Supervisor,
    poller: Poller,
    pub folder: PathBuf,
    groups: Groups,
    quality: Quality,
    receiver: Receiver,
    /// Worker's end of the socket, with the id of the present process.
    socket: Option<(u32, OwnedFd)>,
    pub now: Instant,
    now_ns: u64,
    /// Greatest token that the supervisor has used.
    pub token: u64,
    /// Kinds of reports of the supervisor.
    pub reported: Vec<&'static str>,
}

impl TestWorker {
    pub fn new(name: &str) -> Self {
        let (folder, setup, worker_settings, starter) = prepared(name, "exec sleep 1000", TEXT);
        let now = Instant::now();
        let mut worker = Self {
            supervisor: Supervisor::new(worker_settings, starter, now),
            poller: Poller::new().unwrap(),
            folder,
            groups: Groups::new(200_000_000, String::new),
            quality: Quality::default(),
            receiver: Receiver::default(),
            socket: None,
            now,
            now_ns: 1_000_000_000_000,
            token: 0,
            reported: Vec::new(),
        };
        for plugin in setup.plugins {
            worker.supervisor.add(&worker.poller, now, plugin);
        }
        worker.run();
        worker
    }

    // ---- actions of a test

    /// Sends a message as the worker would, and lets the host handle it.
    pub fn send(&mut self, message: &FromPlugin) {
        let Ok(record) = spared_records::encode(message) else {
            return; // return; // the worker could not send it either
        };
        self.send_bytes(&record);
    }

    pub fn send_bytes(&mut self, record: &[u8]) {
        self.find_socket();
        if let Some((_, socket)) = &self.socket {
            let _ = spared_records::transmit(socket.as_fd(), record, &[]);
        }
        self.turn();
    }

    /// Chooses one step: lets time pass, asks, or sends. Before that the plugin is running.
    pub fn step(&mut self, choices: &mut Choices<'_>) {
        // a worker that floods is ended, which is not tested here
        self.pass(Duration::from_millis(1));
        self.run();
        match choices.byte() % 8 {
            0 => self.pass(Duration::from_millis(choices.byte().into()) * 20),
            1 | 2 => self.ask(choices.byte()),
            _ => {
                let message = choices.message(self.token);
                self.send(&message);
            }
        }
    }

    /// Brings the plugin to running, whatever its state.
    pub fn run(&mut self) {
        if self.supervisor.is_running(NAME) {
            return;
        }
        self.begin_again(3, 0);
        assert!(self.supervisor.is_running(NAME), "{}", self.why());
    }

    /// Starts a new worker. Its first (`invalid` 1, configure) or second (`invalid` 2, start) callback returns
    /// `status`, the other one 0.
    pub fn begin_again(&mut self, invalid: u32, status: i32) {
        self.supervisor.restart(&self.poller, self.now, NAME);
        self.answer_start(invalid, status);
    }

    /// Answers a start that is under way, as [`begin_again`](Self::begin_again) does.
    pub fn answer_start(&mut self, invalid: u32, status: i32) {
        for _ in 0..2 {
            self.send(&FromPlugin::Loaded(Ok(descriptor())));
        }
        for callback in 1..=2 {
            let status = if callback == invalid { status } else { 0 };
            let token = self.token;
            self.send(&returned(token, status));
        }
    }

    /// Starts a new worker that reports this descriptor, or the reason why there is none.
    pub fn begin_with(&mut self, loaded: &FromPlugin) {
        self.supervisor.restart(&self.poller, self.now, NAME);
        for _ in 0..2 {
            self.send(loaded);
        }
        self.wait_asleep();
    }

    /// Waits until the process sleeps. A process that waits for a disk or a processor, as during its loading, would not
    /// be found to hang.
    fn wait_asleep(&self) {
        let pid = self.supervisor.status().first().and_then(|it| it.pid);
        let stat = format!("/proc/{}/stat", pid.unwrap_or_default());
        let waits = |it: &String| it.contains(") R ") || it.contains(") D ");
        let end = Instant::now() + Duration::from_secs(10);
        while let Some(stat) = fs::read_to_string(&stat).ok().filter(waits) {
            assert!(Instant::now() < end, "{stat}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub fn pass(&mut self, time: Duration) {
        self.now += time;
        self.now_ns += u64::try_from(time.as_nanos()).unwrap();
        let (now, now_ns) = (self.now, self.now_ns);
        self.supervisor.handle_timeout(&self.poller, now);
        self.groups.handle_timeout(now_ns);
        self.quality.handle_timeout(now);
        self.turn();
    }

    /// Asks the plugin a question. The test decides on the answer.
    pub fn ask(&mut self, what: u8) {
        let (now, group) = (self.now, GROUP.to_owned());
        let supervisor = &mut self.supervisor;
        match what % 7 {
            0 => supervisor.drain(now, NAME, group, 1, u64::MAX),
            1 => supervisor.settle(now, NAME, group, 1, 0),
            2 => supervisor.query(
                now,
                now + Duration::from_secs(1),
                NAME,
                vec!["status".to_owned()],
                7,
            ),
            3 => supervisor.reconfigure(now, NAME),
            4 => self.groups.set_quality(now_byte(self.now_ns), 0),
            5 => supervisor.role(now, NAME, order(), String::new()),
            _ => supervisor.stop(now, NAME),
        }
        self.turn();
    }

    pub fn remove(&mut self) {
        self.supervisor.remove(self.now, NAME);
        self.turn();
    }

    /// State of the plugin, as `sparectl plugins` shows it.
    pub fn state(&self) -> String {
        let mut status = self.supervisor.status().into_iter();
        status.next().map(|it| it.state).unwrap_or_default()
    }

    pub fn why(&self) -> String {
        self.supervisor.why(NAME)
    }

    // ---- the host's loop

    fn turn(&mut self) {
        for _ in 0..64 {
            let ready = self.poller.wait(Some(Duration::ZERO)).unwrap();
            let now = self.now;
            for key in &ready {
                match *key {
                    Key::Worker(serial) => {
                        self.supervisor.handle_readable(&self.poller, now, serial);
                    }
                    Key::Exit(serial) => self.supervisor.handle_exit(&self.poller, now, serial),
                    _ => {}
                }
            }
            let moved = self.follow_up();
            self.hear();
            if ready.is_empty() && !moved {
                return;
            }
        }
    }

    // Reads the messages from the host to the worker, for their tokens.
    fn hear(&mut self) {
        self.find_socket();
        let Some((_, socket)) = &self.socket else {
            return;
        };
        while let Ok(Some((message, _))) = self.receiver.receive::<ToPlugin>(socket) {
            if let ToPlugin::Configure { token, .. }
            | ToPlugin::Start { token }
            | ToPlugin::Stop { token }
            | ToPlugin::Drain { token, .. }
            | ToPlugin::Settle { token, .. }
            | ToPlugin::Role { token, .. }
            | ToPlugin::Query { token, .. } = message
            {
                self.token = token;
            }
        }
    }

    fn find_socket(&mut self) {
        let pid = self.supervisor.status().first().and_then(|it| it.pid);
        if self.socket.as_ref().map(|(pid, _)| *pid) == pid {
            return;
        }
        let taken = pid.and_then(|pid| Some((pid, socket_of(pid)?)));
        self.socket = taken;
    }

    fn follow_up(&mut self) -> bool {
        let mut moved = false;
        loop {
            if let Some(action) = self.groups.poll_action() {
                self.perform(action);
            } else if let Some(report) = self.supervisor.poll_report() {
                self.handle(report);
            } else {
                return moved;
            }
            moved = true;
        }
    }

    fn handle(&mut self, report: Report) {
        let (now, now_ns) = (self.now, self.now_ns);
        let (plugin, report) = match report {
            Report::Plugin(plugin, report) => (plugin, report),
            Report::Answered { .. } => return self.reported.push("answered"),
            Report::Silence | Report::Tell(_) => return,
        };
        let kind = match report {
            PluginReport::Call { number, call } => {
                self.call(number, call);
                "call"
            }
            PluginReport::Up => {
                self.quality.handle_up(now, &plugin);
                self.groups.handle_plugin_up(now_ns, &plugin, follower());
                "up"
            }
            PluginReport::Down(why) => {
                self.groups.handle_plugin_down(now_ns, &plugin, &why);
                "down"
            }
            PluginReport::Removed => "removed",
            PluginReport::Stopped => "stopped",
            PluginReport::Settled { group, epoch } => {
                self.groups.handle_settled(now_ns, &plugin, &group, epoch);
                "settled"
            }
            PluginReport::Drained {
                group,
                epoch,
                status,
            } => {
                assert!((-4095..=0).contains(&status), "{status}");
                self.groups.handle_drained(&plugin, &group, epoch, status);
                "drained"
            }
            PluginReport::RoleDone {
                group,
                epoch,
                result,
            } => {
                let (plugin, group) = (plugin.as_str(), group.as_str());
                let done = match &result {
                    Ok(()) => Ok(()),
                    Err(why) => Err(why.as_str()),
                };
                self.groups
                    .handle_role_done(now_ns, plugin, group, epoch, done);
                "role"
            }
            PluginReport::Check {
                check,
                weight,
                state,
                why,
                points,
            } => {
                let said = quality::CheckReport {
                    name: &check,
                    weight,
                    state,
                    why: &why,
                    points,
                };
                let kind = quality::Kind::Other;
                let _ = self
                    .quality
                    .handle_report(&plugin, kind, said, String::new());
                assert!(self.quality.number() <= 100);
                "check"
            }
            PluginReport::ForgetCheck(check) => {
                self.quality.handle_forgotten(&plugin, &check);
                "forget"
            }
            PluginReport::Scopes(scopes) => {
                flatten(TEXT, &scopes);
                "scopes"
            }
            PluginReport::Reconfigured(_) => "reconfigured",
            PluginReport::NotReconfigured(_) => "not reconfigured",
            PluginReport::Refused(_) => "refused",
            _ => return,
        };
        self.reported.push(kind);
    }

    fn call(&mut self, number: u64, call: Call) {
        let ticket = Ticket {
            plugin: NAME.to_owned(),
            number,
            part: 0,
        };
        let now_ns = self.now_ns;
        match call {
            Call::Follow { .. } | Call::Unfollow { .. } | Call::Watch { .. } | Call::Add { .. } => {
                self.answer(number, 0);
            }
            Call::Unknown { .. } => {
                self.answer(number, -rustix::io::Errno::NOSYS.raw_os_error());
            }
            Call::Claim { groups } => {
                let claims = groups.into_iter();
                let claims = claims.map(|(name, claims)| (ticket.clone(), name, claims));
                self.groups.handle_claims(claims.collect());
            }
            Call::Publish { groups } => {
                let roles = groups.into_iter();
                let roles = roles.map(|(name, role)| (ticket.clone(), name, role));
                self.groups.handle_publications(now_ns, roles.collect());
            }
            Call::Explain { group, role, cause } => {
                self.groups
                    .handle_explain(now_ns, ticket, &group, role, cause);
            }
            Call::Announce { groups } => {
                let groups = groups.into_iter().map(|name| (ticket.clone(), name));
                self.groups.handle_announcements(groups.collect());
            }
            Call::SwitchOver { group, cause } => {
                self.groups
                    .handle_switch_over(now_ns, ticket, &group, cause);
            }
        }
    }

    fn answer(&mut self, number: u64, status: i32) {
        let statuses = vec![status];
        let message = ToPlugin::Answer { number, statuses };
        self.supervisor.send(self.now, NAME, &message, &[]);
    }

    // Performs an action. The kernel accepts everything.
    fn perform(&mut self, action: Action) {
        let (now, now_ns) = (self.now, self.now_ns);
        match action {
            Action::Answer { ticket, status } => self.answer(ticket.number, status),
            Action::Kernel(group, KernelStep::CheckClaim { ticket, claims }) => {
                self.groups.handle_checked(ticket, &group, claims, Ok(()));
            }
            Action::Kernel(group, KernelStep::Claim(_)) => {
                self.groups.handle_claimed(now_ns, &group, Ok(()))
            }
            Action::Kernel(
                group,
                KernelStep::GrantLease {
                    ticket,
                    publication,
                },
            ) => {
                self.groups
                    .handle_lease(now_ns, ticket, &group, publication, Ok(()));
            }
            Action::Kernel(group, KernelStep::Install) => {
                self.groups
                    .handle_installed(now_ns, &group, Ok(String::new()));
            }
            Action::Settle {
                plugin,
                group,
                epoch,
                deadline_ns,
            } => {
                self.supervisor
                    .settle(now, &plugin, group, epoch, deadline_ns);
            }
            Action::Role { plugin, order } => {
                let why = order.cause.clause(order.published);
                self.supervisor.role(now, &plugin, order, why);
            }
            Action::Drain {
                plugin,
                group,
                epoch,
                deadline_ns,
            } => {
                self.supervisor
                    .drain(now, &plugin, group, epoch, deadline_ns);
            }
            Action::Directive { plugin, directive } => {
                self.supervisor
                    .send(now, &plugin, &ToPlugin::Directive(directive), &[]);
            }
            _ => {}
        }
    }
}

impl Drop for TestWorker {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Replaces the script by a rename: a shell that runs the old one continues in the old file.
pub fn write_script(folder: &Path, script: &str) -> PathBuf {
    let (new, exe) = (folder.join("worker.sh.new"), folder.join("worker.sh"));
    fs::write(&new, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(&new, &exe).unwrap();
    exe
}

/// Creates a folder with a plugin NAME, whose file is `text` and whose worker is the script.
pub fn prepared(name: &str, script: &str, text: &str) -> (PathBuf, Setup, WorkerSettings, Starter) {
    let folder = format!("spared-test-worker-{name}-{}", std::process::id());
    let folder = std::env::temp_dir().join(folder);
    fs::create_dir_all(folder.join("plugins")).unwrap();
    let exe = write_script(&folder, script);
    fs::write(folder.join("spared.toml"), "node.name = \"r1\"").unwrap();
    fs::write(folder.join(format!("{NAME}.so")), library::of(NAME, "")).unwrap();
    fs::write(folder.join(format!("plugins/{NAME}.toml")), text).unwrap();
    let setup = Setup::read(&folder.join("spared.toml")).unwrap();
    let worker_settings = WorkerSettings {
        surroundings: Surroundings::default(),
        realtime: false,
    };
    let files = Files {
        config: folder.join("spared.toml"),
        plugin_dir: folder.clone(),
        state_dir: None,
    };
    let mut launcher = Launcher::with_program(exe, files);
    launcher.configure(&setup.digest).unwrap();
    (
        folder,
        setup,
        worker_settings,
        Rc::new(RefCell::new(launcher)),
    )
}

pub fn returned(token: u64, status: i32) -> FromPlugin {
    FromPlugin::Returned {
        token,
        status,
        failures: Vec::new(),
        rows: Vec::new(),
        missing: false,
    }
}

fn now_byte(now_ns: u64) -> u8 {
    u8::try_from(now_ns % 101).unwrap_or(100)
}

fn order() -> Order {
    Order {
        group: GROUP.to_owned(),
        epoch: 1,
        role: Role::Active,
        maintenance: false,
        before: None,
        published: Role::Active,
        cause: Cause::default(),
        deadline_ns: u64::MAX,
    }
}

// Facts of a follower with all callbacks. It follows its own group, if it could.
fn follower() -> Follower {
    Follower {
        has_role: true,
        has_drain: true,
        has_settle: true,
        ..Follower::default()
    }
}

pub fn descriptor() -> Descriptor {
    Descriptor {
        name: NAME.to_owned(),
        version: "1".to_owned(),
        vendor: String::new(),
        summary: String::new(),
        flags: 0,
        wire_min: 1,
        wire_max: 1,
        capabilities: 0,
        calls: 0,
        paths: Vec::new(),
        has_drain: true,
        has_settle: true,
        has_role: true,
        verbs: Vec::new(),
        provides_groups: true,
        has_peer: true,
        has_identity: true,
        partners: Vec::new(),
    }
}

fn socket_of(pid: u32) -> Option<OwnedFd> {
    let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    pidfd_getfd(&pidfd, SOCKET_FD, PidfdGetfdFlags::empty()).ok()
}
