// SPDX-License-Identifier: MIT OR Apache-2.0
//! Jobs with real children: the administrator's commands, and programs that behave as the real
//! managers' do.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::os::fd::RawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use spared_service::job::{Job, Manager, Route, Service, Status, Verb};
use spared_service::run::{self, Ended, Machine, Runs, Watcher};

const LIMIT: Duration = Duration::from_secs(20);

#[derive(Clone, Debug)]
struct Loop {
    watched: Rc<RefCell<BTreeSet<RawFd>>>,
    born: Instant,
}

impl Watcher for Loop {
    fn watch(&self, fd: RawFd) -> Result<(), String> {
        assert!(self.watched.borrow_mut().insert(fd), "{fd} twice");
        Ok(())
    }

    fn unwatch(&self, fd: RawFd) {
        self.watched.borrow_mut().remove(&fd);
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_nanos()).expect("a short test")
    }
}

/// A folder with programs, and the jobs that run in it.
struct Bench {
    folder: PathBuf,
    watched: Loop,
    runs: Runs,
    /// A script that one test writes must not be held open by the child that another begins.
    _alone: MutexGuard<'static, ()>,
}

impl Bench {
    /// None where others than root may write the folder: then no program there is run.
    fn new(name: &str, root: &str) -> Option<Self> {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("run-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("the build's own folder");
        let watched = Loop {
            watched: Rc::default(),
            born: Instant::now(),
        };
        let machine = Machine {
            root: PathBuf::from(root.replace("FOLDER", &folder.display().to_string())),
            programs: Some(folder.join("bin")),
            state: Some(folder.clone()),
        };
        if root.contains("FOLDER") {
            fs::create_dir_all(folder.join("root/run/systemd/system")).expect("our own folder");
            fs::create_dir_all(folder.join("root/run/dbus/system_bus_socket"))
                .expect("our own folder");
        }
        if name == "elsewhere" {
            for (process, namespace) in [("1", "net:[1]"), ("self", "net:[2]")] {
                let folder = folder.join("root/proc").join(process).join("ns");
                fs::create_dir_all(&folder).expect("our own folder");
                symlink(namespace, folder.join("net")).expect("our own folder");
            }
        }
        let runs = Runs::on(Box::new(watched.clone()), machine);
        let bench = Self {
            folder,
            watched,
            runs,
            _alone: alone,
        };
        let probe = bench.script("probe", "exit 0");
        if let Err(refused) = spared_sdk::child::trusted(Path::new(&probe)) {
            eprintln!("skipped: {refused}");
            return None;
        }
        Some(bench)
    }

    fn script(&self, name: &str, text: &str) -> String {
        let path = self.folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("our own folder");
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("our own folder");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("our own file");
        path.display().to_string()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).unwrap_or_default()
    }

    /// One round of the plugin's loop.
    fn round(&mut self) {
        let fds: Vec<RawFd> = self.watched.watched.borrow().iter().copied().collect();
        std::thread::sleep(Duration::from_millis(2));
        // one that is not ready after all does no harm: nothing ever waits
        for fd in fds {
            if self.watched.watched.borrow().contains(&fd) {
                assert!(self.runs.ready(fd), "{fd} is nobody's");
            }
        }
        let now_ns = self.watched.now_ns();
        if self
            .runs
            .next_timeout()
            .is_some_and(|at_ns| at_ns <= now_ns)
        {
            self.runs.handle_timeout(now_ns);
        }
    }

    fn next(&mut self) -> Ended {
        let until = Instant::now() + LIMIT;
        loop {
            if let Some(ended) = self.runs.poll_ended() {
                return ended;
            }
            assert!(Instant::now() < until, "nothing ends");
            self.round();
        }
    }

    fn job(&mut self, job: Job) -> Result<(), String> {
        self.runs.begin(7, job);
        match self.next() {
            Ended::Job(7, result) => result,
            other => panic!("{other:?}"),
        }
    }

