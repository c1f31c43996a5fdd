//! Programs that are run for a plugin: their environment, their end, and the processes that end with them.

use std::fs;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use spared_child::{Child, Ended, Program, trusted};

/// Folder that is removed after the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("sdk-child-{name}-{}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).expect("the build's own folder");
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn shell(text: &str) -> Vec<String> {
    ["sh", "-c", text].map(str::to_owned).to_vec()
}

fn start(argv: &[String]) -> Child {
    let program = Program {
        argv,
        ..Program::default()
    };
    Child::start(&program).expect("it runs")
}

fn is_readable(fd: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    let moment = rustix::event::Timespec {
        tv_sec: 20,
        tv_nsec: 0,
    };
    poll(&mut polled, Some(&moment)) == Ok(1)
}

/// Reads the output until the process has ended, as a plugin's loop does.
fn end(child: &mut Child) -> Ended {
    while is_readable(child.output()) && child.listen() {}
    assert!(is_readable(child.pidfd()), "it does not end");
    child.end().expect("it has ended")
}

/// Waits until the process with the id in that file exists, or is gone.
fn reach(pid_file: &str, alive: bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let lives = || {
        let pid = fs::read_to_string(pid_file).unwrap_or_default();
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        !pid.trim().is_empty() && !stat.is_empty() && !stat.contains(") Z ")
    };
    while lives() != alive {
        assert!(Instant::now() < deadline, "waited in vain");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn how_it_ended_and_what_it_said_are_told_once() {
    let mut child = start(&shell("echo; echo ' to\tyou '; echo more >&2; exit 3"));
    let ended = end(&mut child);
    assert_eq!((ended.code, ended.signal), (Some(3), None));
    assert_eq!(ended.text, b"\n to\tyou \nmore\n");
    assert_eq!(ended.words(), "toyou");
    assert_eq!(child.end(), None);
    child.kill(); // no process to kill

    let ended = end(&mut start(&shell("kill -9 $$")));
    assert_eq!((ended.code, ended.signal), (None, Some(9)));
    assert_eq!(ended.words(), "");
}

#[test]
fn it_finds_what_it_is_given_and_nothing_else() {
    let folder = Folder::new("finds");
    let argv =
        shell("unset PWD OLDPWD SHLVL _; env | sort; pwd; read x || echo no input; echo no >&2");
    let program = Program {
        argv: &argv,
        env: &[("GROUP", "office"), ("LANG", "C")],
        directory: &folder.0,
        only_stdout: true,
        ..Program::default()
    };
    let ended = end(&mut Child::start(&program).expect("it runs"));
    let wanted = format!(
        "GROUP=office\nLANG=C\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\n{}\nno input\n",
        folder.0.display()
    );
    assert_eq!(String::from_utf8_lossy(&ended.text), wanted);
}

#[test]
fn signals_are_ordinary_again() {
    let argv = shell("grep -E '^Sig(Blk|Cgt)' /proc/self/status; kill -PIPE $$; echo ignored");
    let ended = end(&mut start(&argv));
    assert_eq!(ended.signal, Some(13), "SIGPIPE is not ignored");
    let text = String::from_utf8_lossy(&ended.text);
    assert!(text.contains("SigBlk:\t0000000000000000"), "{text}");
}

#[test]
fn output_without_end_is_read_and_bounded() {
    let argv = shell("head -c 3000000 /dev/zero | tr '\\0' x");
    let program = Program {
        argv: &argv,
        output_max: 10,
        ..Program::default()
    };
    let ended = end(&mut Child::start(&program).expect("it runs"));
    assert_eq!(
        (ended.code, ended.text.as_slice()),
        (Some(0), &b"xxxxxxxxxx"[..])
    );
}

#[test]
fn it_is_run_with_input_and_waited_for() {
    let run = |text: &str, input: &[u8]| {
        let argv = shell(text);
        let program = Program {
            argv: &argv,
            input,
            output_max: 1 << 20,
            ..Program::default()
        };
        Child::run(&program, Duration::from_secs(20)).expect("an end")
    };
    // more bytes than a pipe holds, in both directions
    let input = vec![b'a'; 300_000];
    let ended = run("cat; exit 3", &input);
    assert_eq!((ended.code, ended.text == input), (Some(3), true));
    assert_eq!(run("cat", b"").text, b"");
    assert_eq!(
        run("echo early; exec >&- 2>&-; sleep 0.2", b"").text,
        b"early\n"
    );
}

#[test]
fn one_that_hangs_is_killed_at_its_limit() {
    let folder = Folder::new("hangs");
    let pid_file = folder.path("pid");
    let argv = shell(&format!("sleep 60 & echo $! > {pid_file}; wait"));
    let program = Program {
        argv: &argv,
        ..Program::default()
    };
    let begin = Instant::now();
    let why = Child::run(&program, Duration::from_millis(500)).unwrap_err();
    assert_eq!(why, "sh was killed: it ran longer than 0.5 s");
    assert!(begin.elapsed() < Duration::from_secs(30));
    reach(&pid_file, false);
}

#[test]
fn its_group_is_asked_to_end_and_then_made_to() {
    let folder = Folder::new("group");
    let (parent, child) = (folder.path("parent"), folder.path("child"));
    let argv = shell(&format!(
        "trap 'echo asked' TERM; (trap '' TERM; exec sleep 1000) & echo $! >{child}; \
         echo $$ >{parent}; while :; do wait; done"
    ));
    let mut running = start(&argv);
    reach(&parent, true);
    reach(&child, true);
    running.terminate();
    while !is_readable(running.output()) {}
    assert!(running.listen());
    assert_eq!(running.end(), None, "it stays");
    running.kill();
    let ended = end(&mut running);
    assert_eq!((ended.signal, ended.words().as_str()), (Some(9), "asked"));
    reach(&child, false);
}

#[test]
fn what_it_leaves_behind_ends_with_it_or_outlives_it() {
    let folder = Folder::new("left");
    let left = folder.path("left");
    let argv = shell(&format!("sleep 1000 >/dev/null 2>&1 & echo $! >{left}"));
    for outlived in [true, false] {
        let _ = fs::remove_file(&left);
        let program = Program {
            argv: &argv,
            outlived,
            ..Program::default()
        };
        let mut child = Child::start(&program).expect("it runs");
        assert_eq!(end(&mut child).code, Some(0));
        drop(child);
        reach(&left, outlived);
        if outlived {
            let pid = fs::read_to_string(&left).expect("it was written");
            assert_eq!(
                end(&mut start(&["kill".to_owned(), pid.trim().to_owned()])).code,
                Some(0)
            );
        }
    }
}

#[test]
fn one_that_is_dropped_is_killed() {
    let folder = Folder::new("dropped");
    let pid = folder.path("pid");
    let child = start(&shell(&format!("echo $$ >{pid}; exec sleep 1000")));
    reach(&pid, true);
    drop(child);
    reach(&pid, false);
}

#[test]
fn what_cannot_run_says_why() {
    let start = |argv: &[&str], directory: &Path| {
        let argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
        let program = Program {
            argv: &argv,
            directory,
            ..Program::default()
        };
        Child::start(&program)
            .map(|_| ())
            .expect_err("it must not run")
    };
    let root = Path::new("/");
    assert_eq!(start(&[], root), "names no program");
    let why = start(&["spared-no-such-program"], root);
    assert!(
        why.starts_with("cannot run spared-no-such-program: "),
        "{why}"
    );
    let why = start(&["true"], Path::new("/nowhere/at/all"));
    assert!(why.starts_with("cannot run true: "), "{why}");
}

#[test]
fn only_root_may_have_written_what_is_trusted() {
    let folder = Folder::new("trust");
    let script = folder.0.join("script");
    fs::write(&script, "#!/bin/sh\necho \"$0\"\n").expect("our own folder");
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("our own file");
    };
    mode(&script, 0o644);
    let refused = || trusted(&script).expect_err("refused").to_string();
    assert!(
        refused().ends_with("script is not an executable file"),
        "{}",
        refused()
    );
    mode(&script, 0o755);
    let Ok(real) = trusted(&script) else {
        eprintln!("skipped: {}", refused());
        return;
    };
    let argv = ["shown".to_owned()];
    let program = Program {
        argv: &argv,
        executable: Some(&real),
        ..Program::default()
    };
    let ended = end(&mut Child::start(&program).expect("it runs"));
    assert_eq!(ended.code, Some(0));
    // each link is followed, and the folder of each has to be root's
    let theirs = folder.0.join("theirs");
    fs::create_dir(&theirs).expect("our own folder");
    symlink("..", theirs.join("release")).expect("our own folder");
    let name = script.file_name().expect("it has one");
    let inner = theirs.join("release").join(name);
    assert_eq!(trusted(&inner).ok(), Some(real));
    mode(&theirs, 0o777);
    let why = trusted(&inner).map_err(|it| it.to_string());
    assert!(why.is_err_and(|it| it.contains("theirs can be written by users other than root")));
    symlink("round", folder.0.join("round")).expect("our own folder");
    assert!(
        trusted(&folder.0.join("round")).is_err(),
        "it leads nowhere"
    );
    mode(&folder.0, 0o777);
    assert!(
        refused().contains("can be written by users other than root"),
        "{}",
        refused()
    );
}
