//! Interfaces, settings, rules, routes, files, and commands of services.

use super::*;

const ALL: &str = "[[interface]]\nname = \"wan0\"\n\
    [[sysctl]]\nkey = \"net.ipv6.conf.lan.accept_ra\"\nwhile_active = \"0\"\nwhile_backup = \"1\"\n\
    [[nftables]]\nwhile_active = \"/a.nft\"\nwhile_backup = \"/b.nft\"\n\
    [[route]]\nwhile = \"backup\"\nto = \"default\"\nvia = \"192.0.2.1\"\n\
    [[file]]\npath = \"/etc/resolv.conf\"\nwhile_active = \"/r.a\"\nwhile_backup = \"/r.b\"\n\
    [[service]]\nunits = [\"squid\"]\n";

#[test]
fn everything_is_entered_in_one_order_and_left_in_reverse() {
    let mut lab = Lab::new(ALL).rested();
    lab.active();
    lab.pass(500 * MS);
    assert_eq!(
        lab.jobs(),
        [
            "link wan0 up",
            "set net.ipv6.conf.lan.accept_ra=0",
            "nft /a.nft",
            "copy /r.a",
            "route del",
            "start squid"
        ]
    );
    lab.begun.clear();
    lab.backup();
    lab.pass(500 * MS);
    assert_eq!(
        lab.jobs(),
        [
            "stop squid",
            "route add",
            "copy /r.b",
            "nft /b.nft",
            "set net.ipv6.conf.lan.accept_ra=1",
            "link wan0 down"
        ]
    );
}

#[test]
fn a_poll_does_again_what_may_be_done_again_and_nothing_else() {
    let mut lab = Lab::new(ALL).rested();
    lab.active();
    lab.pass(S);
    lab.begun.clear();
    lab.pass(5 * S);
    let mut jobs = lab.jobs();
    // the check of the next role's rules, which changes nothing
    jobs.retain(|job| !job.starts_with("check "));
    jobs.sort_unstable();
    assert_eq!(
        jobs,
        [
            "link wan0 up",
            "route del",
            "set net.ipv6.conf.lan.accept_ra=0"
        ]
    );
}

#[test]
fn what_fails_is_told_once_and_holds_up_nobody() {
    let mut lab = Lab::new(ALL).rested();
    let courses = [
        ("link wan0 up", Course::Fails(MS)),
        ("nft /a.nft", Course::Fails(MS)),
    ];
    lab.machine
        .courses
        .extend(courses.map(|(what, course)| (what.to_owned(), course)));
    let ticket = lab.active();
    lab.pass(30 * S);
    assert!(lab.is_done(ticket));
    assert_eq!(lab.runs(), ["squid"]);
    assert_eq!(lab.count("nft /a.nft"), 1, "rules may not be repeatable");
    assert_eq!(lab.count("link wan0 up"), 4, "2 s, 4 s, 8 s later");
    assert_eq!(
        lab.events,
        [
            "interface.wan0: change failed: exit code 1; again in 2s",
            "nftables.1: change failed: exit code 1",
            "office: squid running (105 ms)"
        ]
    );
    lab.machine.courses.clear();
    assert_eq!(lab.engine.retry(lab.now_ns, Some("nftables.1")), Ok(1));
    lab.act();
    lab.pass(30 * S);
    assert!(!lab.engine.wants_attention());
    assert_eq!(lab.count("nft /a.nft"), 2);
}

#[test]
fn a_port_is_bounced_when_the_node_stops_being_active_and_only_then() {
    let text = "[[interface]]\nname = \"lan\"\nwhile_backup = \"leave\"\nbounce = \"1s\"\n";
    let mut lab = Lab::new(text).rested();
    assert!(lab.begun.is_empty());
    lab.active();
    lab.pass(S);
    lab.begun.clear();
    lab.backup();
    lab.pass(S);
    lab.role("office", Role::Fault);
    lab.pass(20 * S);
    assert_eq!(lab.jobs(), ["bounce lan"]);
}

#[test]
fn a_role_that_comes_back_ends_a_bounce() {
    for keys in ["", "while_active = \"leave\"\n", "while_backup = \"up\"\n"] {
        let keys = if keys.contains("backup") {
            keys.to_owned()
        } else {
            format!("while_backup = \"leave\"\n{keys}")
        };
        let text = format!("[[interface]]\nname = \"lan\"\n{keys}bounce = \"5s\"\n");
        let mut lab = Lab::new(&text).rested();
        let bounce = Course::Takes(5 * S);
        lab.machine.courses.insert("bounce lan".to_owned(), bounce);
        lab.active();
        lab.pass(S);
        lab.begun.clear();
        lab.backup();
        lab.pass(100 * MS);
        assert_eq!(lab.jobs(), ["bounce lan"], "{keys}");
        let ticket = lab.active();
        assert_eq!(lab.jobs(), ["bounce lan", "link lan up"], "{keys}");
        assert_eq!(lab.cancelled, 1);
        lab.pass(10 * MS);
        assert!(lab.is_done(ticket) && !lab.engine.wants_attention());
        lab.backup();
        assert_eq!(lab.count("bounce lan"), 2, "and the next is another");
    }
}