    fn run(&mut self, argv: &[&str]) -> Result<(), String> {
        self.job(command(argv))
    }

    fn observe(&mut self, services: &[Service]) -> Vec<Status> {
        self.runs.observe(services);
        let mut found = Vec::new();
        while found.len() < services.len() {
            match self.next() {
                Ended::Observed(statuses) => found.extend(statuses),
                other => panic!("{other:?}"),
            }
        }
        let of = |service: &Service| found.iter().find(|(it, _)| it == service);
        let status = |service| of(service).expect("an answer").1.clone();
        services.iter().map(status).collect()
    }

    fn until(&mut self, what: &str, is: impl Fn(&Self) -> bool) {
        let until = Instant::now() + LIMIT;
        while !is(self) {
            assert!(Instant::now() < until, "never {what}");
            self.round();
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.runs.end_all();
        let _ = fs::remove_dir_all(&self.folder);
        if !std::thread::panicking() {
            let left = self.watched.watched.borrow();
            assert!(left.is_empty(), "still watched: {left:?}");
        }
    }
}

fn command(argv: &[&str]) -> Job {
    Job::Run {
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        environment: vec![("SPARED_ROLE".to_owned(), "active".to_owned())],
    }
}

fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

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
fn what_others_may_change_is_not_run() {
    let Some(mut bench) = Bench::new("trust", "/nowhere") else {
        return;
    };
    let script = bench.script("hook", "exit 0");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o775)).expect("our own file");
    let why = bench.run(&[&script]).expect_err("refused");
    assert!(why.ends_with("can be written by others than root"), "{why}");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("our own file");

    // a link of one's own to a program of root's: it may lead elsewhere when it is run
    let theirs = bench.folder.join("theirs");
    fs::create_dir(&theirs).expect("our own folder");
    symlink(&script, theirs.join("applet")).expect("our own folder");
    let link = theirs.join("applet").display().to_string();
    assert_eq!(bench.run(&[&link]), Ok(()));
    fs::set_permissions(&theirs, fs::Permissions::from_mode(0o777)).expect("our own folder");
    let why = bench.run(&[&link]).expect_err("refused");
    assert!(why.ends_with("can be changed by others than root"), "{why}");
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
    bench.runs.begin(1, command(&[&hang]));
    bench.until("begun", |bench| !bench.read("pid").is_empty());
    let pid = bench.read("pid");
    assert!(is_alive(&pid));
    bench.runs.cancel(1);
    bench.until("ended", |_| !is_alive(&pid));
    bench.until("collected", |it| it.watched.watched.borrow().is_empty());
    assert_eq!(bench.runs.poll_ended(), None, "nothing more is heard of it");

    let start = bench.script(
        "start",
        "cd \"$(dirname \"$0\")\"; sleep 1000 >/dev/null 2>&1 & echo $! >daemon; exit 0",
    );
    assert_eq!(bench.run(&[&start]), Ok(()));
    let pid = bench.read("daemon");
    assert!(is_alive(&pid), "its daemon goes on");
    assert_eq!(bench.run(&["/bin/kill", "-9", pid.trim()]), Ok(()));
    bench.until("dead", |_| !is_alive(&pid));

    // at the end of the plugin nothing is left behind
    fs::remove_file(bench.folder.join("pid")).expect("our own file");
    bench.runs.begin(2, command(&[&hang]));
    bench.until("begun", |bench| !bench.read("pid").is_empty());
    let pid = bench.read("pid");
    bench.runs.end_all();
    bench.until("ended", |_| !is_alive(&pid));
}

