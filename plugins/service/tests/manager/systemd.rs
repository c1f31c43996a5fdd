// SPDX-License-Identifier: MIT OR Apache-2.0
//! Answers of systemctl about units.

use std::path::Path;

use super::*;

/// Output of `systemctl show` about one unit, in its order.
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
        ("NRestarts", "0"),
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
        ("once", "Type=oneshot", Status::EndsByItself),
        (
            "at-work",
            "Type=oneshot; ActiveState=activating; SubState=start",
            Status::Running,
        ),
        (
            "at-work-again",
            "Type=oneshot; ActiveState=activating; SubState=auto-restart",
            Status::Starting,
        ),
        (
            "coming",
            "Type=oneshot; RemainAfterExit=yes; ActiveState=activating; SubState=start",
            Status::Starting,
        ),
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
            failed("timed out"),
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
    let (queries, known) = manager::queries(Path::new("/"), &services, &triggers);
    assert!(known.is_empty());
    let [query] = queries.as_slice() else {
        panic!("{queries:?}");
    };
    assert_eq!(
        query.argv.last().map(String::as_str),
        Some("broken.service")
    );
    let answer = blocks.join("\n");
    let judged = manager::parse_answer(query, Some(0), &answer, false, &mut triggers);
    let wanted = table.iter().map(|(_, _, status)| status.clone()).collect();
    assert_eq!(judged, QueryResult::Known(wanted));

    let judged = manager::parse_answer(
        query,
        Some(1),
        "Failed to connect to bus: No such file or directory\n",
        false,
        &mut triggers,
    );
    let lost = unknown("Failed to connect to bus: No such file or directory");
    assert_eq!(judged, QueryResult::Known(vec![lost; table.len()]));
}

#[test]
fn a_unit_is_known_by_each_of_its_names() {
    let alias = unit(Manager::Systemd, "isc-dhcp");
    let answer = block(
        "kea.service",
        "Names=kea.service isc-dhcp.service; ActiveState=active",
    );
    assert_eq!(parsed(&alias, 0, &answer), Status::Running);
    let other = block("kea.service", "ActiveState=active");
    assert_eq!(
        parsed(&alias, 0, &other),
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
        ("two words", "is not a unit name"),
        ("a/b", "is not a unit name"),
        ("", "is not a unit name"),
        ("*", "is not a unit name"),
    ] {
        let services = [
            unit(Manager::Systemd, "squid"),
            unit(Manager::Systemd, name),
        ];
        let (queries, known) = manager::queries(Path::new("/"), &services, &Triggers::default());
        assert_eq!(queries.len(), 1);
        assert_eq!(queries[0].services, services[..1]);
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
        let (queries, _) = manager::queries(Path::new("/"), &services, triggers);
        match manager::parse_answer(&queries[0], Some(0), &unit, false, triggers) {
            QueryResult::AskMore(more) => {
                match manager::parse_answer(&more, Some(0), &whole, true, triggers) {
                    QueryResult::Known(statuses) => statuses[0].clone(),
                    again => panic!("{again:?}"),
                }
            }
            QueryResult::Known(_) => {
                match manager::parse_answer(&queries[0], Some(0), &whole, false, triggers) {
                    QueryResult::Known(statuses) => statuses[0].clone(),
                    again => panic!("{again:?}"),
                }
            }
        }
    };
    // a listening socket that is not enabled, an enabled path that does not listen, a timer of neither kind
    let listening = [
        ("cups.socket", "ActiveState=active; UnitFileState=static"),
        ("cups.path", "UnitFileState=enabled"),
        ("cups-clean.timer", ""),
    ];
    let armed = Status::AwaitsTrigger("cups.socket".to_owned());
    assert_eq!(ask(&mut triggers, listening), armed);
    assert_eq!(
        commands(&cups, Verb::Stop, &mut triggers),
        "systemctl --no-ask-password --job-mode=replace stop -- \
         cups.socket cups.path cups-clean.timer cups.service"
    );
    let failed = block(
        "cups.service",
        "TriggeredBy=cups.socket cups.path cups-clean.timer; ActiveState=failed; Result=start-limit-hit",
    );
    let starters = listening.map(|(name, changes)| block(name, changes));
    let whole = [vec![failed], starters.to_vec()].concat().join("\n");
    let (queries, _) = manager::queries(Path::new("/"), &services, &triggers);
    let judged = manager::parse_answer(&queries[0], Some(0), &whole, true, &mut triggers);
    let armed = Status::AwaitsTrigger("cups.socket (was started too often)".to_owned());
    assert_eq!(
        judged,
        QueryResult::Known(vec![armed]),
        "it may be started again"
    );
    let quiet = listening.map(|(name, changes)| {
        let quiet = changes.trim_start_matches("ActiveState=active; ");
        (name, quiet)
    });
    assert_eq!(ask(&mut triggers, quiet), Status::Stopped);
    assert_eq!(
        commands(&cups, Verb::Start, &mut triggers),
        "systemctl --no-ask-password reset-failed -- cups.path cups.socket cups.service\n\
         systemctl --no-ask-password --job-mode=replace start -- cups.path cups.socket\n\
         systemctl --no-ask-password --job-mode=replace start -- cups.service"
    );
}

