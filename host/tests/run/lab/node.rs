//! Node of a test: a namespace, a folder with configuration and plugins, and the host that runs there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use spared_tests::clock::poll;
use spared_tests::lab::{Daemon, Namespace, signal_to};

use super::library;

/// Time limit for anything that happens at all, also on a busy machine.
pub const SOON: Duration = Duration::from_secs(20);

const STEP: Duration = Duration::from_millis(20);

pub struct Node {
    pub name: &'static str,
    pub namespace: Namespace,
    dir: PathBuf,
    host: Option<Daemon>,
    environment: Vec<(String, String)>,
    /// Program and arguments that start the host instead of its own program, and options in addition to the usual ones.
    starts: Vec<String>,
    options: Vec<String>,
}

impl Node {
    /// Creates a node; None, with the reason printed, if this user may not create namespaces.
    pub fn new(name: &'static str) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = format!("spared-run-{}-{number}-{name}", std::process::id());
        let node = Self {
            name,
            namespace: Namespace::or_skip(name)?,
            dir: std::env::temp_dir().join(dir),
            host: None,
            environment: Vec::new(),
            starts: Vec::new(),
            options: Vec::new(),
        };
        for folder in ["plugins", "lib"] {
            fs::create_dir_all(node.path(folder)).unwrap();
        }
        node.write_config("");
        Some(node)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Writes spared.toml: this text after the line with the node's name.
    pub fn write_config(&self, text: &str) {
        let name = self.name;
        self.write("spared.toml", &format!("node.name = \"{name}\"\n{text}"));
    }

    pub fn write_secret(&self, name: &str, text: &str) {
        self.write(name, text);
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Installs a plugin's library and its file.
    pub fn enable(&self, plugin: &str, text: &str) {
        library::install(plugin, &self.path("lib"));
        self.write(&format!("plugins/{plugin}.toml"), text);
    }

    /// Installs a plugin in C that does nothing, with these lines in its note, and its file.
    pub fn enable_c(&self, plugin: &str, lines: &str, text: &str) {
        library::install_c(plugin, lines, &self.path("lib"));
        self.write(&format!("plugins/{plugin}.toml"), text);
    }

    /// Installs a plugin whose `callback` returns `status`, which may be invalid, and its file.
    pub fn enable_invalid(&self, plugin: &str, callback: &str, status: i32) {
        library::install_invalid(plugin, &self.path("lib"));
        let text = format!("callback = \"{callback}\"\nstatus = \"{status}\"\n");
        self.write(&format!("plugins/{plugin}.toml"), &text);
    }

    /// Installs a plugin in C of the tests, with an empty file.
    pub fn enable_own(&self, plugin: &str) {
        library::install_own(plugin, &self.path("lib"));
        self.write(&format!("plugins/{plugin}.toml"), "");
    }

    /// Sets a variable of the host's environment.
    pub fn set(&mut self, variable: &str, value: &str) {
        self.environment
            .push((variable.to_owned(), value.to_owned()));
    }

    /// Makes these words start the host, with these options.
    pub fn start_by(&mut self, words: &[&str], options: &[&str]) {
        self.starts = words.iter().map(|it| (*it).to_owned()).collect();
        self.options = options.iter().map(|it| (*it).to_owned()).collect();
    }

    pub fn command(&self, verb: &str) -> Command {
        const EXE: &str = env!("CARGO_BIN_EXE_spared");
        let mut words = self.starts.iter().map(String::as_str).chain([EXE]);
        let mut command = self.namespace.command(words.next().unwrap_or(EXE));
        command.args(words).arg(verb);
        if verb == "run" {
            command.args(&self.options);
        }
        command.arg("--config").arg(self.path("spared.toml"));
        command.arg("--plugin-dir").arg(self.path("lib"));
        if verb == "run" {
            command.arg("--runtime-dir").arg(self.path("run"));
        }
        command.env_remove("STATE_DIRECTORY");
        command.envs(self.environment.iter().cloned());
        command
    }

    /// Starts the host and waits until it answers.
    pub fn start(&mut self) {
        let host = Daemon::start(self.name, self.command("run"), &self.path("log"));
        self.host = Some(host.unwrap());
        self.wait("the control socket", || self.try_status().is_some());
    }

    /// Runs the host, or its check, until it ends.
    pub fn output(&self, verb: &str) -> Output {
        self.command(verb).stdin(Stdio::null()).output().unwrap()
    }

    pub fn wait(&self, what: &str, done: impl FnMut() -> bool) {
        assert!(
            poll(SOON, STEP, done),
            "{}: waited in vain for {what}\n{}",
            self.name,
            self.log()
        );
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Waits for a text in the log, which a thread of the host writes: it may be later than the event.
    pub fn wait_for_log(&self, text: &str) {
        self.wait(&format!("{text:?} in the log"), || {
            self.log().contains(text)
        });
    }

    pub fn ip(&self, words: &str) {
        self.namespace.shell(&format!("ip {words}")).unwrap();
    }

    /// Runs a program in the node's namespace.
    pub fn inside(&self, program: impl AsRef<Path>, arguments: &[&str]) -> Output {
        let mut command = self.namespace.command(program);
        command.args(arguments).output().unwrap()
    }

    /// Runs a program in the node's namespace, and returns its output.
    pub fn prints(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.inside(program, arguments);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub fn host_pid(&self) -> u32 {
        self.host.as_ref().expect("the host runs").pid()
    }

    /// Process id of the link's process.
    pub fn link_pid(&self) -> Option<u32> {
        self.pid_of("link")
    }

    /// Process id of the process that was started as `spared WORD`.
    pub fn pid_of(&self, word: &str) -> Option<u32> {
        self.namespace.processes().into_iter().find(|pid| {
            let words = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            words.split('\0').nth(1) == Some(word)
        })
    }

    /// Stops the host by SIGTERM, and returns its exit status.
    pub fn stop(&mut self) -> ExitStatus {
        signal_to(self.host_pid(), Signal::TERM).unwrap();
        self.wait_for_end()
    }

    pub fn wait_for_end(&mut self) -> ExitStatus {
        let ended = self.host.take().unwrap().wait(SOON);
        ended.unwrap_or_else(|error| panic!("{error}\n{}", self.log()))
    }

    /// Sends SIGKILL to all processes in the node's namespace.
    pub fn kill_all(&mut self) {
        for pid in self.namespace.processes() {
            // A process that ended meanwhile is no fault.
            let _ = signal_to(pid, Signal::KILL);
        }
        if let Some(mut host) = self.host.take() {
            let _ = host.wait(SOON);
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill_all();
        let _ = fs::remove_dir_all(&self.dir);
    }
}
