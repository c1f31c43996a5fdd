//! The program that a configuration names, and its execution.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Component, Path};
use std::process::{Command, Stdio};

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::{Errno, FdFlags, fcntl_getfd, fcntl_setfd};
use rustix::process::geteuid;
use spared_contract::{ConfigTable, ConfigValue, Failure, Surroundings};
use spared_sdk::child::{PATH, trusted};
use spared_sdk::config::Config;

use crate::peek::Peek;

/// Variable with the number of the daemon's socket.
const SOCKET: &str = "SPARED_SOCKET";
/// Variables of a program. It gets no other one, and none of the daemon's.
const ENVIRONMENT: [(&str, &str); 2] = [("PATH", PATH), ("LANG", "C.UTF-8")];
/// Table that belongs to the program.
const SETTINGS: &str = "settings";

/// Program with its arguments.
#[derive(Debug, PartialEq, Eq)]
pub struct Program {
    path: String,
    arguments: Vec<String>,
}

/// Reason why this process is not the program.
#[derive(Debug, PartialEq, Eq)]
pub enum NotRun {
    /// The kernel forbids it, as the confinement of this process demands.
    Forbidden(String),
    /// The program cannot be run.
    Failed(String),
    /// The program cannot be run now, for a reason that passes: its file is being replaced, or memory is short.
    NotNow(String),
}

impl Program {
    /// Reads the keys of this plugin; the table `settings` is the program's own.
    ///
    /// # Errors
    /// All faults.
    pub fn read(table: &ConfigTable, surroundings: &Surroundings) -> Result<Self, Vec<Failure>> {
        let mut table = table.clone();
        let settings = table.0.remove(SETTINGS);
        let config = Config::of(&table, &surroundings.node, &surroundings.nodes);
        let root = config.root();
        // known, so that a misspelt key is told this one
        root.has(SETTINGS);
        if !matches!(settings, None | Some(ConfigValue::Table(_))) {
            root.fault(SETTINGS, "found no table, allowed [settings]");
        }
        let path = root.text("program");
        let path = root.required("program", path);
        let is_wrong = |path: &&String| !is_plain(path);
        if let Some(path) = path.as_ref().filter(is_wrong) {
            let why = format!("found {path:?}, allowed an absolute path without ..");
            root.fault("program", why);
        }
        let arguments = root.texts("arguments").unwrap_or_default();
        config.finish()?;
        let path = path.unwrap_or_default();
        Ok(Self { path, arguments })
    }

    /// Executes the program in this process. Returns only if that is impossible.
    pub fn execute(&self, socket: &OwnedFd, peek: &Peek<'_>) -> NotRun {
        match self.try_to(socket, peek) {
            Ok(error) => explain(&error),
            Err(why) => NotRun::Failed(why),
        }
    }

    /// # Errors
    /// A sentence that says why the program is not run.
    fn try_to(&self, socket: &OwnedFd, peek: &Peek<'_>) -> Result<io::Error, String> {
        let real = trusted(Path::new(&self.path)).map_err(|refused| refused.to_string())?;
        if let Some(why) = no_permission(&real) {
            return Err(why);
        }
        if is_data(&real) {
            return Err("cannot be run: it is no ELF file, and does not begin with #!".to_owned());
        }
        let shown = |error: Errno| format!("cannot be run: {}", io::Error::from(error));
        let output = io::stderr().as_fd().try_clone_to_owned();
        let output = output.map_err(|error| format!("cannot be run: {error}"))?;
        let inherited = fcntl_getfd(socket).map_err(shown)?;
        peek.end().map_err(shown)?;
        fcntl_setfd(socket, inherited - FdFlags::CLOEXEC).map_err(shown)?;
        let error = Command::new(real)
            .arg0(&self.path)
            .args(&self.arguments)
            .env_clear()
            .envs(ENVIRONMENT)
            .env(SOCKET, socket.as_raw_fd().to_string())
            .current_dir("/")
            .stdin(Stdio::null())
            // lines of the program are lines of the log
            .stdout(output)
            .exec();
        fcntl_setfd(socket, inherited).map_err(shown)?;
        peek.begin().map_err(shown)?;
        Ok(error)
    }
}