/// A service whose commands write what they do, and whose state is a file.
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
        bench.runs.observe(&[service("slow")]);
    }
    bench.until("asked", |bench| !bench.read("log").is_empty());
    fs::write(bench.folder.join("go"), "").expect("our own folder");
    let running = Ended::Observed(vec![(service("slow"), Status::Running)]);
    assert_eq!(bench.next(), running);
    assert_eq!(bench.read("log"), "asked\n");
    fs::remove_file(bench.folder.join("go")).expect("our own file");

    // one that never answers: ten seconds later, by the plugin's clock
    bench.runs.observe(&[service("slow")]);
    let at_ns = bench.runs.next_timeout().expect("a limit");
    bench.runs.handle_timeout(at_ns);
    let why = Status::Unknown("its manager does not answer".to_owned());
    assert_eq!(bench.next(), Ended::Observed(vec![(service("slow"), why)]));

    // fifty at once are asked four at a time
    fs::remove_file(bench.folder.join("log")).expect("our own file");
    let many: Vec<Service> = (0..50).map(|at| service(&at.to_string())).collect();
    bench.runs.observe(&many);
    bench.until("four", |it| it.read("log").lines().count() == 4);
    fs::write(bench.folder.join("go"), "").expect("our own folder");
    let mut answers = 0;
    while answers < 50 {
        match bench.next() {
            Ended::Observed(statuses) => answers += statuses.len(),
            other => panic!("{other:?}"),
        }
    }
}

/// systemctl and systemd-run as they behave, with units as files and commands as children.
fn systemd(bench: &Bench) {
    bench.script(
        "bin/systemctl",
        r#"cd "$(dirname "$0")/.." && echo "systemctl $*" >>log
        verb=; units=; words=
        for word; do
            case $word in
            --) words=over;;
            -*) ;;
            *) if [ -z "$verb" ]; then verb=$word; elif [ $words ]; then units="$units $word"; fi;;
            esac
        done
        for unit in $units; do
            case $verb in
            show)
                echo Id=$unit; echo Names=$unit; echo LoadState=loaded; echo Type=simple
                [ $unit != web.service ] || echo TriggeredBy=web.socket
                [ $unit != web.socket ] || echo UnitFileState=enabled
                if [ -e runs-$unit ]; then echo ActiveState=active; else echo ActiveState=inactive; fi
                echo;;
            start)
                [ $unit != bad.service ] || {
                    echo "Job for bad.service failed because a timeout was exceeded." >&2
                    echo 'See "systemctl status bad.service" and "journalctl -xeu bad.service" for details.' >&2
                    exit 1
                }
                touch runs-$unit;;
            stop) [ $unit != hang.service ] || sleep 1000; rm -f runs-$unit;;
            reset-failed) echo "Failed to reset failed state of unit $unit: Unit $unit not loaded." >&2; exit 1;;
            kill) [ -e pid-$unit ] || exit 1; kill -9 $(cat pid-$unit); rm pid-$unit;;
            esac
        done"#,
    );
    bench.script(
        "bin/systemd-run",
        r#"folder=$(dirname "$0")/..
        echo "systemd-run $*" | sed 's/spared-[0-9a-f]*/spared-ID/' >>$folder/log
        while [ "$1" != -- ]; do
            case $1 in
            --unit=*) unit=${1#--unit=};;
            --setenv=*) export "${1#--setenv=}";;
            esac
            shift
        done
        shift
        setsid "$@" & echo $! >$folder/pid-$unit
        wait $!"#,
    );
}

fn systemd_unit(unit: &str) -> Service {
    Service::Unit {
        manager: Manager::Systemd,
        unit: unit.to_owned(),
    }
}

