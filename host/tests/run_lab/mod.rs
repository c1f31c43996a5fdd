//! A router in a namespace of its own, run by the real binary, and a station on its link.

#![allow(dead_code, clippy::unwrap_used)] // each test binary uses its part

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use spared_control::{Answer, GroupStatus, PluginStatus, Request, Status, ask};

/// A group that becomes active alone, a third of a second after its start.
pub const VRRP: &str = r#"
[[group]]
name = "office"
election = "priority"
priority = 100
advert_interval = "100ms"
[[group.router]]
interface = "lan"
vrid = 50
addresses = ["10.9.0.1/24"]
"#;

/// Time enough for anything that happens at all, also on a busy machine.
pub const SOON: Duration = Duration::from_secs(20);

/// Two namespaces joined by a veth, and a folder with configuration and plugins.
pub struct Lab {
    pub router: String,
    pub station: String,
    dir: PathBuf,
    host: Option<Child>,
    environment: Vec<(String, String)>,
}

impl Lab {
    /// None, with the reason printed, where this user may not make namespaces.
    pub fn new() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = |role: &str| format!("sprun{}-{number}-{role}", std::process::id());
        let lab = Self {
            router: name("r"),
            station: name("s"),
            dir: std::env::temp_dir().join(name("d")),
            host: None,
            environment: Vec::new(),
        };
        for namespace in [&lab.router, &lab.station] {
            if !ip(&["netns", "add", namespace]) {
                eprintln!("skipped: cannot make network namespaces (not root?)");
                return None;
            }
            ip(&["-n", namespace, "link", "set", "lo", "up"]);
        }
        ip(&[
            "-n",
            &lab.router,
            "link",
            "add",
            "lan",
            "type",
            "veth",
            "peer",
            "name",
            "lan",
            "netns",
            &lab.station,
        ]);
        for (namespace, address) in [(&lab.router, "10.9.0.2/24"), (&lab.station, "10.9.0.9/24")] {
            ip(&["-n", namespace, "link", "set", "lan", "up"]);
            ip(&["-n", namespace, "addr", "add", address, "dev", "lan"]);
        }
        for folder in ["plugins", "lib"] {
            fs::create_dir_all(lab.dir.join(folder)).unwrap();
        }
        lab.write("spared.toml", "node.name = \"r1\"\n");
        Some(lab)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub fn runtime_dir(&self) -> PathBuf {
        self.path("run")
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
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

    /// Sets a variable of the host's environment.
    pub fn set(&mut self, variable: &str, value: &str) {
        self.environment
            .push((variable.to_owned(), value.to_owned()));
    }

    fn arguments(&self, verb: &str) -> Vec<String> {
        let path = |name: &str| self.path(name).display().to_string();
        let mut arguments = vec![verb.to_owned(), "--config".to_owned(), path("spared.toml")];
        arguments.extend(["--plugin-dir".to_owned(), path("lib")]);
        if verb == "run" {
            arguments.extend(["--runtime-dir".to_owned(), path("run")]);
        }
        arguments
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.router, env!("CARGO_BIN_EXE_spared")]);
        command.args(self.arguments(verb)).stdin(Stdio::null());
        command.envs(self.environment.iter().cloned());
        command
    }

    /// Starts the host and waits until it answers.
    pub fn start(&mut self) {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .unwrap();
        let mut command = self.command("run");
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.host = Some(command.spawn().unwrap());
        self.wait("the control socket", || self.try_status().is_some());
    }

    /// Runs the host, or its check, to the end.
    pub fn output(&self, verb: &str) -> Output {
        self.command(verb).output().unwrap()
    }

    pub fn ask(&self, request: &Request) -> Answer {
        ask(&self.runtime_dir(), request, SOON)
            .unwrap_or_else(|error| panic!("{error}\n{}", self.log()))
    }

    fn try_status(&self) -> Option<Status> {
        match ask(&self.runtime_dir(), &Request::Status, SOON) {
            Ok(Answer::Status(status)) => Some(*status),
            _ => None,
        }
    }

    pub fn status(&self) -> Status {
        self.try_status()
            .unwrap_or_else(|| panic!("no status\n{}", self.log()))
    }

    pub fn group(&self) -> GroupStatus {
        let found = self
            .status()
            .groups
            .into_iter()
            .find(|group| group.name == "office");
        found.unwrap_or_else(|| panic!("no group\n{}", self.log()))
    }

    pub fn plugin(&self, name: &str) -> PluginStatus {
        let found = self
            .status()
            .plugins
            .into_iter()
            .find(|plugin| plugin.name == name);
        found.unwrap_or_else(|| panic!("no plugin {name}\n{}", self.log()))
    }

    pub fn wait_for_role(&self, role: &str) {
        self.wait(&format!("the role {role}"), || {
            self.status().groups.iter().any(|group| group.role == role)
        });
    }

    /// Active, with its address answering.
    pub fn wait_until_active(&self) {
        self.wait_for_role("active");
        self.wait("an answer", || self.pings());
    }

    pub fn wait_for_plugin(&self, name: &str, state: &str) {
        self.wait(&format!("{name} {state}"), || {
            self.status()
                .plugins
                .iter()
                .any(|plugin| plugin.name == name && plugin.state == state)
        });
    }

    pub fn wait(&self, what: &str, mut done: impl FnMut() -> bool) {
        let since = Instant::now();
        while !done() {
            assert!(
                since.elapsed() < SOON,
                "waited in vain for {what}\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether the station gets an answer from the group's address.
    pub fn pings(&self) -> bool {
        let words = [
            "netns",
            "exec",
            &self.station,
            "ping",
            "-c1",
            "-W0.3",
            "-n",
            "10.9.0.1",
        ];
        ip(&words)
    }

    /// Addresses, routes, devices and tables of spared's in the router's namespace.
    pub fn traces(&self) -> String {
        let tables = self.inside("nft", &["list", "tables"]);
        let tables = String::from_utf8_lossy(&tables.stdout).into_owned();
        let tables = tables.lines().filter(|line| line.contains("spared"));
        tables.fold(self.traces_on_interfaces(), |all, line| all + line)
    }

    /// The same without tables.
    pub fn traces_on_interfaces(&self) -> String {
        const MARKS: [&str; 4] = ["10.9.0.1/", "proto 213", "alias spared", "macvlan"];
        let mut traces = String::new();
        for words in ["addr", "route", "link"] {
            let output = self.inside("ip", &["-d", words]);
            let text = String::from_utf8_lossy(&output.stdout);
            let ours = text
                .lines()
                .filter(|line| MARKS.iter().any(|mark| line.contains(mark)));
            ours.for_each(|line| writeln!(traces, "{line}").unwrap());
        }
        traces
    }

    /// A program in the router's namespace.
    pub fn inside(&self, program: &str, arguments: &[&str]) -> Output {
        let exec = ["netns", "exec", &self.router, program];
        Command::new("ip")
            .args(exec)
            .args(arguments)
            .output()
            .unwrap()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    pub fn host_pid(&self) -> i32 {
        i32::try_from(self.host.as_ref().expect("the host runs").id()).unwrap()
    }

    pub fn signal(&self, pid: i32, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        let _ = rustix::process::kill_process(pid, signal);
    }

    /// SIGTERM, and how it ended.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(self.host_pid(), rustix::process::Signal::TERM);
        self.wait_for_end()
    }

    pub fn wait_for_end(&mut self) -> ExitStatus {
        let mut host = self.host.take().unwrap();
        let since = Instant::now();
        loop {
            if let Some(status) = host.try_wait().unwrap() {
                return status;
            }
            if since.elapsed() > SOON {
                let _ = host.kill();
                panic!("the host does not end\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// SIGKILL to everything in the router's namespace.
    pub fn kill_all(&mut self) {
        for pid in pids(&self.router) {
            self.signal(pid, rustix::process::Signal::KILL);
        }
        if let Some(mut host) = self.host.take() {
            let _ = host.wait();
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for namespace in [&self.router, &self.station] {
            for pid in pids(namespace) {
                self.signal(pid, rustix::process::Signal::KILL);
            }
            ip(&["netns", "del", namespace]);
        }
        if let Some(mut host) = self.host.take() {
            let _ = host.wait();
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn pids(namespace: &str) -> Vec<i32> {
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