/// True if the text is an absolute path without `..`.
fn is_plain(text: &str) -> bool {
    let path = Path::new(text);
    path.is_absolute() && !path.components().any(|it| it == Component::ParentDir)
}

/// Reason why this account may not execute the file. Landlock, which forbids a worker for checks most files, has no part
/// in it.
fn no_permission(real: &Path) -> Option<String> {
    let is_refused = accessat(CWD, real, Access::EXEC_OK, AtFlags::EACCESS) == Err(Errno::ACCESS);
    is_refused.then(|| {
        format!(
            "cannot be run: the account {} may not execute it: chmod a+x {}, unless its file system is mounted noexec",
            geteuid().as_raw(),
            real.display()
        )
    })
}

/// True if the file is no program: the C library would have a shell execute its lines. A file that cannot be read may be
/// one.
fn is_data(path: &Path) -> bool {
    let mut begin = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read(&mut begin));
    read.is_ok() && !begin.starts_with(b"#!") && begin != *b"\x7fELF"
}

/// Explains an error of execve for a file that exists, belongs to root, and may be executed by this account.
fn explain(error: &io::Error) -> NotRun {
    match error.raw_os_error() {
        Some(libc::EACCES) => NotRun::Forbidden(
            "cannot be run: permission denied to it or to its interpreter; both must be below /usr, or named in this file"
                .to_owned(),
        ),
        Some(libc::ENOENT) => {
            NotRun::Failed("cannot be run: its interpreter does not exist".to_owned())
        }
        Some(libc::ETXTBSY | libc::ENOMEM | libc::EAGAIN | libc::EMFILE | libc::ENFILE) => {
            NotRun::NotNow(format!("cannot be run now: {error}"))
        }
        _ => NotRun::Failed(format!("cannot be run: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(toml: &str) -> Result<Program, Vec<(String, String)>> {
        let table = spared_sdk::config::table(toml).unwrap();
        let read = Program::read(&table, &Surroundings::default());
        let pair = |it: Failure| (it.key, it.why);
        read.map_err(|failures| failures.into_iter().map(pair).collect())
    }

    #[test]
    fn settings_are_the_programs_own() {
        let toml = "program = \"/usr/bin/x\"\narguments = [\"-v\"]\n[settings]\nlimit = [7]\n";
        let program = Program {
            path: "/usr/bin/x".to_owned(),
            arguments: vec!["-v".to_owned()],
        };
        assert_eq!(read(toml), Ok(program));
    }

    #[test]
    fn the_example_of_the_page_is_accepted() {
        let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/plugin.md");
        let page = std::fs::read_to_string(page).unwrap();
        let (_, part) = page.split_once("### A program in any language").unwrap();
        let lines = part.lines().skip_while(|line| !line.starts_with("    "));
        let lines: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
        let program = read(&lines.join("\n")).unwrap();
        assert_eq!(program.path, "/usr/local/lib/acme/sessions.py");
        assert_eq!(program.arguments, ["--verbose"]);
    }

    #[test]
    fn each_fault_is_told_with_its_key() {
        for (toml, key, why) in [
            ("", "program", "missing"),
            ("program = 7", "program", "found 7, allowed a text"),
            (
                "program = \"x\"",
                "program",
                "found \"x\", allowed an absolute path without ..",
            ),
            (
                "program = \"/usr/../x\"",
                "program",
                "found \"/usr/../x\", allowed an absolute path without ..",
            ),
            (
                "program = \"/usr/bin/x\"\narguments = \"x\"",
                "arguments",
                "found \"x\", allowed an array: texts",
            ),
            (
                "program = \"/usr/bin/x\"\nsettings = 1",
                "settings",
                "found no table, allowed [settings]",
            ),
        ] {
            let failures = read(toml).unwrap_err();
            assert_eq!(failures, [(key.to_owned(), why.to_owned())], "{toml}");
        }
        let unknown = read("program = \"/usr/bin/x\"\nlimit = 1").unwrap_err();
        assert_eq!(unknown[0].0, "limit");
        assert!(unknown[0].1.starts_with("unknown key"), "{unknown:?}");
    }
}
