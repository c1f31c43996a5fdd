//! Test bed: two network namespaces with a cable between them, for a server and a client.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{panicking, sleep};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

static NUMBER: AtomicU32 = AtomicU32::new(0);

pub struct Lab {
    server: String,
    client: String,
}

impl Lab {
    /// Creates the namespaces; None if they are not available, with the reason on standard error.
    pub fn new(programs: &[&str]) -> Option<Self> {
        let missing = programs.iter().find(|program| !Path::new(program).exists());
        if let Some(missing) = missing {
            eprintln!("skipped: no {missing}");
            return None;
        }
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: not root");
            return None;
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("spdhcp{}-{number}", std::process::id());
        let lab = Self {
            server: format!("{name}s"),
            client: format!("{name}c"),
        };
        let (server, client) = (&lab.server, &lab.client);
        ip(&format!("netns add {server}"));
        ip(&format!("netns add {client}"));
        ip(&format!(
            "-n {server} link add srv type veth peer name cli netns {client}"
        ));
        for (namespace, port) in [(server, "srv"), (client, "cli")] {
            ip(&format!("-n {namespace} link set lo up"));
            ip(&format!("-n {namespace} link set {port} up"));
        }
        ip(&format!("-n {server} addr add 192.0.2.1/24 dev srv"));
        ip(&format!(
            "-n {server} addr add 2001:db8::1/64 dev srv nodad"
        ));
        Some(lab)
    }

    /// Starts a server in its namespace; its output goes to `log`.
    pub fn serve(&self, words: &[&str], environment: &[(&str, &Path)], log: &Path) -> Process {
        Process::start(&self.server, words, environment, log)
    }

    /// Starts a client that asks until it has an address, and keeps it.
    pub fn ask(&self, mac: u8, log: &Path) -> Process {
        ip(&format!(
            "-n {} link set cli address 02:00:00:00:01:{mac:02x}",
            self.client
        ));
        // without its address it cannot release it
        let script = log.with_extension("sh");
        let text =
            "#!/bin/sh\nif [ \"$ip\" ]; then ip addr replace \"$ip/24\" dev \"$interface\"; fi\n";
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let script = script.to_str().unwrap();
        let words = [
            "/usr/bin/busybox",
            "udhcpc",
            "-f",
            "-i",
            "cli",
            "-s",
            script,
            "-T",
            "1",
            "-A",
            "1",
        ];
        Process::start(&self.client, &words, &[], log)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for namespace in [&self.server, &self.client] {
            let _ = Command::new("ip")
                .args(["netns", "del", namespace])
                .status();
        }
    }
}

fn ip(words: &str) {
    let status = Command::new("ip").args(words.split(' ')).status().unwrap();
    assert!(status.success(), "ip {words}");
}

pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    pub fn start(
        namespace: &str,
        words: &[&str],
        environment: &[(&str, &Path)],
        log: &Path,
    ) -> Self {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]).args(words);
        Self::spawn(command, environment, log)
    }

    pub fn spawn(mut command: Command, environment: &[(&str, &Path)], log: &Path) -> Self {
        let file = fs::File::create(log).unwrap();
        command.envs(environment.iter().copied());
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file);
        Self {
            child: command.spawn().unwrap(),
            log: log.to_owned(),
        }
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
    }

    pub fn stop(mut self) {
        self.signal(Signal::TERM);
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if panicking() {
            let said = fs::read_to_string(&self.log).unwrap_or_default();
            eprintln!("{}:\n{said}", self.log.display());
        }
    }
}

pub fn wait_for(path: &Path) {
    let began = Instant::now();
    while !path.exists() {
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "{}",
            path.display()
        );
        sleep(Duration::from_millis(10));
    }
}

pub fn wait_for_text(path: &Path, text: &str) {
    let began = Instant::now();
    while !fs::read_to_string(path).unwrap().contains(text) {
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "{}",
            path.display()
        );
        sleep(Duration::from_millis(10));
    }
}

/// Returns Kea's answer to a command.
pub fn kea(socket: &Path, command: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(command.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