/// Takes an answer about a service and its socket, with these properties of the socket.
fn take_socket(triggers: &mut Triggers, socket: &str) {
    let cups = [unit(Manager::Systemd, "cups")];
    let answer = [
        block("cups.service", "TriggeredBy=cups.socket"),
        block("cups.socket", socket),
    ];
    let (queries, _) = manager::queries(Path::new("/"), &cups, triggers);
    let _ = manager::parse_answer(&queries[0], Some(0), &answer.join("\n"), true, triggers);
}

/// Starts the service; true if its socket is started before it.
fn starts_socket(triggers: &mut Triggers) -> bool {
    let commands = commands(&unit(Manager::Systemd, "cups"), Verb::Start, triggers);
    let mut commands = commands.lines();
    commands.any(|it| it.ends_with("start -- cups.socket"))
}

fn stop(triggers: &mut Triggers) {
    commands(&unit(Manager::Systemd, "cups"), Verb::Stop, triggers);
}

#[test]
fn a_socket_that_was_stopped_here_is_started_again_until_it_runs() {
    const RUNS: &str = "ActiveState=active";
    let mut triggers = Triggers::default();
    take_socket(&mut triggers, "");
    assert!(
        !starts_socket(&mut triggers),
        "it neither ran nor is enabled"
    );
    take_socket(&mut triggers, RUNS);
    stop(&mut triggers);
    // the answer to a question from before the stop
    take_socket(&mut triggers, RUNS);
    take_socket(&mut triggers, "");
    assert!(starts_socket(&mut triggers));
    // the role has gone before an answer shows the start
    stop(&mut triggers);
    take_socket(&mut triggers, RUNS);
    take_socket(&mut triggers, "");
    assert!(starts_socket(&mut triggers));
    take_socket(&mut triggers, RUNS);
    // stopped by the administrator
    take_socket(&mut triggers, "");
    stop(&mut triggers);
    assert!(!starts_socket(&mut triggers));
}

#[test]
fn a_socket_that_was_disabled_after_its_stop_is_not_started_again() {
    const RUNS: &str = "ActiveState=active; UnitFileState=enabled";
    let mut triggers = Triggers::default();
    take_socket(&mut triggers, RUNS);
    stop(&mut triggers);
    take_socket(&mut triggers, "UnitFileState=enabled");
    assert!(starts_socket(&mut triggers));
    take_socket(&mut triggers, RUNS);
    stop(&mut triggers);
    take_socket(&mut triggers, "UnitFileState=disabled");
    assert!(!starts_socket(&mut triggers));
}

#[test]
fn a_unit_that_systemd_has_started_anew_is_told_from_one_that_runs_on() {
    let services = [unit(Manager::Systemd, "squid")];
    let mut triggers = Triggers::default();
    let mut ask = |changes: &str| {
        let (queries, _) = manager::queries(Path::new("/"), &services, &triggers);
        let answer = block("squid.service", changes);
        match manager::parse_answer(&queries[0], Some(0), &answer, true, &mut triggers) {
            QueryResult::Known(statuses) => statuses[0].clone(),
            again => panic!("{again:?}"),
        }
    };
    let runs = |restarts: u32| format!("ActiveState=active; NRestarts={restarts}");
    // restarts before this worker are not reported
    assert_eq!(ask(&runs(7)), Status::Running);
    assert_eq!(ask(&runs(7)), Status::Running);
    assert_eq!(ask(&runs(9)), Status::Restarted);
    let waits = "ActiveState=activating; SubState=auto-restart; NRestarts=10";
    assert_eq!(ask(waits), Status::Starting);
    assert_eq!(ask(&runs(10)), Status::Restarted);
    assert_eq!(ask(&runs(10)), Status::Running);
    assert_eq!(ask(&runs(0)), Status::Running, "somebody has started it");
}

#[test]
fn a_unit_whose_program_is_gone_is_missing_unless_it_runs_or_may_do_without() {
    let root = std::env::temp_dir().join(format!("spared-program-{}", std::process::id()));
    std::fs::create_dir_all(root.join("usr/sbin")).unwrap();
    std::fs::write(root.join("usr/sbin/squid"), "").unwrap();
    let services = vec![unit(Manager::Systemd, "squid")];
    let query = StatusQuery {
        argv: Vec::new(),
        services,
    };
    let judge = |path: &str, more: &str, status: &Status| {
        let start = format!("{{ path={path} ; argv[]={path} -k ; ignore_errors={more}");
        let output = block("squid.service", "") + &format!("ExecStart={start}\n");
        let statuses = vec![status.clone()];
        manager::with_missing_programs(&root, &query, &output, statuses).remove(0)
    };
    let plain = "no ; start_time=[n/a] }";
    let missing = "its program /usr/sbin/gone is not there: install it";
    assert_eq!(
        judge("/usr/sbin/squid", plain, &Status::Stopped),
        Status::Stopped
    );
    let gone = |more: &str, status| judge("/usr/sbin/gone", more, &status);
    assert_eq!(
        gone(plain, Status::Stopped),
        Status::Missing(missing.to_owned())
    );
    assert_eq!(gone(plain, Status::Running), Status::Running);
    assert_eq!(gone("yes ; }", Status::Stopped), Status::Stopped);
    let elsewhere = "no ; }\nRootDirectory=/srv/root";
    assert_eq!(gone(elsewhere, Status::Stopped), Status::Stopped);
    assert_eq!(judge("squid", plain, &Status::Stopped), Status::Stopped);
    std::fs::remove_dir_all(&root).unwrap();
}