#[test]
fn units_are_started_stopped_and_asked_with_what_would_start_them() {
    let Some(mut bench) = Bench::new("systemctl", "FOLDER/root") else {
        return;
    };
    systemd(&bench);
    fs::write(bench.folder.join("runs-web.socket"), "").expect("our own folder");
    let verb = |unit, verb| Job::Service {
        service: systemd_unit(unit),
        verb,
    };
    let services = [systemd_unit("web"), systemd_unit("squid")];
    let armed = Status::Armed("web.socket".to_owned());
    assert_eq!(bench.observe(&services), [armed.clone(), Status::Stopped]);
    let log = bench.read("log");
    let asked: Vec<&str> = log
        .lines()
        .filter_map(|it| it.split(" -- ").nth(1))
        .collect();
    let wanted = [
        "web.service squid.service",
        "web.service squid.service web.socket",
    ];
    assert_eq!(asked, wanted, "asked again for what was named");

    assert_eq!(bench.job(verb("web", Verb::Stop)), Ok(()));
    assert_eq!(bench.observe(&services), [Status::Stopped, Status::Stopped]);
    assert_eq!(bench.job(verb("web", Verb::Start)), Ok(()));
    assert_eq!(bench.observe(&services), [Status::Running, Status::Stopped]);
    assert!(
        bench.folder.join("runs-web.socket").exists(),
        "it listens again"
    );
    assert_eq!(
        bench.job(verb("bad", Verb::Start)),
        Err("Job for bad.service failed because a timeout was exceeded. (exit code 1)".to_owned())
    );

    // a stop that hangs, given up for another
    bench.runs.begin(1, verb("hang", Verb::Stop));
    bench.until("asked", |it| {
        it.read("log").ends_with("stop -- hang.service\n")
    });
    bench.runs.cancel(1);
    assert_eq!(bench.job(verb("hang", Verb::Start)), Ok(()));
}

#[test]
fn commands_run_outside_where_systemd_is_and_are_killed_as_units() {
    let Some(mut bench) = Bench::new("outside", "FOLDER/root") else {
        return;
    };
    systemd(&bench);
    let hook = bench.script(
        "hook",
        "cd \"$(dirname \"$0\")\"; echo \"$SPARED_ROLE $1\" >>said; echo no line; exit $2",
    );
    assert_eq!(
        bench.run(&[&hook, "$x", "5"]),
        Err("no line (exit code 5)".to_owned())
    );
    let wanted = format!(
        "systemd-run --quiet --collect --no-ask-password --wait --pipe --unit=spared-ID-1.service \
         --property=KillMode=process --property=LogLevelMax=notice --setenv=LANG=C.UTF-8 \
         --setenv=SPARED_ROLE=active -- {hook} $$x 5\n"
    );
    assert_eq!(bench.read("log"), wanted, "systemd makes one dollar of two");

    let hang = bench.script(
        "hang",
        "cd \"$(dirname \"$0\")\"; trap '' TERM; echo $$ >pid; sleep 1000",
    );
    bench.runs.begin(1, command(&[&hang]));
    bench.until("begun", |bench| !bench.read("pid").is_empty());
    let pid = bench.read("pid");
    bench.runs.cancel(1);
    bench.until("killed", |_| !is_alive(&pid));
    bench.until("collected", |it| it.watched.watched.borrow().is_empty());
    assert_eq!(bench.runs.poll_ended(), None, "nothing more is heard of it");

    // cancelled before systemd has made the unit: killed again until it is gone
    fs::remove_file(bench.folder.join("pid")).expect("our own file");
    bench.runs.begin(2, command(&[&hang]));
    bench.runs.cancel(2);
    bench.until("collected", |it| it.watched.watched.borrow().is_empty());
    let pid = bench.read("pid");
    assert!(pid.is_empty() || !is_alive(&pid));

    // and at the end of the plugin
    bench.runs.begin(3, command(&[&hang]));
    bench.until("begun", |it| {
        !it.read("pid").is_empty() && it.read("pid") != pid
    });
    let pid = bench.read("pid");
    bench.until("known as a unit", |it| {
        let left = fs::read_dir(&it.folder).expect("our own folder").flatten();
        let unit = |name: &str| name.starts_with("pid-") && it.read(name) == pid;
        left.into_iter()
            .any(|entry| unit(&entry.file_name().to_string_lossy()))
    });
    bench.runs.end_all();
    bench.until("killed", |_| !is_alive(&pid));
}

