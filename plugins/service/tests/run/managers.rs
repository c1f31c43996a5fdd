// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs that behave like the real managers.

use std::fs;

use spared_service::job::{Job, Manager, Service, Status, Verb};

use crate::bench::{Bench, command, is_alive};

/// Scripts like systemctl and systemd-run, with units as files and commands as children.
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
            kill) [ ! -e deaf ] || exec sleep 1000; [ -e pid-$unit ] || exit 1; kill -9 $(cat pid-$unit); rm pid-$unit;;
            esac
        done"#,
    );
    bench.script(
        "bin/systemd-run",
        r#"folder=$(dirname "$0")/..
        echo "systemd-run $*" | sed 's/spared-run-[0-9a-f]*/spared-ID/' >>$folder/log
        while [ "$1" != -- ]; do
            case $1 in
            --unit=*) unit=${1#--unit=};;
            --setenv=*) export "${1#--setenv=}";;
            esac
            shift
        done
        shift
        setsid "$@" & echo $! >$folder/.$unit
        mv $folder/.$unit $folder/pid-$unit # whole, for a kill that comes at this moment
        wait $!"#,
    );
}

/// Script of a command that has to be killed, with its process id in FILE.
const HANG: &str = "cd \"$(dirname \"$0\")\"; trap '' TERM; echo $$ >FILE; exec sleep 1000";

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
    let armed = Status::AwaitsTrigger("web.socket".to_owned());
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

    // a stop that hangs is abandoned for another job
    bench.jobs.begin(1, verb("hang", Verb::Stop));
    bench.until("asked", |it| {
        it.read("log").ends_with("stop -- hang.service\n")
    });
    bench.jobs.cancel(1);
    assert_eq!(bench.job(verb("hang", Verb::Start)), Ok(()));

    // at the end of the plugin systemd is asked to stop what is still to be stopped
    fs::write(bench.folder.join("runs-web.socket"), "").expect("our own folder");
    bench.observe(&services);
    bench
        .jobs
        .end_all(&[systemd_unit("squid"), systemd_unit("web")]);
    assert_eq!(
        bench.read("log").lines().last(),
        Some(
            "systemctl --no-ask-password --no-block --job-mode=replace stop -- squid.service \
             web.socket web.service"
        )
    );
    assert!(!bench.folder.join("runs-web.socket").exists());
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
         --property=KillMode=process --property=DefaultDependencies=no \
         --property=LogLevelMax=notice --setenv=LANG=C.UTF-8 --setenv=SPARED_ROLE=active \
         -- {hook} $$x 5\n"
    );
    assert_eq!(bench.read("log"), wanted, "systemd makes one dollar of two");

    let hang = bench.script("hang", &HANG.replace("FILE", "pid"));
    bench.jobs.begin(1, command(&[&hang]));
    bench.until("begun", |bench| !bench.read("pid").is_empty());
    let pid = bench.read("pid");
    bench.jobs.cancel(1);
    bench.until("killed", |_| !is_alive(&pid));
    bench.until("collected", |it| it.watched.watched.borrow().is_empty());
    assert_eq!(bench.jobs.poll_event(), None, "nothing more is heard of it");

    // cancelled before systemd has created the unit: killed again until it is gone
    fs::remove_file(bench.folder.join("pid")).expect("our own file");
    bench.jobs.begin(2, command(&[&hang]));
    bench.jobs.cancel(2);
    bench.until("collected", |it| it.watched.watched.borrow().is_empty());
    let pid = bench.read("pid");
    assert!(pid.is_empty() || !is_alive(&pid));

    // and killed at the end of the plugin
    let last = bench.script("last", &HANG.replace("FILE", "last-pid"));
    bench.jobs.begin(3, command(&[&last]));
    bench.until("begun", |it| !it.read("last-pid").is_empty());
    let pid = bench.read("last-pid");
    bench.until("known as a unit", |it| {
        let left = fs::read_dir(&it.folder).expect("our own folder").flatten();
        let unit = |name: &str| name.starts_with("pid-") && it.read(name) == pid;
        left.into_iter()
            .any(|entry| unit(&entry.file_name().to_string_lossy()))
    });
    bench.jobs.end_all(&[]);
    bench.until("killed", |_| !is_alive(&pid));
}

#[test]
fn a_command_of_a_worker_that_was_killed_does_not_run_beside_those_of_the_next() {
    let Some(mut bench) = Bench::new("leftover", "FOLDER/root") else {
        return;
    };
    systemd(&bench);
    let hang = bench.script(
        "hang",
        "cd \"$(dirname \"$0\")\"; echo $$ >pid; exec sleep 1000",
    );
    bench.jobs.begin(1, command(&[&hang]));
    bench.until("begun", |it| {
        let pid = it.read("pid");
        let left = fs::read_dir(&it.folder).expect("our own folder").flatten();
        let names = left.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut units = names.filter(|name| name.starts_with("pid-"));
        !pid.is_empty() && units.any(|name| it.read(&name) == pid)
    });
    let pid = bench.read("pid");
    bench.another().kill_leftovers();
    bench.until("killed", |_| !is_alive(&pid));
}

#[test]
fn a_systemd_that_hears_nothing_any_more_is_not_called_for_ever() {
    let Some(mut bench) = Bench::new("deaf", "FOLDER/root") else {
        return;
    };
    systemd(&bench);
    bench.watched.pace.set(10);
    fs::write(bench.folder.join("deaf"), "").expect("our own folder");
    let hang = bench.script(
        "hang",
        "cd \"$(dirname \"$0\")\"; echo $$ >pid; exec sleep 20",
    );
    bench.jobs.begin(1, command(&[&hang]));
    bench.until("begun", |bench| !bench.read("pid").is_empty());
    bench.jobs.cancel(1);
    bench.until("collected", |it| it.watched.watched.borrow().is_empty());
    assert_eq!(bench.jobs.next_timeout(), None);
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

/// Programs that behave like rc-service and sv.
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
