// SPDX-License-Identifier: MIT OR Apache-2.0
//! The administrator's commands, and services made of them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use spared_service::job::{Job, Service, Status, Verb};
use spared_service::run::JobsEvent;

use crate::bench::{Bench, command, is_alive};

#[test]
fn a_command_succeeds_or_says_why_not() {
    let Some(mut bench) = Bench::new("words", "/nowhere") else {
        return;
    };
    let script = bench.script(
        "hook",
        "echo \"$SPARED_ROLE $# [$1] [$2]\" >\"$(dirname \"$0\")/said\"; echo; echo starting; echo no line >&2; exit $3",
    );
    assert_eq!(bench.run(&[&script, "a  $HOME *", "", "0"]), Ok(()));
    assert_eq!(bench.read("said"), "active 3 [a  $HOME *] []\n");
    let refused = bench.run(&[&script, "", "", "4"]);
    assert_eq!(refused, Err("no line (exit code 4)".to_owned()));
    let killed = bench.script("killed", "kill -9 $$");
    assert_eq!(
        bench.run(&[&killed]),
        Err("was ended by signal 9".to_owned())
    );
    let flood = bench.script("flood", "yes | head -c 3000000; exit 2");
    assert_eq!(bench.run(&[&flood]), Err("y (exit code 2)".to_owned()));
    let missing = bench.folder.join("nothing").display().to_string();
    let why = bench.run(&[&missing]).expect_err("it is not there");
    assert!(why.contains("No such file"), "{why}");
}

#[test]
fn a_hook_runs_as_its_user_with_no_other_group() {
    let Some(mut bench) = Bench::new("user", "FOLDER/root") else {
        return;
    };
    let script = bench.script("hook", "echo $(id -u) $(id -g) $(id -G); exit 3");
    fs::create_dir_all(bench.folder.join("root/etc")).expect("our own folder");
    let as_user = |bench: &mut Bench, user: &str| {
        let Job::Run {
            argv, environment, ..
        } = command(&[&script])
        else {
            unreachable!("a command");
        };
        bench.job(Job::Run {
            argv,
            environment,
            user: Some(user.to_owned()),
        })
    };
    let fault =
        "user \"alerts\": /etc/passwd cannot be read: No such file or directory (os error 2)";
    assert_eq!(as_user(&mut bench, "alerts"), Err(fault.to_owned()));
    let passwd =
        "root:x:0:0:root:/root:/bin/sh\nalert:x:1:1\nalerts:x:12345:12346:a:/:/bin/false\n";
    fs::write(bench.folder.join("root/etc/passwd"), passwd).expect("our own folder");
    let fault = Err("user \"alarms\" is not in /etc/passwd".to_owned());
    assert_eq!(as_user(&mut bench, "alarms"), fault);
    assert_eq!(bench.jobs.user_fault("alarms"), fault.err());
    assert_eq!(bench.jobs.user_fault("alerts"), None);

    // systemd starts it
    bench.script(
        "bin/systemd-run",
        "while [ \"$1\" != -- ]; do echo \"$1\"; shift; done >\"$(dirname \"$0\")/../words\"; exit 0",
    );
    assert_eq!(as_user(&mut bench, "alerts"), Ok(()));
    let words = bench.read("words");
    assert!(words.contains("--uid=12345\n--gid=12346\n"), "{words}");
    assert_eq!(bench.run(&[&script]), Ok(()));
    assert!(
        !bench.read("words").contains("id="),
        "root needs no account"
    );

    // without systemd, in a namespace with all users
    fs::remove_dir_all(bench.folder.join("root/run")).expect("our own folder");
    bench.jobs = bench.another();
    let users = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    if users.split_whitespace().nth(2) == Some("1") {
        return eprintln!("skipped: no other users here");
    }
    let said = Err("12345 12346 12346 (exit code 3)".to_owned());
    assert_eq!(as_user(&mut bench, "alerts"), said);
}

