//! A folder with compiled plugins, and a host that exchanges messages with one worker.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use spared_contract::{
    ConfigTable, Descriptor, Directive, Failure, FromPlugin, Row, Surroundings, ToPlugin, Value,
};
use spared_message::load::Load;
use spared_process::worker::process::Worker;

/// Generous time limit, because many tests share two cores.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Folder that is removed with the test.
pub struct Lab {
    pub dir: PathBuf,
}

impl Lab {
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir =
            std::env::temp_dir().join(format!("spared-worker-{}-{number}", std::process::id()));
        std::fs::create_dir_all(dir.join("state")).unwrap();
        Self { dir }
    }

    pub fn state(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// Compiles a plugin in C, `source` (a path in the repository), and the library to NAME.so.
    pub fn compile(&self, name: &str, source: &str, arguments: &[&str]) -> PathBuf {
        let library = repository().join("abi/c/spared_plugin.c");
        let library = [library.to_str().unwrap(), "-lpthread"];
        self.compile_alone(name, source, &[arguments, &library].concat())
    }

    /// Compiles `source` to NAME.so without the library.
    fn compile_alone(&self, name: &str, source: &str, arguments: &[&str]) -> PathBuf {
        let path = self.dir.join(format!("{name}.so"));
        let root = repository();
        let output = Command::new("cc")
            .args([
                "-std=c11",
                "-Wall",
                "-Wextra",
                "-Werror",
                "-shared",
                "-fPIC",
                "-fvisibility=hidden",
            ])
            .arg("-I")
            .arg(root.join("abi/c"))
            .arg("-o")
            .arg(&path)
            .arg(root.join(source))
            .args(arguments)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        path
    }

    /// Compiles C text to NAME.so, without the library.
    pub fn compile_text(&self, name: &str, text: &str, arguments: &[&str]) -> PathBuf {
        let source = self.dir.join(format!("{name}.c"));
        std::fs::write(&source, text).unwrap();
        self.compile_alone(name, source.to_str().unwrap(), arguments)
    }

    pub fn probe(&self) -> PathBuf {
        self.compile("probe", "host/process/tests/plugins/probe.c", &[])
    }

    /// Builds an example plugin in Rust and copies it to NAME.so.
    pub fn example(&self, name: &str) -> PathBuf {
        let package = format!("spared-example-{name}");
        let library = format!("lib{}.so", package.replace('-', "_"));
        self.build(name, &package, &library)
    }

    /// Builds another version of an example plugin, which is an example of that crate, and copies it to NAME.so.
    pub fn example_of_example(&self, name: &str, example: &str) -> PathBuf {
        let package = format!("spared-example-{name}");
        self.build(name, &package, &format!("examples/lib{example}.so"))
    }

    /// Builds a plugin of this repository, and copies it to NAME.so.
    pub fn product(&self, name: &str) -> PathBuf {
        self.build(
            name,
            &format!("spared-{name}"),
            &format!("libspared_{name}.so"),
        )
    }

    fn build(&self, name: &str, package: &str, library: &str) -> PathBuf {
        // `make test` has built everything.
        if std::env::var_os("SPARED_BUILT").is_none() {
            let output = Command::new(env!("CARGO"))
                .args(["build", "--quiet", "--lib", "--examples", "--package"])
                .arg(package)
                .current_dir(repository())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{said}");
        }
        let built = executable("worker")
            .parent()
            .unwrap()
            .parent()
            .unwrap()
            .to_path_buf();
        let path = self.dir.join(format!("{name}.so"));
        std::fs::copy(built.join(library), &path).unwrap();
        path
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Path of an example of this crate, which cargo built with the tests: target/PROFILE/examples.
pub fn executable(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent()
        .unwrap()
        .parent()
        .unwrap()
        .join("examples")
        .join(name)
}

pub fn load(name: &str) -> Load {
    Load {
        name: name.to_owned(),
        ..Load::default()
    }
}

/// Host's side of one worker.
pub struct Host {
    pub worker: Worker,
    /// Messages that were received and not asked for yet.
    pub received: VecDeque<FromPlugin>,
    next_token: u64,
}

/// Result of a callback.
#[derive(Debug)]
pub struct Returned {
    pub status: i32,
    pub failures: Vec<Failure>,
    pub rows: Vec<Row>,
}

impl Returned {
    pub fn signed(&self, key: &str) -> i64 {
        match self.rows.iter().find(|row| row.key == key) {
            Some(Row {
                value: Value::Signed { number, .. },
                ..
            }) => *number,
            other => panic!("{key}: {other:?}"),
        }
    }

    pub fn number(&self, key: &str) -> u64 {
        match self.rows.iter().find(|row| row.key == key) {
            Some(Row {
                value: Value::Number(number) | Value::Counter(number),
                ..
            }) => *number,
            other => panic!("{key}: {other:?} in {self:?}"),
        }
    }

    pub fn text(&self, key: &str) -> &str {
        match self.rows.iter().find(|row| row.key == key) {
            Some(Row {
                value: Value::Text(text),
                ..
            }) => text,
            other => panic!("{key}: {other:?} in {self:?}"),
        }
    }
}

impl Host {
    pub fn spawn(plugin: &Path, load: &Load) -> Self {
        Self::spawn_by(&executable("worker"), plugin, load)
    }

    /// With another program in place of the worker.
    pub fn spawn_by(program: &Path, plugin: &Path, load: &Load) -> Self {
        let file = std::fs::File::open(plugin).unwrap();
        let worker = Worker::spawn(program, load, file.as_fd()).unwrap();
        Self {
            worker,
            received: VecDeque::new(),
            next_token: 100,
        }
    }

    /// Starts a worker whose plugin is loaded, configured with `toml`, and started.
    pub fn started(plugin: &Path, load: &Load, toml: &str) -> Self {
        let mut host = Self::spawn(plugin, load);
        host.loaded().unwrap();
        let configured = host.configure(toml, false);
        assert_eq!(configured.status, 0, "{configured:?}");
        assert_eq!(host.ask(|token| ToPlugin::Start { token }).status, 0);
        host
    }

    pub fn loaded(&mut self) -> Result<Descriptor, String> {
        self.wait(|message| match message {
            FromPlugin::Loaded(loaded) => Some(loaded.clone()),
            _ => None,
        })
    }

    pub fn configure(&mut self, toml: &str, check: bool) -> Returned {
        self.configure_as("r1", toml, check)
    }

    /// Configures the plugin as on the node of this name.
    pub fn configure_as(&mut self, node: &str, toml: &str, check: bool) -> Returned {
        let table = table(toml);
        self.ask(|token| ToPlugin::Configure {
            token,
            table,
            check,
            surroundings: Surroundings {
                node: node.to_owned(),
                nodes: vec!["r1".to_owned(), "r2".to_owned()],
                links: vec!["hot".to_owned()],
                peer: Some("r2".to_owned()),
                state: None,
            },
        })
    }

    pub fn query(&mut self, words: &str) -> Returned {
        let argv = words.split(' ').map(str::to_owned).collect();
        self.ask(|token| ToPlugin::Query { token, argv })
    }

    /// Sends a message with a token, and waits for the result.
    pub fn ask(&mut self, message: impl FnOnce(u64) -> ToPlugin) -> Returned {
        let token = self.tell(message);
        self.returned(token)
    }

    /// Sends a message with a token, and returns the token.
    pub fn tell(&mut self, message: impl FnOnce(u64) -> ToPlugin) -> u64 {
        self.next_token += 1;
        self.send(&message(self.next_token), &[]);
        self.next_token
    }

    pub fn send(&self, message: &ToPlugin, descriptors: &[BorrowedFd<'_>]) {
        self.worker.send(message, descriptors).unwrap();
    }

    pub fn returned(&mut self, wanted: u64) -> Returned {
        self.wait(|message| match message {
            FromPlugin::Returned {
                token,
                status,
                failures,
                rows,
                ..
            } if *token == wanted => Some(Returned {
                status: *status,
                failures: failures.clone(),
                rows: rows.clone(),
            }),
            _ => None,
        })
    }

    /// Waits for a log line that contains `text`.
    pub fn log(&mut self, text: &str) -> String {
        self.wait(|message| match message {
            FromPlugin::Log { text: line, .. } if line.contains(text) => Some(line.clone()),
            _ => None,
        })
    }

    /// Waits for the first message that `pick` accepts; the others stay for later.
    pub fn wait<T>(&mut self, pick: impl Fn(&FromPlugin) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut over = None;
        loop {
            let mut received = self.received.iter().enumerate();
            let found = received.find_map(|(at, message)| Some((at, pick(message)?)));
            if let Some((at, picked)) = found {
                self.received.remove(at);
                return picked;
            }
            if Instant::now() > deadline {
                over = Some("waited in vain".to_owned());
            }
            if let Some(why) = over {
                let there = format!("{:?}", self.received);
                let there: String = there.chars().take(2000).collect();
                panic!("{why}; there is {there}, {:?}", self.worker.exit());
            }
            over = self.receive().err().map(|error| error.to_string());
        }
    }

    /// Receives the messages that are there, after a short wait.
    pub fn receive(&mut self) -> Result<(), spared_records::ReceiveError> {
        readable(self.worker.as_fd(), Duration::from_millis(100));
        while let Some(message) = self.worker.receive()? {
            self.received.push_back(message);
        }
        Ok(())
    }

    /// Drops the connection, like a host that died: nobody reads any more.
    pub fn hang_up(self) -> spared_process::child::Child {
        self.worker.into_child()
    }

    /// Waits until the process has ended. Returns its exit code, or minus the signal.
    pub fn ended(&mut self) -> i32 {
        assert!(
            readable(self.worker.pidfd(), PATIENCE),
            "the worker still runs"
        );
        // Receives its last messages.
        while let Ok(Some(message)) = self.worker.receive() {
            self.received.push_back(message);
        }
        code(self.worker.exit().unwrap())
    }
}

/// Exit code of the process, or minus the signal.
pub fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| -status.signal().unwrap())
}

pub fn readable(fd: BorrowedFd<'_>, timeout: Duration) -> bool {
    let timeout = Timespec::try_from(timeout).unwrap();
    poll(
        &mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)],
        Some(&timeout),
    )
    .unwrap_or(0)
        > 0
}

/// Waits until something holds.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what} never came true");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A usual directive.
pub fn directive() -> Directive {
    Directive {
        group: "office".to_owned(),
        ..Directive::default()
    }
}

/// Contents of a file, as a message carries them.
pub fn table(toml: &str) -> ConfigTable {
    spared_config_reader::table(toml).unwrap()
}