#[test]
fn commands_are_children_in_a_network_namespace_of_which_systemd_knows_nothing() {
    let Some(mut bench) = Bench::new("elsewhere", "FOLDER/root") else {
        return;
    };
    systemd(&bench);
    let hook = bench.script("hook", "exit 6");
    assert_eq!(bench.run(&[&hook]), Err("exit code 6".to_owned()));
    assert_eq!(bench.read("log"), "");
}

/// rc-service and sv, as they behave.
#[test]
fn other_managers_are_asked_one_service_at_a_time() {
    let Some(mut bench) = Bench::new("others", "/") else {
        return;
    };
    bench.script(
        "bin/rc-service",
        r#"state="$(dirname "$0")/../state"; if_crashed=
        while [ "$1" != -- ]; do [ "$1" != --ifcrashed ] || if_crashed=yes; shift; done
        shift; now=$(cat "$state" 2>/dev/null || echo stopped)
        [ $1 = squid ] || { echo " * rc-service: service \`$1' does not exist" >&2; exit 1; }
        [ -z "$if_crashed" ] || [ $now = crashed ] || exit 0
        case $2 in
        status) case $now in started) exit 0;; crashed) exit 32;; stopped) exit 3;; esac;;
        zap) echo stopped >"$state";;
        start) [ $now != crashed ] || { echo " * squid is already started" >&2; exit 0; }; echo started >"$state";;
        stop) echo stopped >"$state";;
        esac"#,
    );
    bench.script(
        "bin/sv",
        r#"state="$(dirname "$0")/../sv"
        [ "$1" != -w ] || shift 2
        case $1 in
        status) if [ -e "$state" ]; then echo "run: $2: (pid 12) 3s"; else echo "down: $2: 1s, normally up"; fi;;
        start) touch "$state"; echo "ok: run: $2: (pid 12) 0s";;
        stop) rm -f "$state"; echo "ok: down: $2: 0s, normally up";;
        esac"#,
    );
    for (manager, crash) in [(Manager::OpenRc, true), (Manager::Runit, false)] {
        let squid = Service::Unit {
            manager,
            unit: "squid".to_owned(),
        };
        let verb = |verb| Job::Service {
            service: squid.clone(),
            verb,
        };
        let services = [squid.clone()];
        assert_eq!(bench.observe(&services), [Status::Stopped]);
        assert_eq!(bench.job(verb(Verb::Start)), Ok(()));
        assert_eq!(bench.observe(&services), [Status::Running]);
        if crash {
            fs::write(bench.folder.join("state"), "crashed").expect("our own folder");
            let crashed = Status::Failed("has crashed".to_owned());
            assert_eq!(bench.observe(&services), [crashed]);
            assert_eq!(bench.job(verb(Verb::Start)), Ok(()));
            assert_eq!(bench.observe(&services), [Status::Running], "zapped first");
        }
        assert_eq!(bench.job(verb(Verb::Stop)), Ok(()));
        assert_eq!(bench.observe(&services), [Status::Stopped]);
    }
    let unknown = Service::Unit {
        manager: Manager::OpenRc,
        unit: "postfix".to_owned(),
    };
    let missing = Status::Missing("OpenRC knows no service postfix".to_owned());
    assert_eq!(bench.observe(&[unknown]), [missing]);
}