#[test]
fn what_others_may_change_is_not_run() {
    let Some(mut bench) = Bench::new("trust", "/nowhere") else {
        return;
    };
    let script = bench.script("hook", "exit 0");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o775)).expect("our own file");
    let why = bench.run(&[&script]).expect_err("refused");
    assert!(
        why.ends_with("can be written by users other than root"),
        "{why}"
    );
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("our own file");

    // a link in a folder of others to root's program: it may lead elsewhere when it is run
    let theirs = bench.folder.join("theirs");
    fs::create_dir(&theirs).expect("our own folder");
    symlink(&script, theirs.join("applet")).expect("our own folder");
    let link = theirs.join("applet").display().to_string();
    assert_eq!(bench.run(&[&link]), Ok(()));
    fs::set_permissions(&theirs, fs::Permissions::from_mode(0o777)).expect("our own folder");
    let why = bench.run(&[&link]).expect_err("refused");
    assert!(
        why.ends_with("can be written by users other than root"),
        "{why}"
    );

    // a link on the way to it, in such a folder
    symlink(&bench.folder, theirs.join("release")).expect("our own folder");
    let inner = theirs.join("release/hook").display().to_string();
    let why = bench.run(&[&inner]).expect_err("refused");
    assert!(
        why.ends_with("theirs can be written by users other than root"),
        "{why}"
    );
}

#[test]
fn a_command_that_is_cancelled_takes_its_children_along_and_a_daemon_outlives_its_start() {
    let Some(mut bench) = Bench::new("cancel", "/nowhere") else {
        return;
    };
    let hang = bench.script(
        "hang",
        "cd \"$(dirname \"$0\")\"; trap '' TERM; sleep 1000 & echo $! >pid; wait",
    );
    bench.jobs.begin(1, command(&[&hang]));
    bench.until("begun", |bench| !bench.read("pid").is_empty());
    let pid = bench.read("pid");
    assert!(is_alive(&pid));
    bench.jobs.cancel(1);
    bench.until("ended", |_| !is_alive(&pid));
    bench.until("collected", |it| it.watched.watched.borrow().is_empty());
    assert_eq!(bench.jobs.poll_event(), None, "nothing more is heard of it");

    let start = bench.script(
        "start",
        "cd \"$(dirname \"$0\")\"; sleep 1000 >/dev/null 2>&1 & echo $! >daemon; exit 0",
    );
    assert_eq!(bench.run(&[&start]), Ok(()));
    let pid = bench.read("daemon");
    assert!(is_alive(&pid), "its daemon goes on");
    assert_eq!(bench.run(&["/bin/kill", "-9", pid.trim()]), Ok(()));
    bench.until("dead", |_| !is_alive(&pid));

    // at the end of the plugin no process is left behind
    fs::remove_file(bench.folder.join("pid")).expect("our own file");
    bench.jobs.begin(2, command(&[&hang]));
    bench.until("begun", |bench| !bench.read("pid").is_empty());
    let pid = bench.read("pid");
    bench.jobs.end_all(&[]);
    bench.until("ended", |_| !is_alive(&pid));
}

/// Service whose commands write a log, and whose state is a file.
fn portal(bench: &Bench) -> Service {
    let script = bench.script(
        "portal",
        "cd \"$(dirname \"$0\")\"; echo $1 >>log
         case $1 in
         start) touch runs; echo up;;
         stop) rm -f runs;;
         status) [ -e runs ] || exit 3;;
         esac",
    );
    let argv = |verb: &str| vec![script.clone(), verb.to_owned()];
    Service::Commands {
        name: "portal".to_owned(),
        start: argv("start"),
        stop: argv("stop"),
        status: argv("status"),
        reload: Vec::new(),
    }
}

#[test]
fn services_of_commands_are_started_stopped_and_asked() {
    let Some(mut bench) = Bench::new("portal", "/nowhere") else {
        return;
    };
    let service = portal(&bench);
    let verb = |verb| Job::Service {
        service: service.clone(),
        verb,
    };
    let services = [service.clone()];
    assert_eq!(bench.observe(&services), [Status::Stopped]);
    assert_eq!(bench.job(verb(Verb::Start)), Ok(()));
    assert_eq!(bench.observe(&services), [Status::Running]);
    assert_eq!(bench.job(verb(Verb::Stop)), Ok(()));
    assert_eq!(bench.observe(&services), [Status::Stopped]);
    let why = bench.job(verb(Verb::Reload)).expect_err("it cannot");
    assert_eq!(why, "has no command to reload it");
    assert_eq!(bench.read("log"), "status\nstart\nstatus\nstop\nstatus\n");
}

