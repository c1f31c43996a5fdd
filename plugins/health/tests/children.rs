//! Real programs: their output, their end, and the owners of their files.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use spared_health::engine::Finding;
use spared_health::probe::child::{Program, Running};

/// Directory below the build's: the owners of all directories above it are checked.
struct Folder(PathBuf);

impl Folder {
    /// Creates a directory; None if the tests do not run as root, or build where others may write.
    fn new(name: &str) -> Option<Self> {
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("the build's own folder");
        let folder = Self(path);
        let probe = folder.script("probe", "exit 0");
        if let Err(refused) = spared_sdk::child::trusted(&probe) {
            eprintln!("skipped: {refused}");
            return None;
        }
        Some(folder)
    }

    fn script(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("our own folder");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("our own file");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn start(argv: &[&str], graded: bool) -> Result<Running, String> {
    let argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
    Running::start(&Program {
        argv: &argv,
        graded,
        system: false,
        node: "r1",
        check: "dsl",
    })
}

/// Waits for the end of a program, and reads its output as the plugin's loop does.
fn end(mut running: Running) -> Finding {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        running.listen();
        if let Some(finding) = running.end() {
            return finding;
        }
        assert!(Instant::now() < deadline, "it does not end");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn said(folder: &Folder, text: &str, graded: bool) -> (u8, String) {
    let script = folder.script("said", text);
    let running = start(&[&script.display().to_string()], graded).expect("it runs");
    let finding = end(running);
    (finding.level, finding.why)
}

#[test]
fn exit_codes_and_words_are_understood() {
    let Some(folder) = Folder::new("words") else {
        return;
    };
    for (text, graded, level, why) in [
        ("exit 0", false, 100, "exit code 0"),
        ("echo; echo line up; echo more", false, 100, "line up"),
        (
            "echo no sync >&2; exit 3",
            false,
            0,
            "no sync (exit code 3)",
        ),
        ("exit 1", false, 0, "exit code 1"),
        ("kill -9 $$", false, 0, "was ended by signal 9"),
        ("echo 75", true, 75, "says 75"),
        ("echo 40 two of five; exit 0", true, 40, "two of five"),
        (
            "echo 101",
            true,
            0,
            "printed \"101\", expected a number from 0 to 100",
        ),
        ("echo 90; exit 1", true, 0, "90 (exit code 1)"),
        (
            "true",
            true,
            0,
            "printed \"\", expected a number from 0 to 100",
        ),
    ] {
        let wanted = (level, why.to_owned());
        assert_eq!(said(&folder, text, graded), wanted, "{text}");
    }
}

#[test]
fn its_environment_is_what_the_manual_says() {
    let Some(folder) = Folder::new("environment") else {
        return;
    };
    let (_, found) = said(
        &folder,
        "unset PWD OLDPWD SHLVL _; env | sort | tr '\\n' ' '",
        false,
    );
    let wanted = "LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin SPARED_CHECK=dsl SPARED_NODE=r1";
    assert_eq!(found.trim(), wanted);
    let text = "[ \"$(pwd)\" = / ] && ! read word && [ \"$(ps -o pgid= $$ | tr -d ' ')\" = $$ ]";
    assert_eq!(
        said(&folder, text, false).0,
        100,
        "its folder, its input, its process group"
    );
}

#[test]
fn output_without_end_is_bounded() {
    let Some(folder) = Folder::new("flood") else {
        return;
    };
    let (level, why) = said(
        &folder,
        "head -c 10000000 /dev/zero | tr '\\0' x; exit 0",
        false,
    );
    assert_eq!((level, why.len()), (100, 200));
}

#[test]
fn a_program_that_is_killed_takes_its_children_along() {
    let Some(folder) = Folder::new("grandchildren") else {
        return;
    };
    let pids = folder.0.join("pids");
    let text = format!(
        "sh -c 'echo $$ >> {0}; sleep 1000' &\nsh -c 'trap \"\" TERM; echo $$ >> {0}; sleep 1000' &\nwait",
        pids.display()
    );
    let script = folder.script("parent", &text);
    let running = start(&[&script.display().to_string()], false).expect("it runs");
    let alive = || -> usize {
        let text = fs::read_to_string(&pids).unwrap_or_default();
        let alive = text.lines().filter(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            !stat.is_empty() && !stat.contains(") Z ")
        });
        alive.count()
    };
    let reach = |wanted: usize| {
        let deadline = Instant::now() + Duration::from_secs(20);
        while alive() != wanted {
            assert!(Instant::now() < deadline, "{} alive, not {wanted}", alive());
            std::thread::sleep(Duration::from_millis(2));
        }
    };
    reach(2);
    running.kill();
    reach(0);
    let finding = end(running);
    assert_eq!(finding, Finding::failed("was ended by signal 9"));

    // a program that ends by itself leaves no process behind either
    fs::remove_file(&pids).expect("our own file");
    let text = format!(
        "sh -c 'echo $$ >> {0}; sleep 1000' &\nwhile ! [ -s {0} ]; do :; done",
        pids.display()
    );
    assert_eq!(said(&folder, &text, false).0, 100);
    reach(0);
}

#[test]
fn a_killed_program_is_gone_with_its_group_but_for_the_dead_and_those_that_left_it() {
    let Some(folder) = Folder::new("gone") else {
        return;
    };
    let left = folder.0.join("left");
    // the daemon leaves the group, and does not collect the sleeper that it leaves in it
    let daemon = format!(
        "sleep 1000 & echo $$ > {0}.new; mv {0}.new {0}; exec setsid sleep 1000",
        left.display()
    );
    let script = folder.script("parent", &format!("sh -c '{daemon}' &\nsleep 1000"));
    let mut running = start(&[&script.display().to_string()], false).expect("it runs");
    let wait = |what: &mut dyn FnMut() -> bool| {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !what() {
            assert!(Instant::now() < deadline, "it does not come");
            std::thread::sleep(Duration::from_millis(2));
        }
    };
    wait(&mut || left.exists());
    let daemon = fs::read_to_string(&left).expect("our own file");
    let daemon = Pid::from_raw(daemon.trim().parse().expect("a number")).expect("not 0");
    // not by its session: if the earlier one belongs to another namespace, its number is 0
    let name = format!("/proc/{}/comm", daemon.as_raw_nonzero());
    wait(&mut || fs::read_to_string(&name).is_ok_and(|it| it == "sleep\n"));
    assert!(!running.is_gone());
    running.kill();
    wait(&mut || running.is_gone());
    assert!(test_kill_process(daemon).is_ok(), "it stays alive");
    kill_process(daemon, Signal::KILL).expect("our own process");
}

#[test]
fn only_root_may_have_written_what_is_run() {
    let Some(folder) = Folder::new("owners") else {
        return;
    };
    let refused = |path: &Path| start(&[&path.display().to_string()], false).expect_err("refused");
    let script = folder.script("script", "exit 0");
    let link = folder.0.join("link");
    symlink(&script, &link).expect("our own folder");
    assert!(start(&[&link.display().to_string()], false).is_ok());

    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("our own file");
    };
    mode(&script, 0o775);
    let why = format!(
        "is not run: {} can be written by users other than root",
        script.display()
    );
    assert_eq!(refused(&script), why);
    assert_eq!(refused(&link), why, "what the link leads to counts");
    mode(&script, 0o644);
    assert_eq!(
        refused(&script),
        format!("{} is not an executable file", script.display())
    );
    mode(&script, 0o755);
    mode(&folder.0, 0o777);
    assert!(
        refused(&script).contains("can be written by users other than root"),
        "its folder counts, too"
    );
    mode(&folder.0, 0o755);
    if chown(&script, Some(65534), None).is_ok() {
        let why = format!(
            "is not run: {} belongs to user 65534, not to root",
            script.display()
        );
        assert_eq!(refused(&script), why);
    }
    assert!(refused(&folder.0.join("nothing")).contains("No such file"));
    assert!(refused(&folder.0).contains("is not an executable file"));
}

#[test]
fn programs_of_the_system_are_found_by_path() {
    let start = |word: &str| {
        Running::start(&Program {
            argv: &[word.to_owned()],
            graded: false,
            system: true,
            node: "r1",
            check: "unit",
        })
    };
    assert_eq!(end(start("true").expect("it runs")).level, 100);
    assert_eq!(
        end(start("false").expect("it runs")),
        Finding::failed("exit code 1")
    );
    let why = start("spared-no-such-program").expect_err("it is not there");
    assert!(
        why.starts_with("cannot run spared-no-such-program: "),
        "{why}"
    );
}
