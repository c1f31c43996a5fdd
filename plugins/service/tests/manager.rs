// SPDX-License-Identifier: MIT OR Apache-2.0
//! What each service manager is told, word by word, and how its answers are understood.

use std::fs;
use std::path::{Path, PathBuf};

use spared_service::job::{Manager, Service, Status, Verb};
use spared_service::manager::{self, Judged, Question, Triggers};

fn unit(manager: Manager, unit: &str) -> Service {
    Service::Unit {
        manager,
        unit: unit.to_owned(),
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// The commands for a verb, one a line.
fn told(service: &Service, verb: Verb, triggers: &mut Triggers) -> String {
    let commands = manager::commands(service, verb, triggers).unwrap_or_default();
    let lines: Vec<String> = commands.iter().map(|argv| argv.join(" ")).collect();
    lines.join("\n")
}

fn check_table(service: &Service, table: &[(Verb, &str)]) {
    for (verb, wanted) in table {
        let wanted: Vec<&str> = wanted.lines().map(str::trim).collect();
        let found = told(service, *verb, &mut Triggers::default());
        assert_eq!(found, wanted.join("\n"), "{verb:?}");
    }
}

#[test]
fn systemd_is_told_by_systemctl() {
    check_table(
        &unit(Manager::Systemd, "kea-dhcp4-server"),
        &[
            (
                Verb::Start,
                "systemctl --no-ask-password reset-failed -- kea-dhcp4-server.service
                 systemctl --no-ask-password --job-mode=replace start -- kea-dhcp4-server.service",
            ),
            (
                Verb::Stop,
                "systemctl --no-ask-password --job-mode=replace stop -- kea-dhcp4-server.service",
            ),
            (
                Verb::Reload,
                "systemctl --no-ask-password --job-mode=replace reload -- kea-dhcp4-server.service",
            ),
            (
                Verb::Kill,
                "systemctl --no-ask-password kill --signal=KILL -- kea-dhcp4-server.service
                 systemctl --no-ask-password --job-mode=replace stop -- kea-dhcp4-server.service",
            ),
        ],
    );
    let names = [
        ("wg-quick@wg0", "wg-quick@wg0.service"),
        ("fstrim.timer", "fstrim.timer"),
        ("openvpn@a.b", "openvpn@a.b.service"),
    ];
    for (name, full) in names {
        let stop = told(
            &unit(Manager::Systemd, name),
            Verb::Stop,
            &mut Triggers::default(),
        );
        assert_eq!(stop.rsplit(' ').next(), Some(full));
    }
}

#[test]
fn openrc_is_told_by_rc_service() {
    check_table(
        &unit(Manager::OpenRc, "squid"),
        &[
            (
                Verb::Start,
                "rc-service --ifcrashed -- squid zap\nrc-service -- squid start",
            ),
            (Verb::Stop, "rc-service -- squid stop"),
            (Verb::Reload, "rc-service -- squid reload"),
            (
                Verb::Kill,
                "rc-service -- squid zap\nrc-service -- squid cgroup_cleanup",
            ),
        ],
    );
}

#[test]
fn procd_is_told_by_its_scripts() {
    check_table(
        &unit(Manager::Procd, "dnsmasq"),
        &[
            (Verb::Start, "/etc/init.d/dnsmasq start"),
            (Verb::Stop, "/etc/init.d/dnsmasq stop"),
            (Verb::Reload, "/etc/init.d/dnsmasq reload"),
            (
                Verb::Kill,
                "ubus call service signal {\"name\":\"dnsmasq\",\"signal\":9}
                 ubus call service delete {\"name\":\"dnsmasq\"}",
            ),
        ],
    );
}

#[test]
fn runit_is_told_by_sv() {
    check_table(
        &unit(Manager::Runit, "squid"),
        &[
            (Verb::Start, "sv -w 3600 start squid"),
            (Verb::Stop, "sv -w 3600 stop squid"),
            (Verb::Reload, "sv -w 3600 reload squid"),
            (Verb::Kill, "sv -w 0 kill squid\nsv -w 5 stop squid"),
        ],
    );
}

#[test]
fn commands_are_run_as_they_are_given() {
    let service = Service::Commands {
        name: "portal".to_owned(),
        start: words("/opt/portal start"),
        stop: words("/opt/portal stop now"),
        status: Vec::new(),
        reload: Vec::new(),
    };
    check_table(
        &service,
        &[
            (Verb::Start, "/opt/portal start"),
            (Verb::Stop, "/opt/portal stop now"),
        ],
    );
    for verb in [Verb::Reload, Verb::Kill] {
        let commands = manager::commands(&service, verb, &mut Triggers::default());
        assert_eq!(commands, None, "{verb:?}");
    }
    let asked = manager::questions(Path::new("/"), &[service], &Triggers::default());
    assert!(asked.0.is_empty());
    let [(_, Status::Unknown(why))] = asked.1.as_slice() else {
        panic!("{asked:?}");
    };
    assert_eq!(why, "has no status command");
}

/// A folder that looks like the root of a machine.
struct Root(PathBuf);

impl Root {
    fn new(name: &str) -> Self {
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("the build's own folder");
        Self(path)
    }

    fn with(self, path: &str, content: &str) -> Self {
        let file = self.0.join(path);
        fs::create_dir_all(file.parent().expect("a folder")).expect("our own folder");
        fs::write(file, content).expect("our own folder");
        self
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_manager_is_found_by_what_it_leaves_in_the_file_system() {
    for (path, content, wanted) in [
        ("run/systemd/system/x", "", Some(Manager::Systemd)),
        ("run/openrc/softlevel", "", Some(Manager::OpenRc)),
        ("sbin/procd", "", Some(Manager::Procd)),
        ("run/runit/stopit", "", Some(Manager::Runit)),
        ("proc/17/comm", "runsvdir\n", Some(Manager::Runit)),
        ("proc/17/comm", "runsv\n", None),
        ("etc/passwd", "", None),
    ] {
        let root = Root::new("detect").with(path, content);
        assert_eq!(manager::detect_in(&root.0), wanted, "{path}");
    }
    let both = Root::new("both")
        .with("proc/17/comm", "runsvdir\n")
        .with("run/systemd/system/x", "");
    assert_eq!(manager::detect_in(&both.0), Some(Manager::Systemd));
}

fn judged(service: &Service, code: i32, output: &str) -> Status {
    let question = Question {
        argv: Vec::new(),
        services: vec![service.clone()],
    };
    let triggers = &mut Triggers::default();
    match manager::judge(&question, Some(code), output, true, triggers) {
        Judged::Known(mut statuses) => statuses.pop().expect("one status"),
        more => panic!("{more:?}"),
    }
}

fn failed(why: &str) -> Status {
    Status::Failed(why.to_owned())
}

fn missing(why: &str) -> Status {
    Status::Missing(why.to_owned())
}

fn unknown(why: &str) -> Status {
    Status::Unknown(why.to_owned())
}

#[test]
fn openrc_answers_by_exit_codes() {
    let squid = unit(Manager::OpenRc, "squid");
    for (code, output, wanted) in [
        (0, " * status: started", Status::Running),
        (3, " * status: stopped", Status::Stopped),
        (4, " * status: stopping", Status::Stopping),
        (8, " * status: starting", Status::Starting),
        (16, " * status: inactive", Status::Starting),
        (32, " * status: crashed", failed("has crashed")),
        (
            64,
            " * status: unsupervised",
            failed("has lost its supervisor"),
        ),
        (
            1,
            "rc-service: service `squid' does not exist",
            missing("OpenRC knows no service squid"),
        ),
        (1, "no pid file", failed("no pid file")),
        (77, "", unknown("exit code 77")),
    ] {
        assert_eq!(judged(&squid, code, output), wanted, "{code}");
    }
}

#[test]
fn procd_answers_by_exit_codes_where_it_knows_the_script() {
    let root = Root::new("procd").with("etc/init.d/dnsmasq", "");
    let dnsmasq = unit(Manager::Procd, "dnsmasq");
    for (code, output, wanted) in [
        (0, "", Status::Running),
        (1, "", Status::Stopped),
        (127, "", unknown("exit code 127")),
        (
            0,
            "Syntax: /etc/init.d/led [command]\n\nAvailable commands:",
            unknown("its script is not one of procd's: give it a name and commands"),
        ),
    ] {
        assert_eq!(judged(&dnsmasq, code, output), wanted, "{code} {output}");
    }
    let services = [
        dnsmasq,
        unit(Manager::Procd, "squid"),
        unit(Manager::Procd, "../../bin/sh"),
    ];
    let (questions, known) = manager::questions(&root.0, &services, &Triggers::default());
    let [question] = questions.as_slice() else {
        panic!("{questions:?}");
    };
    assert_eq!(question.argv, words("/etc/init.d/dnsmasq running"));
    let known: Vec<Status> = known.into_iter().map(|(_, status)| status).collect();
    let wanted = [
        missing("there is no /etc/init.d/squid"),
        missing("is no name of a service"),
    ];
    assert_eq!(known, wanted);
}

#[test]
fn runit_answers_in_words() {
    let squid = unit(Manager::Runit, "squid");
    for (output, wanted) in [
        (
            "run: squid: (pid 12) 3s; run: log: (pid 11) 3s",
            Status::Running,
        ),
        ("run: squid: (pid 12) 3s, normally down", Status::Running),
        (
            "run: squid: (pid 12) 3s, want down, got TERM",
            Status::Stopping,
        ),
        ("finish: squid: (pid 12) 0s, want down", Status::Stopping),
        (
            "finish: squid: (pid 12) 0s; run: log: (pid 11) 3s",
            Status::Starting,
        ),
        ("down: squid: 3s, normally up", Status::Stopped),
        (
            "down: squid: 3s; down: log: 0s, normally up, want up",
            Status::Stopped,
        ),
        ("down: squid: 0s, normally up, want up", Status::Starting),
        (
            "fail: squid: unable to change to service directory: file does not exist",
            missing("runit is unable to change to service directory: file does not exist"),
        ),
        (
            "warning: squid: unable to open supervise/ok: file does not exist",
            missing("runit is unable to open supervise/ok: file does not exist"),
        ),
        (
            "fail: squid: runsv not running",
            missing("fail: squid: runsv not running"),
        ),
        ("", unknown("")),
    ] {
        assert_eq!(judged(&squid, 0, output), wanted, "{output}");
    }
}

#[test]
fn commands_answer_as_lsb_has_it() {
    let portal = Service::Commands {
        name: "portal".to_owned(),
        start: Vec::new(),
        stop: Vec::new(),
        status: words("/opt/portal status"),
        reload: Vec::new(),
    };
    for (code, output, wanted) in [
        (0, "", Status::Running),
        (3, "", Status::Stopped),
        (1, "", failed("does not run")),
        (
            2,
            "dead, but it left a lock",
            failed("dead, but it left a lock"),
        ),
        (4, "", unknown("exit code 4")),
    ] {
        assert_eq!(judged(&portal, code, output), wanted, "{code}");
    }
}

/// What systemctl show says of one unit, in its order.
fn block(id: &str, changes: &str) -> String {
    let mut lines = vec![
        ("Type", "simple"),
        ("RemainAfterExit", "no"),
        ("Result", "success"),
        ("ExecMainStatus", "0"),
        ("Id", id),
        ("Names", id),
        ("TriggeredBy", ""),
        ("LoadState", "loaded"),
        ("ActiveState", "inactive"),
        ("SubState", "dead"),
        ("UnitFileState", "disabled"),
        ("LoadError", ""),
    ];
    for change in changes.split("; ").filter(|change| !change.is_empty()) {
        let (key, value) = change.split_once('=').expect("a pair");
        let line = lines.iter_mut().find(|(name, _)| *name == key);
        line.expect("a property").1 = value;
    }
    let line = |(key, value): &(&str, &str)| format!("{key}={value}\n");
    lines.iter().map(line).collect()
}

#[test]
fn systemd_answers_for_all_units_at_once() {
    let table = [
        (
            "active",
            "ActiveState=active; SubState=running",
            Status::Running,
        ),
        (
            "exited",
            "ActiveState=active; SubState=exited",
            Status::Running,
        ),
        ("reloading", "ActiveState=reloading", Status::Running),
        (
            "orphan",
            "ActiveState=active; LoadState=not-found",
            Status::Running,
        ),
        (
            "start",
            "ActiveState=activating; SubState=start-pre",
            Status::Starting,
        ),
        (
            "again",
            "ActiveState=activating; SubState=auto-restart; Result=exit-code",
            Status::Starting,
        ),
        (
            "stop",
            "ActiveState=deactivating; SubState=stop-sigterm",
            Status::Stopping,
        ),
        ("dead", "", Status::Stopped),
        ("once", "Type=oneshot", Status::Ends),
        (
            "remains",
            "Type=oneshot; RemainAfterExit=yes",
            Status::Stopped,
        ),
        (
            "crashed",
            "ActiveState=failed; Result=exit-code; ExecMainStatus=203",
            failed("ended with exit code 203"),
        ),
        (
            "stuck",
            "ActiveState=failed; Result=timeout",
            failed("was not in time"),
        ),
        (
            "limit",
            "ActiveState=failed; Result=start-limit-hit",
            failed("was started too often"),
        ),
        (
            "absent",
            "LoadState=not-found; LoadError=org.freedesktop.systemd1.NoSuchUnit \"Unit absent.service not found.\"",
            missing("systemd knows no such unit"),
        ),
        (
            "masked",
            "LoadState=masked; UnitFileState=masked",
            missing("is masked"),
        ),
        (
            "broken",
            "LoadState=bad-setting; LoadError=org.freedesktop.systemd1.BadUnitSetting \"Unit broken.service has a bad unit file setting.\"",
            missing("cannot be loaded: Unit broken.service has a bad unit file setting"),
        ),
    ];
    let services: Vec<Service> = table
        .iter()
        .map(|(name, ..)| unit(Manager::Systemd, name))
        .collect();
    let blocks: Vec<String> = table
        .iter()
        .map(|(name, changes, _)| block(&format!("{name}.service"), changes))
        .collect();
    let mut triggers = Triggers::default();
    let (questions, known) = manager::questions(Path::new("/"), &services, &triggers);
    assert!(known.is_empty());
    let [question] = questions.as_slice() else {
        panic!("{questions:?}");
    };
    assert_eq!(
        question.argv.last().map(String::as_str),
        Some("broken.service")
    );
    let answer = blocks.join("\n");
    let judged = manager::judge(question, Some(0), &answer, false, &mut triggers);
    let wanted = table.iter().map(|(_, _, status)| status.clone()).collect();
    assert_eq!(judged, Judged::Known(wanted));

    let judged = manager::judge(
        question,
        Some(1),
        "Failed to connect to bus: No such file or directory\n",
        false,
        &mut triggers,
    );
    let lost = unknown("Failed to connect to bus: No such file or directory");
    assert_eq!(judged, Judged::Known(vec![lost; table.len()]));
}

#[test]
fn a_unit_is_known_by_each_of_its_names() {
    let alias = unit(Manager::Systemd, "isc-dhcp");
    let answer = block(
        "kea.service",
        "Names=kea.service isc-dhcp.service; ActiveState=active",
    );
    assert_eq!(judged(&alias, 0, &answer), Status::Running);
    let other = block("kea.service", "ActiveState=active");
    assert_eq!(
        judged(&alias, 0, &other),
        unknown("systemd says nothing about it")
    );
}

#[test]
fn what_is_no_unit_is_not_asked_for_as_it_would_spoil_the_answer() {
    for (name, why) in [
        ("ppp@", "is a template: an instance has a name, as ppp@wan0"),
        (
            "ppp@.service",
            "is a template: an instance has a name, as ppp@wan0",
        ),
        ("two words", "is no name of a unit"),
        ("a/b", "is no name of a unit"),
        ("", "is no name of a unit"),
        ("*", "is no name of a unit"),
    ] {
        let services = [
            unit(Manager::Systemd, "squid"),
            unit(Manager::Systemd, name),
        ];
        let (questions, known) =
            manager::questions(Path::new("/"), &services, &Triggers::default());
        assert_eq!(questions.len(), 1);
        assert_eq!(questions[0].services, services[..1]);
        assert_eq!(known, [(services[1].clone(), missing(why))], "{name}");
    }
}

#[test]
fn what_would_start_a_unit_again_is_stopped_and_started_with_it() {
    let cups = unit(Manager::Systemd, "cups");
    let services = [cups.clone()];
    let mut triggers = Triggers::default();
    let ask = |triggers: &mut Triggers, states: [(&str, &str); 3]| {
        let unit = block(
            "cups.service",
            "TriggeredBy=cups.socket cups.path cups-clean.timer",
        );
        let starters = states.map(|(name, changes)| block(name, changes));
        let whole = [vec![unit.clone()], starters.to_vec()].concat().join("\n");
        let (questions, _) = manager::questions(Path::new("/"), &services, triggers);
        match manager::judge(&questions[0], Some(0), &unit, false, triggers) {
            Judged::Ask(more) => match manager::judge(&more, Some(0), &whole, true, triggers) {
                Judged::Known(statuses) => statuses[0].clone(),
                again => panic!("{again:?}"),
            },
            Judged::Known(_) => {
                match manager::judge(&questions[0], Some(0), &whole, false, triggers) {
                    Judged::Known(statuses) => statuses[0].clone(),
                    again => panic!("{again:?}"),
                }
            }
        }
    };
    // a socket that listens though nobody enabled it, an enabled path that does not, a timer of neither
    let listening = [
        ("cups.socket", "ActiveState=active; UnitFileState=static"),
        ("cups.path", "UnitFileState=enabled"),
        ("cups-clean.timer", ""),
    ];
    let armed = Status::Armed("cups.socket".to_owned());
    assert_eq!(ask(&mut triggers, listening), armed);
    assert_eq!(
        told(&cups, Verb::Stop, &mut triggers),
        "systemctl --no-ask-password --job-mode=replace stop -- \
         cups.socket cups.path cups-clean.timer cups.service"
    );
    let failed = block(
        "cups.service",
        "TriggeredBy=cups.socket cups.path cups-clean.timer; ActiveState=failed; Result=start-limit-hit",
    );
    let starters = listening.map(|(name, changes)| block(name, changes));
    let whole = [vec![failed], starters.to_vec()].concat().join("\n");
    let (questions, _) = manager::questions(Path::new("/"), &services, &triggers);
    let judged = manager::judge(&questions[0], Some(0), &whole, true, &mut triggers);
    let armed = Status::Armed("cups.socket (was started too often)".to_owned());
    assert_eq!(
        judged,
        Judged::Known(vec![armed]),
        "it may be started again"
    );
    let quiet = listening.map(|(name, changes)| {
        let quiet = changes.trim_start_matches("ActiveState=active; ");
        (name, quiet)
    });
    assert_eq!(ask(&mut triggers, quiet), Status::Stopped);
    assert_eq!(
        told(&cups, Verb::Start, &mut triggers),
        "systemctl --no-ask-password reset-failed -- cups.path cups.socket cups.service\n\
         systemctl --no-ask-password --job-mode=replace start -- cups.path cups.socket\n\
         systemctl --no-ask-password --job-mode=replace start -- cups.service"
    );
}

#[test]
fn the_last_words_of_a_program_are_its_reason() {
    for (output, wanted) in [
        ("", ""),
        ("one\ntwo\n\n", "two"),
        (
            "Job for x.service failed because the control process exited with error code.\n\
             See \"systemctl status x.service\" and \"journalctl -xeu x.service\" for details.\n",
            "Job for x.service failed because the control process exited with error code.",
        ),
        ("a\u{1b}[31mred\u{7}", "a[31mred"),
        (
            "a.nft:3:7-7: Error: syntax error\ntable x }\n        ^\na.nft:4:1-1: Error: end of file\n",
            "a.nft:3:7-7: Error: syntax error",
        ),
    ] {
        assert_eq!(manager::last_words(output), wanted);
    }
    assert_eq!(manager::last_words(&"ä".repeat(5000)).chars().count(), 200);
}
