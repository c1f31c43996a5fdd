//! Two routers in namespaces of their own, joined by a LAN and a link, run by the real binary.

#![allow(dead_code, clippy::unwrap_used)] // each test binary uses its part

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use spared_control::{Answer, Event, PeerStatus, Request, Status, ask};

/// The same bytes on both, but for the node's name.
const HOST: &str = r#"
secret_file = "secret"
[nodes]
r1 = {}
r2 = {}
[[link]]
interface = "hot"
address = { r1 = "10.8.0.1/30", r2 = "10.8.0.2/30" }
"#;

/// A group that r1 is active for.
pub const VRRP: &str = r#"
[[group]]
name = "office"
prefer = "r1"
advert_interval = "100ms"
fallback_delay = "1h"
[[group.router]]
interface = "lan"
vrid = 50
addresses = ["10.9.0.1/24"]
"#;

/// Time enough for anything that happens at all, also on a busy machine.
pub const SOON: Duration = Duration::from_secs(30);

pub const NODES: [&str; 2] = ["r1", "r2"];

/// Two nodes; everything ends with it.
pub struct Pair {
    namespaces: [String; 2],
    dir: PathBuf,
    hosts: [Option<Child>; 2],
}

impl Pair {
    /// None, with the reason printed, where this user may not make namespaces.
    pub fn new() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = |role: &str| format!("sppair{}-{number}-{role}", std::process::id());
        let pair = Self {
            namespaces: NODES.map(name),
            dir: std::env::temp_dir().join(name("d")),
            hosts: [None, None],
        };
        for namespace in &pair.namespaces {
            if !ip(&["netns", "add", namespace]) {
                eprintln!("skipped: cannot make network namespaces (not root?)");
                return None;
            }
            ip(&["-n", namespace, "link", "set", "lo", "up"]);
        }
        for interface in ["lan", "hot"] {
            let [one, other] = &pair.namespaces;
            let veth = ["-n", one, "link", "add", interface, "type", "veth", "peer"];
            ip(&[&veth[..], &["name", interface, "netns", other]].concat());
            for namespace in &pair.namespaces {
                ip(&["-n", namespace, "link", "set", interface, "up"]);
            }
        }
        for (node, address) in [(0, "10.9.0.2/24"), (1, "10.9.0.3/24")] {
            let namespace = &pair.namespaces[node];
            ip(&["-n", namespace, "addr", "add", address, "dev", "lan"]);
            for folder in ["plugins", "lib"] {
                fs::create_dir_all(pair.path(node, folder)).unwrap();
            }
            let host = format!("node.name = \"{}\"\n{HOST}", NODES[node]);
            pair.write(node, "spared.toml", &host);
            pair.write(node, "secret", "a long walk through seven wet valleys\n");
            let secret = pair.path(node, "secret");
            fs::set_permissions(secret, fs::Permissions::from_mode(0o600)).unwrap();
        }
        Some(pair)
    }

    pub fn path(&self, node: usize, name: &str) -> PathBuf {
        self.dir.join(NODES[node]).join(name)
    }

    pub fn write(&self, node: usize, name: &str, text: &str) {
        fs::write(self.path(node, name), text).unwrap();
    }

    /// Installs a plugin on both nodes, with the same file.
    pub fn enable(&self, plugin: &str, text: &str) {
        for node in [0, 1] {
            let library = self.path(node, "lib").join(format!("{plugin}.so"));
            fs::copy(library_of(plugin), &library).unwrap();
            fs::set_permissions(&library, fs::Permissions::from_mode(0o644)).unwrap();
            self.write(node, &format!("plugins/{plugin}.toml"), text);
        }
    }

    /// Starts a host and waits until it answers.
    pub fn start(&mut self, node: usize) {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path(node, "log"))
            .unwrap();
        let path = |name: &str| self.path(node, name).display().to_string();
        let mut command = Command::new("ip");
        let namespace = &self.namespaces[node];
        command.args(["netns", "exec", namespace, env!("CARGO_BIN_EXE_spared")]);
        command.args(["run", "--config", &path("spared.toml")]);
        command.args(["--plugin-dir", &path("lib"), "--runtime-dir", &path("run")]);
        command.env_remove("STATE_DIRECTORY").stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.hosts[node] = Some(command.spawn().unwrap());
        self.wait("the control socket", || self.try_status(node).is_some());
    }

    pub fn start_both(&mut self) {
        self.start(0);
        self.start(1);
    }

    /// Both started, in sync, and r1 active.
    pub fn settle(&mut self) {
        self.start_both();
        self.wait("both nodes to be ready", || {
            [0, 1].iter().all(|node| {
                let status = self.status(*node);
                status.missing == Some(Vec::new())
                    && status.links.iter().all(|link| link.state == "up")
                    && self
                        .peer(*node)
                        .status
                        .is_some_and(|there| there.missing == Some(Vec::new()))
            })
        });
    }

    pub fn wait_for_active(&self, node: usize) {
        self.wait(&format!("{} to be active", NODES[node]), || {
            let role = |node: usize| self.role(node);
            role(node) == "active" && role(1 - node) == "backup"
        });
    }

    pub fn role(&self, node: usize) -> String {
        let groups = self.status(node).groups;
        groups.first().map(|it| it.role.clone()).unwrap_or_default()
    }

    pub fn ask(&self, node: usize, request: &Request) -> Answer {
        ask(&self.path(node, "run"), request, SOON)
            .unwrap_or_else(|error| panic!("{error}\n{}", self.log()))
    }

    /// The lines of a verb that is done.
    pub fn done(&self, node: usize, request: &Request) -> Vec<String> {
        match self.ask(node, request) {
            Answer::Done { lines } => lines,
            other => panic!("{other:?}\n{}", self.log()),
        }
    }

    /// The lines of a verb that is not done.
    pub fn refused(&self, node: usize, request: &Request) -> Vec<String> {
        match self.ask(node, request) {
            Answer::Error { lines, .. } => lines,
            other => panic!("{other:?}\n{}", self.log()),
        }
    }

    fn try_status(&self, node: usize) -> Option<Status> {
        match ask(&self.path(node, "run"), &Request::Status, SOON) {
            Ok(Answer::Status(status)) => Some(*status),
            _ => None,
        }
    }

    pub fn status(&self, node: usize) -> Status {
        self.try_status(node)
            .unwrap_or_else(|| panic!("no status\n{}", self.log()))
    }

    pub fn peer(&self, node: usize) -> PeerStatus {
        let peer = self.status(node).peer;
        *peer.unwrap_or_else(|| panic!("no peer\n{}", self.log()))
    }

    pub fn events(&self, node: usize) -> Vec<Event> {
        match self.ask(node, &Request::Events { limit: 1000 }) {
            Answer::Events { events } => events,
            other => panic!("{other:?}"),
        }
    }

    pub fn has_event(&self, node: usize, kind: &str, reason: &str) -> bool {
        let mut events = self.events(node).into_iter();
        events.any(|event| event.event == kind && event.reason.as_deref() == Some(reason))
    }

    pub fn wait(&self, what: &str, mut done: impl FnMut() -> bool) {
        let since = Instant::now();
        while !done() {
            assert!(
                since.elapsed() < SOON,
                "waited in vain for {what}\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn ip(&self, node: usize, words: &str) {
        let words: Vec<&str> = words.split(' ').collect();
        assert!(ip(&[&["-n", &self.namespaces[node]], &words[..]].concat()));
    }

    pub fn log(&self) -> String {
        let log = |node: usize| fs::read_to_string(self.path(node, "log")).unwrap_or_default();
        format!("---- r1\n{}---- r2\n{}", log(0), log(1))
    }

    /// SIGTERM, to the end.
    pub fn stop(&mut self, node: usize) {
        let mut host = self.hosts[node].take().unwrap();
        signal(host.id(), rustix::process::Signal::TERM);
        let since = Instant::now();
        while host.try_wait().unwrap().is_none() {
            assert!(since.elapsed() < SOON, "does not end\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// SIGKILL to everything of a node.
    pub fn kill(&mut self, node: usize) {
        for pid in pids(&self.namespaces[node]) {
            signal(pid, rustix::process::Signal::KILL);
        }
        if let Some(mut host) = self.hosts[node].take() {
            let _ = host.wait();
        }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for node in [0, 1] {
            self.kill(node);
            ip(&["netns", "del", &self.namespaces[node]]);
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = i32::try_from(pid).ok();
    if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

fn pids(namespace: &str) -> Vec<u32> {
    let output = Command::new("ip")
        .args(["netns", "pids", namespace])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .filter_map(|line| line.trim().parse().ok())
        .collect()
}

fn ip(arguments: &[&str]) -> bool {
    let output = Command::new("ip").args(arguments).output().unwrap();
    output.status.success()
}

/// A plugin's library: cargo builds it only when asked by name.
fn library_of(plugin: &str) -> PathBuf {
    let package = match plugin {
        "vrrp" => "spared-vrrp".to_owned(),
        example => format!("spared-example-{example}"),
    };
    let folder = Path::new(env!("CARGO_BIN_EXE_spared")).parent().unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "-p", &package]);
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    assert!(
        cargo.status().unwrap().success(),
        "{package} does not build"
    );
    folder.join(format!("lib{}.so", package.replace('-', "_")))
}
