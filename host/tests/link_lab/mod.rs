//! Two routers with nothing but cables between them: each in a namespace of its own and run by the
//! real binary, with what its configuration says of the link.

#![allow(dead_code, clippy::unwrap_used)] // each test binary uses its part

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use spared_control::{Answer, LinkStatus, Request, Status, Value, ask};
use spared_link::key::{PrivateKey, public_text};

/// Time enough for anything that happens at all, also on a busy machine.
pub const SOON: Duration = Duration::from_secs(20);

/// The cables: `hot` and `hot2` on both nodes.
const CABLES: [&str; 2] = ["hot", "hot2"];

pub const HOT: &str = "[[link]]\ninterface = \"hot\"\n\
     address = { r1 = \"192.168.180.2/24\", r2 = \"192.168.180.3/24\" }\n";
pub const HOT2: &str = "[[link]]\ninterface = \"hot2\"\n\
     address = { r1 = \"fd08::2/127\", r2 = \"fd08::3/127\" }\n";

pub fn key(number: u8) -> PrivateKey {
    PrivateKey::from_seed([number; 32])
}

/// [nodes] where r1 has key 1 and r2 key 2.
pub fn keyed() -> String {
    let public = |number| public_text(&key(number).public());
    format!(
        "[nodes]\nr1.public_key = \"{}\"\nr2.public_key = \"{}\"\n",
        public(1),
        public(2)
    )
}

/// One of the two.
pub struct Node {
    pub name: &'static str,
    pub namespace: String,
    dir: PathBuf,
    host: Option<Child>,
}

/// r1, which listens, and r2.
pub struct Pair {
    pub r1: Node,
    pub r2: Node,
}

impl Pair {
    /// None, with the reason printed, where this user may not make namespaces.
    pub fn new() -> Option<Self> {
        let pair = Self {
            r1: Node::new("r1", 1)?,
            r2: Node::new("r2", 2)?,
        };
        for cable in CABLES {
            let far = &pair.r2.namespace;
            let veth = format!("link add {cable} type veth peer name {cable} netns {far}");
            pair.r1.ip(&veth);
            for node in pair.nodes() {
                node.ip(&format!("link set {cable} up"));
            }
        }
        Some(pair)
    }

    /// The same spared.toml for both.
    pub fn write(&self, text: &str) {
        for node in self.nodes() {
            node.write_config(text);
        }
    }

    pub fn enable(&self, plugin: &str, text: &str) {
        for node in self.nodes() {
            node.enable(plugin, text);
        }
    }

    /// Both run with this spared.toml.
    pub fn start(&mut self, text: &str) {
        self.write(text);
        self.r1.start();
        self.r2.start();
    }

    pub fn nodes(&self) -> [&Node; 2] {
        [&self.r1, &self.r2]
    }

    /// Until both see the path up, or not.
    pub fn wait_for_link(&self, interface: &str, state: &str) {
        for node in self.nodes() {
            node.wait(&format!("link {interface} {state}"), || {
                node.link(interface).state == state
            });
        }
    }

    /// Until each twin hears of the other.
    pub fn wait_for_twins(&self) {
        for node in self.nodes() {
            node.wait("the twins", || node.row("twin", "peer").starts_with("up"));
        }
    }
}