#[test]
fn a_question_is_asked_once_at_a_time_and_not_for_ever() {
    let Some(mut bench) = Bench::new("question", "/nowhere") else {
        return;
    };
    let status = bench.script(
        "slow",
        "cd \"$(dirname \"$0\")\"; echo asked >>log; while [ ! -e go ]; do sleep 0.01; done",
    );
    let service = |name: &str| Service::Commands {
        name: name.to_owned(),
        start: Vec::new(),
        stop: Vec::new(),
        status: vec![status.clone()],
        reload: Vec::new(),
    };
    for _ in 0..3 {
        bench.jobs.observe(&[service("slow")]);
    }
    bench.until("asked", |bench| !bench.read("log").is_empty());
    fs::write(bench.folder.join("go"), "").expect("our own folder");
    let running = JobsEvent::Observed(vec![(service("slow"), Status::Running)]);
    assert_eq!(bench.next(), running);
    assert_eq!(bench.read("log"), "asked\n");
    fs::remove_file(bench.folder.join("go")).expect("our own file");

    // a query without an answer: ten seconds later, by the plugin's clock
    bench.jobs.observe(&[service("slow")]);
    let at_ns = bench.jobs.next_timeout().expect("a limit");
    bench.jobs.handle_timeout(at_ns);
    let why = Status::Unknown("its manager does not answer".to_owned());
    assert_eq!(
        bench.next(),
        JobsEvent::Observed(vec![(service("slow"), why)])
    );

    // of fifty queries four run at a time
    fs::remove_file(bench.folder.join("log")).expect("our own file");
    let many: Vec<Service> = (0..50).map(|at| service(&at.to_string())).collect();
    bench.jobs.observe(&many);
    bench.until("four", |it| it.read("log").lines().count() == 4);
    fs::write(bench.folder.join("go"), "").expect("our own folder");
    let mut answers = 0;
    while answers < 50 {
        match bench.next() {
            JobsEvent::Observed(statuses) => answers += statuses.len(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_systemd_run_that_fails_by_itself_says_nothing_of_the_service() {
    let Some(mut bench) = Bench::new("bus", "FOLDER/root") else {
        return;
    };
    bench.script(
        "bin/systemd-run",
        r#"cd "$(dirname "$0")/.."
        [ ! -e lost ] || { echo "Failed to connect to bus: Connection refused" >&2; exit 1; }
        [ ! -e full ] || { echo "Finished with result: resources" >&2; exit 1; }
        for word; do
            case $word in --quiet) quiet=yes;; --unit=*) unit=${word#--unit=};; esac
        done
        while [ "$1" != -- ]; do shift; done; shift
        [ "$quiet" ] || echo "Running as unit: $unit" >&2
        "$@"; code=$?
        [ $code = 0 ] && result=success || result=exit-code
        [ "$quiet" ] || {
            echo "Finished with result: $result" >&2
            echo "Main processes terminated with: code=exited/status=$code" >&2
        }
        exit $code"#,
    );
    let status = bench.script(
        "status",
        "cd \"$(dirname \"$0\")\"; cat said 2>/dev/null; exit $(cat code)",
    );
    let portal = [Service::Commands {
        name: "portal".to_owned(),
        start: Vec::new(),
        stop: Vec::new(),
        status: vec![status],
        reload: Vec::new(),
    }];
    let write = |bench: &Bench, name: &str, text: &str| {
        fs::write(bench.folder.join(name), text).expect("our own folder");
    };
    let failed = |why: &str| Status::Failed(why.to_owned());
    for (code, status) in [
        ("0", Status::Running),
        ("1", failed("does not run")),
        ("3", Status::Stopped),
    ] {
        write(&bench, "code", code);
        assert_eq!(bench.observe(&portal), [status]);
    }
    write(&bench, "code", "1");
    write(&bench, "said", "Failed to connect to the portal\n");
    let dead = failed("Failed to connect to the portal");
    assert_eq!(bench.observe(&portal), [dead]);

    let unknown = |why: &str| Status::Unknown(why.to_owned());
    write(&bench, "full", "");
    let why = unknown("its command failed: resources");
    assert_eq!(bench.observe(&portal), [why]);
    write(&bench, "lost", "");
    let why = unknown("Failed to connect to bus: Connection refused");
    assert_eq!(bench.observe(&portal), [why]);
}
