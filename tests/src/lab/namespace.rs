// SPDX-License-Identifier: MIT OR Apache-2.0
//! A network namespace without a name. It ends with its last process and descriptor, so nothing is left
//! behind.

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio, id};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::{Result, sys};

pub struct Namespace {
    pub name: String,
    file: File,
}

impl Namespace {
    pub fn new(name: &str) -> Result<Self> {
        let made = thread::spawn(|| {
            sys::unshare_network()?;
            File::open("/proc/thread-self/ns/net")
        });
        let file = made
            .join()
            .map_err(|_| "the thread that makes a namespace died")??;
        Ok(Self {
            name: name.to_owned(),
            file,
        })
    }

    /// Returns another handle of the namespace, which lasts as long as one of its handles.
    pub fn try_clone(&self) -> Result<Self> {
        Ok(Self {
            name: self.name.clone(),
            file: self.file.try_clone()?,
        })
    }

    /// Creates a namespace with its loopback up; None, with the reason printed, if this user may not create one.
    pub fn or_skip(name: &str) -> Option<Self> {
        let made = Self::new(name).and_then(|namespace| {
            namespace.ip("link set lo up\n")?;
            Ok(namespace)
        });
        made.inspect_err(|error| eprintln!("skipped: no network namespaces (not root?): {error}"))
            .ok()
    }

    /// Adds a cable from `interface` here to `far_interface` there. Both ends are down.
    pub fn add_cable(&self, interface: &str, far: &Self, far_interface: &str) -> Result<()> {
        let path = far.path();
        self.ip(&format!(
            "link add {interface} type veth peer name {far_interface} netns {path}\n"
        ))
    }

    /// Runs `work` on a thread in the namespace. Sockets that it opens stay in it.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let inside = || {
            self.enter()?;
            work()
        };
        thread::scope(|scope| {
            scope
                .spawn(inside)
                .join()
                .map_err(|_| format!("work in {} panicked", self.name))?
        })
    }

    /// Moves the calling thread into the namespace.
    pub fn enter(&self) -> Result<()> {
        move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network))?;
        Ok(())
    }

    /// Returns a command that runs in the namespace, and dies with the thread that starts it.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let program = program.as_ref();
        let mut command = Command::new(find_program(program).unwrap_or_else(|| program.into()));
        sys::start_in(&mut command, self.file.as_raw_fd());
        command
    }

    /// Runs a command line, words split at blanks, and returns what it prints.
    pub fn shell(&self, line: &str) -> Result<String> {
        let mut words = line.split_whitespace();
        let program = words.next().ok_or("an empty command line")?;
        let output = self
            .command(program)
            .args(words)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("{}: {program}: {error}", self.name))?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{}: {line}: {}", self.name, why.trim()).into());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs `ip -batch` with one command per line.
    pub fn ip(&self, lines: &str) -> Result<()> {
        self.feed(&["ip", "-batch", "-"], lines)
    }

    /// Runs `nft -f` with these rules.
    pub fn nft(&self, rules: &str) -> Result<()> {
        self.feed(&["nft", "-f", "-"], rules)
    }

    fn feed(&self, argv: &[&str], input: &str) -> Result<()> {
        let mut child = self
            .command(argv[0])
            .args(&argv[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes())?;
        }
        let output = child.wait_with_output()?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{}: {}: {}", self.name, argv.join(" "), why.trim()).into());
        }
        Ok(())
    }

    /// Writes kernel settings, such as "net/ipv4/ip_forward".
    pub fn set(&self, settings: &[(&str, &str)]) -> Result<()> {
        self.run(|| {
            for (key, value) in settings {
                let path = format!("/proc/sys/{key}");
                fs::write(&path, value).map_err(|error| format!("{path}: {error}"))?;
            }
            Ok(())
        })
    }

    /// Path of the namespace for `ip`.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", id(), self.file.as_raw_fd())
    }

    /// True if an interface has the address.
    pub fn holds(&self, address: &str) -> bool {
        let wanted = format!(" {address}/");
        self.shell("ip -o addr show")
            .is_ok_and(|text| text.contains(&wanted))
    }

    /// Returns all processes in the namespace except this one.
    pub fn processes(&self) -> Vec<u32> {
        let Ok(here) = self.file.metadata() else {
            return Vec::new();
        };
        let Ok(entries) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        let pids = entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid| *pid != id())
            .filter(|pid| {
                fs::metadata(format!("/proc/{pid}/ns/net"))
                    .is_ok_and(|there| (there.dev(), there.ino()) == (here.dev(), here.ino()))
            })
            .collect()
    }
}

/// Returns the path of a program, searched also in the directories for administrators, which may be missing in PATH.
pub fn find_program(program: &Path) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let beside = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let mut dirs = env::split_paths(&path).chain(beside);
    dirs.find_map(|dir| Some(dir.join(program)).filter(|file| file.is_file()))
}