impl Node {
    fn new(name: &'static str, number: u8) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let lab = NUMBER.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("splnk{}-{lab}-{name}", std::process::id());
        if !ip(&["netns", "add", &namespace]) {
            eprintln!("skipped: cannot make network namespaces (not root?)");
            return None;
        }
        let node = Self {
            name,
            dir: std::env::temp_dir().join(&namespace),
            namespace,
            host: None,
        };
        node.ip("link set lo up");
        for folder in ["plugins", "lib"] {
            fs::create_dir_all(node.path(folder)).unwrap();
        }
        node.write_secret("key", &key(number).to_text());
        Some(node)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub fn write_config(&self, text: &str) {
        self.write(
            "spared.toml",
            &format!("node.name = \"{}\"\n{text}", self.name),
        );
    }

    pub fn write_secret(&self, name: &str, text: &str) {
        self.write(name, text);
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Installs a plugin's library and its file.
    pub fn enable(&self, plugin: &str, text: &str) {
        let library = self.path("lib").join(format!("{plugin}.so"));
        if !library.exists() {
            fs::copy(library_of(plugin), &library).unwrap();
            fs::set_permissions(&library, fs::Permissions::from_mode(0o644)).unwrap();
        }
        self.write(&format!("plugins/{plugin}.toml"), text);
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new("ip");
        command.args([
            "netns",
            "exec",
            &self.namespace,
            env!("CARGO_BIN_EXE_spared"),
        ]);
        command
            .arg(verb)
            .arg("--config")
            .arg(self.path("spared.toml"));
        command.arg("--plugin-dir").arg(self.path("lib"));
        if verb == "run" {
            command.arg("--runtime-dir").arg(self.path("run"));
        }
        command.stdin(Stdio::null());
        command
    }

    /// Starts the host and waits until it answers.
    pub fn start(&mut self) {
        let mut options = fs::OpenOptions::new();
        let log = options.create(true).append(true).open(self.path("log"));
        let log = log.unwrap();
        let mut command = self.command("run");
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.host = Some(command.spawn().unwrap());
        self.wait("the control socket", || self.try_status().is_some());
    }

    /// `spared check`, to its end.
    pub fn check(&self) -> String {
        let output = self.command("check").output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub fn ask(&self, request: &Request) -> Answer {
        ask(&self.path("run"), request, SOON)
            .unwrap_or_else(|error| panic!("{error}\n{}", self.log()))
    }

    pub fn reload(&self) {
        let answer = self.ask(&Request::Reload);
        assert!(matches!(answer, Answer::Done { .. }), "{answer:?}");
    }

    fn try_status(&self) -> Option<Status> {
        match ask(&self.path("run"), &Request::Status, SOON) {
            Ok(Answer::Status(status)) => Some(*status),
            _ => None,
        }
    }

    pub fn status(&self) -> Status {
        self.try_status()
            .unwrap_or_else(|| panic!("no status\n{}", self.log()))
    }

    pub fn link(&self, interface: &str) -> LinkStatus {
        let mut links = self.status().links.into_iter();
        let found = links.find(|link| link.interface == interface);
        found.unwrap_or_else(|| panic!("no link {interface}\n{}", self.log()))
    }

    /// A row that a plugin answers to `status`; empty where there is none.
    pub fn row(&self, plugin: &str, key: &str) -> String {
        let request = Request::Plugin {
            name: plugin.to_owned(),
            argv: vec!["status".to_owned()],
        };
        match self.ask(&request) {
            Answer::Rows { rows } => match rows.get(key) {
                Some(Value::Text(text)) => text.clone(),
                Some(Value::Number(number)) => number.to_string(),
                None => String::new(),
            },
            _ => String::new(),
        }
    }

    /// Events of the link with this reason.
    pub fn told(&self, reason: &str) -> Vec<String> {
        self.link_events(|of_event| of_event == reason)
    }

    /// Events about somebody who is not let in.
    pub fn refusals(&self) -> Vec<String> {
        const OTHERS: [&str; 6] = ["up", "down", "peer-up", "peer-down", "died", "firewall"];
        self.link_events(|reason| !OTHERS.contains(&reason))
    }

    fn link_events(&self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let Answer::Events { events } = self.ask(&Request::Events { limit: 1000 }) else {
            panic!("no events");
        };
        let of_link = events.into_iter().filter(|event| event.event == "link");
        of_link
            .filter(|event| wanted(event.reason.as_deref().unwrap_or_default()))
            .map(|event| event.text)
            .collect()
    }

    pub fn wait(&self, what: &str, mut done: impl FnMut() -> bool) {
        let since = Instant::now();
        while !done() {
            assert!(
                since.elapsed() < SOON,
                "{}: waited in vain for {what}\n{}",
                self.name,
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    pub fn ip(&self, arguments: &str) {
        let words: Vec<&str> = arguments.split(' ').collect();
        let arguments_of_ip = [&["-n", self.namespace.as_str()], &words[..]].concat();
        assert!(ip(&arguments_of_ip), "{arguments}");
    }

    /// A program in the node's namespace.
    pub fn inside(&self, program: &str, arguments: &[&str]) -> Output {
        let exec = ["netns", "exec", &self.namespace, program];
        let mut command = Command::new("ip");
        command.args(exec).args(arguments).output().unwrap()
    }

    /// What it prints.
    pub fn prints(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.inside(program, arguments);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The process of the link.
    pub fn link_pid(&self) -> Option<i32> {
        pids(&self.namespace).into_iter().find(|pid| {
            let words = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            words.split('\0').nth(1) == Some("link")
        })
    }

    pub fn signal(&self, pid: i32, signal: Signal) {
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        let _ = rustix::process::kill_process(pid, signal);
    }

    /// SIGTERM, and the end.
    pub fn stop(&mut self) {
        let mut host = self.host.take().unwrap();
        self.signal(i32::try_from(host.id()).unwrap(), Signal::TERM);
        let since = Instant::now();
        while host.try_wait().unwrap().is_none() {
            assert!(since.elapsed() < SOON, "does not end\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// SIGKILL to all of them.
    pub fn kill_all(&mut self) {
        for pid in pids(&self.namespace) {
            self.signal(pid, Signal::KILL);
        }
        if let Some(mut host) = self.host.take() {
            let _ = host.wait();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill_all();
        ip(&["netns", "del", &self.namespace]);
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn pids(namespace: &str) -> Vec<i32> {
    let mut command = Command::new("ip");
    let output = command.args(["netns", "pids", namespace]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .filter_map(|line| line.trim().parse().ok())
        .collect()
}

fn ip(arguments: &[&str]) -> bool {
    let output = Command::new("ip").args(arguments).output().unwrap();
    output.status.success()
}

/// A plugin's library: cargo builds it only when asked by name, and once is enough.
fn library_of(plugin: &str) -> PathBuf {
    static BUILT: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let package = format!("spared-example-{plugin}");
    let folder = Path::new(env!("CARGO_BIN_EXE_spared")).parent().unwrap();
    let library = folder.join(format!("lib{}.so", package.replace('-', "_")));
    let mut built = BUILT.lock().unwrap();
    if built.insert(package.clone()) {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "-p", &package]);
        if folder.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(
            cargo.status().unwrap().success(),
            "{package} does not build"
        );
    }
    library
}