#[test]
fn a_file_is_replaced_at_one_go_with_its_owner_and_mode() {
    let Some(mut bench) = Bench::new("copy", "/nowhere") else {
        return;
    };
    let (from, to) = (bench.folder.join("from"), bench.folder.join("to"));
    let copy = || Job::Copy {
        from: from.clone(),
        to: to.clone(),
    };
    fs::write(&from, "nameserver 192.0.2.1\n").expect("our own folder");
    fs::set_permissions(&from, fs::Permissions::from_mode(0o640)).expect("our own file");
    let root = std::os::unix::fs::chown(&from, Some(65534), Some(65534)).is_ok();
    // what it is a link to is others' to write
    symlink("elsewhere", &to).expect("our own folder");
    assert_eq!(bench.job(copy()), Ok(()));
    let about = fs::symlink_metadata(&to).expect("it is there");
    assert!(about.is_file());
    assert_eq!(about.mode() & 0o7777, 0o640);
    assert!(!root || (about.uid(), about.gid()) == (65534, 65534));
    assert_eq!(bench.read("to"), "nameserver 192.0.2.1\n");
    assert!(!bench.folder.join("elsewhere").exists());

    // the same again is no new file; another is
    assert_eq!(bench.job(copy()), Ok(()));
    assert_eq!(fs::metadata(&to).expect("there").ino(), about.ino());
    fs::write(&from, "nameserver 192.0.2.2\n").expect("our own file");
    assert_eq!(bench.job(copy()), Ok(()));
    assert_ne!(fs::metadata(&to).expect("there").ino(), about.ino());
    fs::remove_file(&from).expect("our own file");
    let why = bench.job(copy()).expect_err("nothing to copy");
    assert!(
        why.ends_with("from: No such file or directory (os error 2)"),
        "{why}"
    );
    assert_eq!(bench.read("to"), "nameserver 192.0.2.2\n");
    let left = fs::read_dir(&bench.folder).expect("our own folder");
    let left: Vec<_> = left.flatten().map(|it| it.file_name()).collect();
    assert!(!left.iter().any(|it| it == "to.spared-new"), "{left:?}");
}

#[test]
fn hooks_run_in_the_order_of_their_names_and_only_roots_own() {
    let Some(bench) = Bench::new("hooks", "/nowhere") else {
        return;
    };
    let folder = bench.folder.join("active.d");
    for name in [
        "active.d/20-b",
        "active.d/10-a",
        "active.d/9-c",
        "active.d/x~",
    ] {
        bench.script(name, "exit 0");
    }
    let set = |name: &str, mode| {
        let path = bench.script(&format!("active.d/{name}"), "exit 0");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("our own file");
    };
    set("30-writable", 0o757);
    set("40-text", 0o644);
    bench.script("active.d/.hidden", "exit 0");
    let (fine, refused) = run::hooks(&folder);
    let name = |path: &String| path.rsplit('/').next().unwrap_or("").to_owned();
    let fine: Vec<String> = fine.iter().map(name).collect();
    assert_eq!(fine, ["10-a", "20-b", "9-c"]);
    let shown = folder.display();
    let wanted = [
        format!("{shown}/30-writable can be written by others than root"),
        format!("{shown}/40-text is no program"),
    ];
    assert_eq!(refused, wanted);
    let nothing = run::hooks(&bench.folder.join("fault.d"));
    assert_eq!(nothing, (Vec::new(), Vec::new()));
}

/// This same test again, in a network namespace of its own; true inside.
fn inside_namespace(name: &str) -> bool {
    const INSIDE: &str = "SPARED_TEST_INSIDE_NAMESPACE";
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let output = std::process::Command::new("unshare")
        .args(["--net", "--"])
        .arg(std::env::current_exe().expect("a test has a name"))
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .expect("unshare");
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    if text.contains("unshare failed") {
        eprintln!("skipped: no network namespaces: {text}");
        return false;
    }
    assert!(output.status.success(), "{text}");
    assert!(text.contains("done inside"), "{text}");
    false
}

