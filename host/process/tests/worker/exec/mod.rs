//! Programs in any language, which the plugin exec runs: what it refuses, and what a program finds.

mod python;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use spared_contract::{FromPlugin, RootsFile, Surroundings, ToPlugin};
use spared_message::load::Load;
use spared_process::worker::process::{self, CheckError, Configuration};
use std::os::fd::AsFd;

use crate::confinement::has_accounts;
use crate::lab::{Host, Lab, executable, load, readable, table};

const EINVAL: i32 = -22;
const SIGTERM: i32 = Signal::TERM.as_raw();

/// Folder that only root can write, with programs; removed with the test.
pub struct Programs {
    dir: PathBuf,
}

impl Programs {
    /// None, with a sentence, where the folder is not root's alone.
    pub fn new() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let dir = dir.join(format!("exec-{}-{number}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let programs = Self { dir };
        let probe = programs.script("probe", "#!/bin/sh\n");
        if let Err(refused) = spared_child::trusted(&probe) {
            eprintln!("skipped: programs of this folder are not run: {refused}");
            return None;
        }
        Some(programs)
    }

    pub fn script(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// Rights of a worker whose configuration names a program in the folder.
    pub fn load(&self) -> Load {
        Load {
            files: vec![self.dir.to_str().unwrap().to_owned()],
            ..load("exec")
        }
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Text of exec.toml.
pub fn toml(program: &Path) -> String {
    format!("program = {:?}\n", program.to_str().unwrap())
}

/// Worker that has no program yet.
fn loaded(lab: &Lab, load: &Load) -> Host {
    let mut host = Host::spawn(&lab.product("exec"), load);
    host.loaded().unwrap();
    host
}

/// Sends a configuration that nobody answers, as the program says nothing.
fn execute(host: &mut Host, program: &Path) {
    let table = table(&toml(program));
    host.tell(|token| ToPlugin::Configure {
        token,
        table,
        check: false,
        surroundings: Surroundings::default(),
    });
}

#[test]
fn a_program_that_cannot_be_run_is_refused_with_the_reason() {
    let lab = Lab::new();
    let Some(programs) = Programs::new() else {
        return;
    };
    let plain = programs.script("plain", "#!/bin/sh\n");
    fs::set_permissions(&plain, Permissions::from_mode(0o644)).unwrap();
    let open = programs.script("open", "#!/bin/sh\n");
    fs::set_permissions(&open, Permissions::from_mode(0o775)).unwrap();
    let lost = programs.script("lost", "#!/usr/bin/no-such-language\n");
    let data = programs.script("data", "{}");
    let missing = programs.dir.join("missing");
    let mut host = loaded(&lab, &programs.load());
    let refused = |host: &mut Host, program: &Path| {
        let returned = host.configure(&toml(program), false);
        assert_eq!(returned.status, EINVAL);
        assert_eq!(returned.failures.len(), 1);
        assert_eq!(returned.failures[0].key, "program");
        returned.failures[0].why.clone()
    };
    for (program, why) in [
        (&missing, "missing: No such file or directory (os error 2)"),
        (&plain, "plain is not an executable file"),
        (&open, "open can be written by users other than root"),
        (&lost, "cannot be run: its interpreter does not exist"),
        (
            &data,
            "cannot be run: it is no ELF file, and does not begin with #!",
        ),
    ] {
        let told = refused(&mut host, program);
        assert!(told.ends_with(why), "{told}");
    }
    if chown(&plain, Some(12345), None).is_ok() {
        fs::set_permissions(&plain, Permissions::from_mode(0o755)).unwrap();
        let told = refused(&mut host, &plain);
        let why = "plain belongs to user 12345, not to root";
        assert!(
            told.starts_with("is not run: ") && told.ends_with(why),
            "{told}"
        );
    } else {
        eprintln!("skipped: no file can be given to another user here");
    }
    // after all of that it is alive, and takes another one
    host.send(&ToPlugin::Ping { number: 7 }, &[]);
    host.wait(|it| matches!(it, FromPlugin::Pong { number: 7, .. }).then_some(()));
    execute(&mut host, &programs.script("late", "#!/bin/sh\nexit 5\n"));
    assert_eq!(host.ended(), 5);
}

#[test]
fn a_program_that_is_being_replaced_is_tried_again_by_a_new_worker() {
    let lab = Lab::new();
    let Some(programs) = Programs::new() else {
        return;
    };
    let program = programs.script("written", "#!/bin/sh\nexit 5\n");
    let writer = fs::OpenOptions::new().append(true).open(&program).unwrap();
    let mut host = loaded(&lab, &programs.load());
    assert_eq!(host.configure(&toml(&program), true).status, 0);
    execute(&mut host, &program);
    // EX_TEMPFAIL, and not a configuration that is refused until the next reload
    assert_eq!(host.ended(), 75);
    drop(writer);
    let mut host = loaded(&lab, &programs.load());
    execute(&mut host, &program);
    assert_eq!(host.ended(), 5);
}

#[test]
fn a_program_that_nothing_names_is_out_of_reach() {
    let lab = Lab::new();
    let Some(programs) = Programs::new() else {
        return;
    };
    let program = programs.script("x", "#!/bin/sh\nexit 5\n");
    let mut host = loaded(&lab, &load("exec"));
    let refused = host.configure(&toml(&program), false);
    if refused.status == 0 || !refused.failures[0].why.contains("below /usr") {
        panic!("{refused:?}");
    }
    // nor does a worker for checks reach it: the program checks its keys when it runs
    assert_eq!(host.configure(&toml(&program), true).status, 0);
    assert_eq!(host.ask(|token| ToPlugin::Stop { token }).status, 0);
    assert_eq!(host.ended(), 0);
}

#[test]
fn a_program_that_its_account_may_not_execute_is_refused_by_a_check_as_well() {
    let lab = Lab::new();
    let Some(programs) = Programs::new().filter(|_| has_accounts()) else {
        return;
    };
    let program = programs.script("private", "#!/bin/sh\n");
    fs::set_permissions(&program, Permissions::from_mode(0o750)).unwrap();
    let nobody = Some((65534, 65534));
    // a worker for checks has no right to the folder: what landlock forbids is no reason to refuse
    for load in [programs.load(), load("exec")] {
        let load = Load {
            uid_gid: nobody,
            ..load
        };
        let mut host = loaded(&lab, &load);
        for is_check in [true, false] {
            let refused = host.configure(&toml(&program), is_check);
            assert_eq!(refused.status, EINVAL);
            let why = &refused.failures[0].why;
            if why.ends_with("(os error 13)") {
                eprintln!("skipped: nobody may not enter the folder of this checkout");
                return;
            }
            let wanted = "cannot be run: the account 65534 may not execute it: chmod a+x ";
            assert!(why.starts_with(wanted), "{why}");
        }
    }
}

#[test]
fn a_program_that_ends_ends_the_worker_with_its_code() {
    let lab = Lab::new();
    for (program, code) in [("/usr/bin/false", 1), ("/usr/bin/true", 0)] {
        let mut host = loaded(&lab, &load("exec"));
        execute(&mut host, Path::new(program));
        assert_eq!(host.ended(), code, "{program}");
        let told = format!("exited with status {code}");
        assert_eq!(host.worker.exit_reason(), Some(told));
    }
}

#[test]
fn a_program_that_hangs_answers_no_ping_and_ends_with_its_starter() {
    let lab = Lab::new();
    let mut host = loaded(&lab, &load("exec"));
    host.tell(|token| ToPlugin::Configure {
        token,
        table: table("program = \"/usr/bin/sleep\"\narguments = [\"60\"]\n"),
        check: false,
        surroundings: Surroundings::default(),
    });
    host.send(&ToPlugin::Ping { number: 1 }, &[]);
    assert!(!readable(host.worker.as_fd(), Duration::from_millis(500)));
    let pid = i32::try_from(host.worker.pid()).unwrap();
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
    assert_eq!(name, "sleep\n");
    // as the kernel does when the starter ends
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(host.ended(), -SIGTERM);
}

#[test]
fn as_root_it_executes_nothing() {
    let load = Load {
        root: true,
        roots: Some(RootsFile::default()),
        ..load("exec")
    };
    let lab = Lab::new();
    let mut host = loaded(&lab, &load);
    // root's file comes first: it ends, and waits for no program to be named
    host.log("executes no program as root");
    assert_eq!(host.ended(), 0);
}

#[test]
fn a_check_says_what_a_program_does_instead_of_an_answer() {
    let lab = Lab::new();
    let file = fs::File::open(lab.product("exec")).unwrap();
    let check = |toml: &str| {
        let configuration = Configuration {
            table: table(toml),
            ..Configuration::default()
        };
        let (exe, memory) = (executable("worker"), 256 << 20);
        process::check(
            &exe,
            "exec",
            file.as_fd(),
            None,
            memory,
            Some(&configuration),
        )
    };
    let hung = check("program = \"/usr/bin/sleep\"\narguments = [\"60\"]\n").unwrap_err();
    let why = "checking its configuration took longer than 2 s";
    assert!(matches!(&hung, CheckError::Hung(it) if it == why), "{hung}");
    let ended = check("program = \"/usr/bin/false\"\n").unwrap_err();
    let why = "checking its configuration ended the process (exit status: 1)";
    assert!(
        matches!(&ended, CheckError::Crashed(it) if it == why),
        "{ended}"
    );
    let (_, failures) = check("programm = \"/usr/bin/false\"\n").unwrap();
    let keys: Vec<_> = failures.iter().map(|it| it.key.as_str()).collect();
    assert_eq!(keys, ["program", "programm"]);
}

#[test]
fn a_program_finds_its_socket_three_variables_and_no_rights() {
    let lab = Lab::new();
    let Some(programs) = Programs::new() else {
        return;
    };
    let state = lab.state();
    let text = format!(
        "#!/bin/sh\ncd {:?}\ntr '\\0' '\\n' </proc/$$/environ | sort >env\necho \"$0 $*\" >words\n\
         ls /proc/$$/fd >fds\ngrep -E '^(Cap[EPIB]|NoNewPrivs|SigIgn)' /proc/$$/status >rights\n\
         cat /etc/shadow >shadow 2>&1\n",
        state.to_str().unwrap()
    );
    let program = programs.script("look", &text);
    let load = Load {
        state_dir: Some(state.to_str().unwrap().to_owned()),
        ..programs.load()
    };
    let mut host = loaded(&lab, &load);
    host.tell(|token| ToPlugin::Configure {
        token,
        table: table(&format!(
            "{}arguments = [\"-v\", \"a b\"]\n",
            toml(&program)
        )),
        check: false,
        surroundings: Surroundings::default(),
    });
    assert_ne!(host.ended(), -SIGTERM);
    let found = |name: &str| fs::read_to_string(state.join(name)).unwrap();
    let wanted = "LANG=C.UTF-8\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\nSPARED_SOCKET=3\n";
    assert_eq!(found("env"), wanted);
    assert_eq!(found("words"), format!("{} -v a b\n", program.display()));
    // the shell has its script as 10 or above
    let fds: Vec<_> = found("fds").lines().map(str::to_owned).collect();
    let low: Vec<_> = fds.iter().filter(|it| it.len() == 1).collect();
    assert_eq!(low, ["0", "1", "2", "3"]);
    let rights = found("rights");
    assert!(rights.contains("NoNewPrivs:\t1"), "{rights}");
    let number = |line: &str| u64::from_str_radix(line.rsplit('\t').next().unwrap(), 16).unwrap();
    for line in rights.lines().filter(|it| it.starts_with("Cap")) {
        assert_eq!(number(line), 0, "{line}");
    }
    // Rust ignores SIGPIPE, a program does not
    let ignored = rights.lines().find(|it| it.starts_with("SigIgn"));
    assert_eq!(number(ignored.unwrap()) & 1 << 12, 0, "{rights}");
    assert!(!found("shadow").contains("root:"), "{}", found("shadow"));
}
