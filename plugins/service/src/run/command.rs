//! One command of a job or a query, and its start.

use std::path::{Path, PathBuf};

use spared_sdk::child::{self, Child, Program};

use super::account::account;
use super::transient_units::TransientUnits;

/// Paths of the machine; tests have others.
#[derive(Clone, Debug)]
pub struct MachinePaths {
    pub root: PathBuf,
    /// Folder in which programs are looked up before `PATH`.
    pub programs: Option<PathBuf>,
    /// Folder of files for the next worker.
    pub state: Option<PathBuf>,
}

impl Default for MachinePaths {
    fn default() -> Self {
        Self {
            root: PathBuf::from("/"),
            programs: None,
            state: None,
        }
    }
}

/// Command of a job or query.
#[derive(Clone, Debug)]
pub(super) enum Command {
    /// Program of the system.
    System(Vec<String>),
    /// Command of the administrator, which runs outside of the daemon's confinement.
    Unconfined {
        argv: Vec<String>,
        environment: Vec<(String, String)>,
        /// Name of the user who runs it; None: root.
        user: Option<String>,
    },
}

impl Command {
    /// Command of the administrator that root runs, with the environment of a plugin.
    pub(super) fn unconfined(argv: Vec<String>) -> Self {
        Self::Unconfined {
            argv,
            environment: Vec::new(),
            user: None,
        }
    }
}

/// Starts commands.
#[derive(Debug)]
pub(super) struct Starter {
    paths: MachinePaths,
    transient_units: TransientUnits,
}

impl Starter {
    pub(super) fn new(paths: MachinePaths, now_ns: u64) -> Self {
        Self {
            transient_units: TransientUnits::detect(&paths.root, now_ns),
            paths,
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.paths.root
    }

    pub(super) fn has_systemd(&self) -> bool {
        self.transient_units.is_available()
    }

    /// Starts a command; returns the child, and the unit that it waits for as a client.
    ///
    /// # Errors
    /// The reason why it does not run, as a sentence.
    pub(super) fn start(
        &mut self,
        command: &Command,
        output_max: usize,
        outlived: bool,
    ) -> Result<(Child, Option<String>), String> {
        let program = Program {
            output_max,
            outlived,
            ..Program::default()
        };
        let (argv, environment, user) = match command {
            Command::System(argv) => return Ok((self.start_system(argv, program)?, None)),
            Command::Unconfined {
                argv,
                environment,
                user,
            } => (argv, environment, user),
        };
        let name = argv.first().ok_or("names no program")?;
        let path = child::trusted(Path::new(name)).map_err(|it| it.to_string())?;
        let account = user.as_deref().map(|user| account(&self.paths.root, user));
        let account = account.transpose()?;
        let wrapped = self
            .transient_units
            .wrap(argv, environment, account, !outlived);
        if let Some((words, unit)) = wrapped {
            return Ok((self.start_system(&words, program)?, Some(unit)));
        }
        let pairs = environment.iter();
        let env: Vec<(&str, &str)> = pairs.map(|(key, it)| (key.as_str(), it.as_str())).collect();
        let program = Program {
            argv,
            executable: Some(&path),
            env: &env,
            account,
            ..program
        };
        Ok((Child::start(&program)?, None))
    }

    fn start_system(&self, argv: &[String], program: Program<'_>) -> Result<Child, String> {
        let argv = self.program(argv.to_vec());
        Child::start(&Program {
            argv: &argv,
            ..program
        })
    }

    /// Command with its program in the folder of a test, if the test has put one there.
    fn program(&self, mut argv: Vec<String>) -> Vec<String> {
        let (Some(programs), Some(name)) = (&self.paths.programs, argv.first_mut()) else {
            return argv;
        };
        let path = programs.join(name.trim_start_matches('/'));
        if path.exists() {
            *name = path.display().to_string();
        }
        argv
    }

    /// Runs a program of the system, and waits a short time for its end.
    pub(super) fn run(&self, argv: Vec<String>) {
        self.transient_units.run_briefly(&self.program(argv));
    }
}