fn output(line: &str) -> String {
    let mut words = line.split(' ');
    let output = std::process::Command::new(words.next().expect("a program"))
        .args(words)
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{line}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn links_settings_rules_and_routes_follow_in_a_namespace() {
    if !inside_namespace("links_settings_rules_and_routes_follow_in_a_namespace") {
        return;
    }
    let Some(mut bench) = Bench::new("kernel", "/") else {
        return println!("done inside");
    };
    output("ip link add wan0 type veth peer name eth0.5");
    output("ip link set eth0.5 up");
    links(&mut bench);
    settings(&mut bench);
    rules(&mut bench);
    routes(&mut bench);
    println!("done inside");
}

fn is_up(interface: &str) -> bool {
    output(&format!("ip -o link show {interface}")).contains(",UP")
}

fn links(bench: &mut Bench) {
    let link = |up| Job::Link {
        interface: "wan0".to_owned(),
        up,
    };
    assert_eq!(bench.job(link(true)), Ok(()));
    assert!(is_up("wan0"));
    assert_eq!(bench.job(link(false)), Ok(()));
    assert!(!is_up("wan0"));
    let missing = Job::Link {
        interface: "wan9".to_owned(),
        up: true,
    };
    assert_eq!(
        bench.job(missing),
        Err("there is no interface wan9".to_owned())
    );

    // a bounce ends by time, whether anybody waits for it or not, but not against a later wish
    let bounce = |down_ms| Job::Bounce {
        interface: "wan0".to_owned(),
        down_ms,
    };
    assert_eq!(bench.job(bounce(100)), Ok(()), "what is down stays down");
    assert!(!is_up("wan0"));
    assert_eq!(bench.job(link(true)), Ok(()));
    let begun = Instant::now();
    bench.runs.begin(1, bounce(100));
    assert!(!is_up("wan0"));
    assert_eq!(bench.next(), Ended::Job(1, Ok(())));
    assert!(is_up("wan0") && begun.elapsed() >= Duration::from_millis(100));
    bench.runs.begin(2, bounce(50));
    bench.runs.cancel(2);
    assert!(!is_up("wan0"));
    bench.until("up again", |_| is_up("wan0"));
    assert_eq!(bench.runs.poll_ended(), None);
    bench.runs.begin(3, bounce(50));
    bench.runs.begin(4, link(false));
    assert_eq!(bench.next(), Ended::Job(3, Ok(())));
    assert_eq!(bench.next(), Ended::Job(4, Ok(())));
    assert_eq!(bench.runs.next_timeout(), None);
    assert!(!is_up("wan0"));
    assert_eq!(bench.job(link(true)), Ok(()));
    bench.runs.begin(5, bounce(60_000));
    assert!(!is_up("wan0"));
    bench.runs.end_all();
    assert!(
        is_up("wan0"),
        "the end of the plugin leaves no interface down"
    );

    // nor does a worker that is killed, once the next one is there; what another boot did is over
    let again = |bench: &Bench| {
        let machine = Machine {
            state: Some(bench.folder.clone()),
            ..Machine::default()
        };
        drop(Runs::on(Box::new(bench.watched.clone()), machine));
    };
    bench.runs.begin(6, bounce(60_000));
    assert!(!is_up("wan0"));
    again(bench);
    assert!(is_up("wan0"));
    bench.runs.begin(8, link(false));
    assert_eq!(bench.next(), Ended::Job(6, Ok(())));
    assert_eq!(bench.next(), Ended::Job(8, Ok(())));
    again(bench);
    fs::write(bench.folder.join("bounce.wan0"), "another boot").expect("our own folder");
    again(bench);
    assert!(!is_up("wan0"));
    assert!(!bench.folder.join("bounce.wan0").exists());
    assert_eq!(bench.job(link(true)), Ok(()));
}

fn settings(bench: &mut Bench) {
    let mut set = |key: &str, value: &str| {
        bench.job(Job::Setting {
            key: key.to_owned(),
            value: value.to_owned(),
        })
    };
    let read = |path: &str| fs::read_to_string(format!("/proc/sys/net/{path}"));
    for value in ["1", "0"] {
        assert_eq!(set("net.ipv6.conf.wan0.accept_ra", value), Ok(()));
        let found = read("ipv6/conf/wan0/accept_ra").expect("a setting");
        assert_eq!(found.trim(), value);
    }
    assert_eq!(set("net/ipv4/conf/eth0.5/rp_filter", "2"), Ok(()));
    let found = read("ipv4/conf/eth0.5/rp_filter").expect("a setting");
    assert_eq!(found.trim(), "2");
    assert_eq!(set("net.ipv4.ip_local_port_range", "2000 3000"), Ok(()));
    assert_eq!(
        set("net.ipv4.conf.wan9.forwarding", "1"),
        Err("net.ipv4.conf.wan9.forwarding: No such file or directory (os error 2)".to_owned())
    );
    let why = set("net.ipv4.ip_forward", "many").expect_err("no number");
    assert!(why.contains("Invalid argument"), "{why}");
}

fn rules(bench: &mut Bench) {
    let file = bench.folder.join("active.nft");
    fs::write(&file, "table inet spared_test { }\n").expect("our own folder");
    let load = || Job::Rules { file: file.clone() };
    if !Path::new("/usr/sbin/nft").exists() {
        return eprintln!("skipped: no nft");
    }
    assert_eq!(bench.job(load()), Ok(()));
    assert!(output("nft list ruleset").contains("spared_test"));
    fs::write(&file, "table inet {\n").expect("our own folder");
    let why = bench.job(load()).expect_err("no rules");
    assert!(
        why.contains("active.nft:1:12-12: Error: syntax error"),
        "{why}"
    );
}

fn routes(bench: &mut Bench) {
    output("ip addr add 192.0.2.1/24 dev wan0");
    let backup = Route {
        destination: None,
        gateway: Some("192.0.2.254".parse().expect("an address")),
        interface: Some("wan0".to_owned()),
        metric: Some(500),
        table: None,
    };
    let other = Route {
        destination: Some(("2001:db8:1::".parse().expect("an address"), 48)),
        gateway: None,
        interface: Some("wan0".to_owned()),
        metric: None,
        table: Some(1000),
    };
    let mut set = |route: &Route, present| {
        let route = route.clone();
        bench.job(Job::Route { route, present })
    };
    let v4 = || output("ip -4 route show proto 214");
    for _ in 0..2 {
        assert_eq!(set(&backup, true), Ok(()));
        assert_eq!(v4().trim(), "default via 192.0.2.254 dev wan0 metric 500");
    }
    assert_eq!(set(&other, true), Ok(()));
    let v6 = || output("ip -6 route show table 1000");
    assert!(
        v6().starts_with("2001:db8:1::/48 dev wan0 proto 214"),
        "{}",
        v6()
    );
    for _ in 0..2 {
        assert_eq!(set(&other, false), Ok(()));
        assert_eq!(v6(), "");
    }

    // somebody else's, and one of a process that was killed
    output("ip route add 198.51.100.0/24 via 192.0.2.254");
    let theirs = Route {
        destination: Some(("198.51.100.0".parse().expect("an address"), 24)),
        metric: None,
        ..backup.clone()
    };
    assert_eq!(set(&theirs, false), Ok(()));
    assert!(
        output("ip -4 route").contains("198.51.100.0/24"),
        "it is not ours"
    );
    output("ip route add 203.0.113.0/24 via 192.0.2.254 proto 214");
    assert_eq!(
        bench.runs.keep_routes(std::slice::from_ref(&backup)),
        Ok(())
    );
    assert_eq!(v4().trim(), "default via 192.0.2.254 dev wan0 metric 500");
    let absent = Route {
        interface: Some("wan9".to_owned()),
        ..backup
    };
    let mut set = |present| {
        let route = absent.clone();
        bench.job(Job::Route { route, present })
    };
    assert_eq!(set(true), Err("there is no interface wan9".to_owned()));
    assert_eq!(set(false), Ok(()));
}