#[test]
fn what_is_being_done_for_the_first_time_is_not_done() {
    let rules = "[[nftables]]\nwhile_active = \"/a.nft\"\nwhile_backup = \"/b.nft\"\n";
    let mut lab = Lab::new(rules).rested();
    let course = Course::Takes(S);
    lab.machine.courses.insert("nft /a.nft".to_owned(), course);
    lab.active();
    lab.pass(100 * MS);
    assert_eq!(lab.row("nftables.1.status"), text("to be done"));
    lab.pass(S);
    assert_eq!(lab.row("nftables.1.status"), text("done"));
}

#[test]
fn commands_and_reloads_run_once_at_each_change() {
    let text = "[[service]]\nname = \"portal\"\nstart = [\"/p\", \"1\"]\nstop = [\"/p\", \"0\"]\n\
        reload = [\"/p\", \"r\"]\nwhile_active = [\"/p\", \"in\"]\nwhile_backup = \"reload\"\n";
    let mut lab = Lab::new(text);
    lab.backup();
    lab.pass(60 * S);
    lab.active();
    lab.pass(60 * S);
    lab.backup();
    lab.pass(S);
    lab.role("office", Role::Fault);
    lab.pass(60 * S);
    assert_eq!(lab.jobs(), ["reload portal", "run /p in", "reload portal"]);
    let environment = lab.environment("run /p in");
    assert_eq!(environment["SPARED_GROUP"], "office");
    assert_eq!(environment["SPARED_PREVIOUS"], "backup");
}

#[test]
fn a_reload_or_a_command_that_is_the_same_in_both_roles_runs_at_each_change() {
    let reload = "units = [\"unbound\"]\nwhile_active = \"reload\"\nwhile_backup = \"reload\"\n";
    let command = "name = \"p\"\nstart = [\"/p\"]\nstop = [\"/p\"]\n\
        while_active = [\"/p\", \"x\"]\nwhile_backup = [\"/p\", \"x\"]\n";
    for (keys, job) in [(reload, "reload unbound"), (command, "run /p x")] {
        let mut lab = Lab::new(&format!("[[service]]\n{keys}"));
        for role in [Role::Backup, Role::Active, Role::Fault, Role::Backup] {
            lab.role("office", role);
            lab.pass(60 * S);
        }
        assert_eq!(lab.jobs(), [job; 3], "a backup that fails is no change");
        // the second role comes while the job for the first one runs
        lab.active();
        lab.backup();
        lab.pass(60 * S);
        assert_eq!(lab.jobs(), [job; 5]);
        // a worker that was dead meanwhile does what was missed, once
        for (role, count) in [(Role::Backup, 0), (Role::Active, 1), (Role::Active, 0)] {
            lab.restart(&[("office", role)]);
            lab.pass(60 * S);
            assert_eq!(lab.count(job), count, "{role}");
        }
    }
}

#[test]
fn a_route_that_is_wanted_in_two_roles_exists_in_both() {
    let route =
        |role| format!("[[route]]\nwhile = \"{role}\"\nto = \"default\"\nvia = \"192.0.2.1\"\n");
    let mut lab = Lab::new(&(route("backup") + &route("fault")));
    for (role, job) in [
        (Role::Backup, "route add"),
        (Role::Fault, "route add"),
        (Role::Active, "route del"),
        (Role::Backup, "route add"),
    ] {
        lab.begun.clear();
        lab.role("office", role);
        lab.pass(20 * S);
        let jobs = lab.jobs();
        assert!(jobs.contains(&job), "{role}: {jobs:?}");
        assert!(jobs.iter().all(|it| *it == job), "{role}: {jobs:?}");
    }
}

#[test]
fn a_route_of_two_groups_exists_while_one_of_them_wants_it() {
    let route = |group| {
        format!(
            "[[route]]\nwhile = \"active\"\nto = \"192.0.2.0/24\"\nvia = \"10.0.0.1\"\ngroup = \"{group}\"\n"
        )
    };
    let mut lab = Lab::new(&(route("a") + &route("b")));
    lab.role("b", Role::Backup);
    for (group, role, job) in [
        ("a", Role::Backup, "route del"),
        ("a", Role::Active, "route add"),
        ("b", Role::Active, "route add"),
        ("a", Role::Backup, "route add"),
        ("b", Role::Fault, "route del"),
    ] {
        lab.begun.clear();
        lab.role(group, role);
        lab.pass(20 * S);
        let jobs = lab.jobs();
        assert!(jobs.contains(&job), "{group} {role}: {jobs:?}");
        assert!(jobs.iter().all(|it| *it == job), "{group} {role}: {jobs:?}");
    }
}

#[test]
fn what_is_to_be_left_is_left() {
    let text = "[[service]]\nunits = [\"squid\"]\nwhile_backup = \"leave\"\n\
                [[interface]]\nname = \"lan\"\nwhile_active = \"leave\"\nwhile_backup = \"leave\"\n";
    let mut lab = Lab::on(text, Manager::Systemd, &["squid"]).rested();
    let ticket = lab.active();
    lab.pass(60 * S);
    let ticket = [ticket, lab.backup()];
    lab.pass(60 * S);
    assert!(lab.begun.is_empty(), "{:?}", lab.begun);
    assert!(ticket.iter().all(|ticket| lab.is_done(*ticket)));
}
