//! Changes of role to active and back, flaps, groups, workers that die.

use spared_sdk::Value;

use super::*;

#[test]
fn services_start_in_order_and_stop_in_reverse_and_the_host_waits() {
    let mut lab = Lab::new(THREE).rested();
    let ticket = lab.active();
    assert_eq!(lab.jobs(), ["start kea"], "the others wait for their turn");
    assert!(!lab.is_done(ticket));
    lab.pass(250 * MS);
    assert!(!lab.is_done(ticket));
    lab.pass(100 * MS);
    assert_eq!(lab.jobs(), ["start kea", "start squid", "start postfix"]);
    assert!(lab.is_done(ticket));
    assert_eq!(lab.events, ["office: kea, squid, postfix running (300 ms)"]);
    assert_eq!(lab.engine.summary(), "3 of 3 running");

    lab.begun.clear();
    let ticket = lab.backup();
    lab.pass(S);
    assert_eq!(lab.jobs(), ["stop postfix", "stop squid", "stop kea"]);
    assert!(lab.is_done(ticket));
    assert_eq!(lab.engine.summary(), "3 of 3 stopped");
    assert!(lab.runs().is_empty());
}

#[test]
fn ten_flaps_in_three_seconds_end_in_the_last_wish() {
    for manager in [Manager::Systemd, Manager::OpenRc] {
        let mut lab = Lab::on(THREE, manager, &[]).rested();
        lab.sim("squid").stop = Course::Takes(2 * S);
        lab.sim("kea").start = Course::Takes(700 * MS);
        for flap in 0..10 {
            let role = [Role::Active, Role::Backup][flap % 2];
            lab.role("office", role);
            lab.pass(300 * MS);
        }
        let ticket = lab.active();
        lab.pass(20 * S);
        assert_eq!(lab.runs(), ["kea", "postfix", "squid"]);
        assert!(lab.is_done(ticket));
        assert!(lab.tickets.values().all(|count| *count == 1));
        let jobs = lab.begun.len();
        assert!(
            jobs <= 3 * 11,
            "{jobs} jobs for three services and 11 roles"
        );
    }
}

#[test]
fn a_job_of_systemd_is_superseded_and_one_of_others_is_let_end() {
    let text = "[[service]]\nunits = [\"squid\"]\n";
    let mut lab = Lab::new(text).rested();
    lab.sim("squid").start = Course::Takes(10 * S);
    lab.active();
    lab.pass(S);
    lab.backup();
    assert_eq!(
        (lab.jobs(), lab.cancelled),
        (vec!["start squid", "stop squid"], 1)
    );

    let mut lab = Lab::on(text, Manager::Runit, &[]).rested();
    lab.sim("squid").start = Course::Takes(10 * S);
    lab.active();
    lab.pass(S);
    lab.backup();
    lab.active();
    lab.backup();
    lab.pass(5 * S);
    assert_eq!(lab.jobs(), ["start squid"]);
    lab.pass(10 * S);
    assert_eq!(
        (lab.jobs(), lab.cancelled),
        (vec!["start squid", "stop squid"], 0)
    );
    assert!(lab.runs().is_empty());
}

#[test]
fn a_service_of_one_group_follows_that_group_and_others_whichever_is_active() {
    let text = "[[service]]\nunits = [\"a\"]\ngroup = \"a\"\n\
                [[service]]\nunits = [\"b\"]\ngroup = \"b\"\n[[service]]\nunits = [\"any\"]\n";
    let mut lab = Lab::new(text);
    lab.role("a", Role::Backup);
    lab.role("b", Role::Backup);
    lab.pass(2 * S);
    lab.role("b", Role::Active);
    lab.pass(S);
    assert_eq!(lab.runs(), ["any", "b"]);
    lab.role("a", Role::Active);
    lab.pass(S);
    lab.role("b", Role::Fault);
    lab.pass(S);
    assert_eq!(lab.runs(), ["a", "any"]);
    lab.role("a", Role::Backup);
    lab.pass(S);
    assert!(lab.runs().is_empty());
    assert_eq!(lab.count("start any"), 1);
    assert!(lab.tickets.values().all(|count| *count == 1));
}

#[test]
fn a_slow_service_of_one_group_does_not_hold_up_another_group() {
    let text = "[[service]]\nunits = [\"kea\"]\ngroup = \"office\"\n\
                [[service]]\nunits = [\"squid\"]\ngroup = \"guests\"\n";
    let mut lab = Lab::new(text);
    lab.role("guests", Role::Backup);
    let mut lab = lab.rested();
    lab.sim("kea").start = Course::Takes(8 * S);
    let slow = lab.role("office", Role::Active);
    let quick = lab.role("guests", Role::Active);
    lab.pass(S);
    assert_eq!(lab.runs(), ["squid"]);
    assert_eq!((lab.is_done(slow), lab.is_done(quick)), (false, true));
    lab.pass(8 * S);
    assert_eq!(lab.runs(), ["kea", "squid"]);
    assert!(lab.is_done(slow));
}

#[test]
fn a_group_that_nobody_knows_is_told() {
    let text = "[[service]]\nunits = [\"squid\"]\ngroup = \"ofice\"\n";
    let mut lab = Lab::on(text, Manager::Systemd, &["squid"]);
    let ticket = lab.active();
    lab.pass(14 * S);
    assert!(lab.events.is_empty());
    lab.pass(60 * S);
    let why = "the role of group \"ofice\" is not known";
    assert_eq!(lab.events, [format!("squid is left as it is: {why}")]);
    assert_eq!(lab.row("squid.wish"), super::text(&format!("leave: {why}")));
    assert!(lab.begun.is_empty());
    assert!(lab.is_done(ticket));
    lab.configure(&text.replace("ofice", "office"));
    lab.role("office", Role::Backup);
    lab.pass(S);
    assert!(lab.runs().is_empty());
}

#[test]
fn a_group_that_is_taken_out_of_the_configuration_is_not_known() {
    let text =
        "[[service]]\nunits = [\"squid\"]\ngroup = \"guests\"\n[[service]]\nunits = [\"kea\"]\n";
    let mut lab = Lab::new(text);
    lab.role("guests", Role::Backup);
    let mut lab = lab.rested();
    lab.role("guests", Role::Active);
    lab.pass(2 * S);
    assert_eq!(lab.runs(), ["kea", "squid"]);
    lab.events.clear();
    let ticket = lab.withdraw("guests");
    lab.pass(2 * S);
    assert!(lab.runs().is_empty() && lab.is_done(ticket));
    let why = "the role of group \"guests\" is not known";
    assert_eq!(lab.checks["service.squid"], (UNKNOWN, why.to_owned()));
    assert_eq!(lab.row("squid.wish"), super::text("stopped"));
    lab.events.clear();
    lab.pass(20 * S);
    assert_eq!(lab.events, [format!("squid stays as on a backup: {why}")]);

    // an item that was added to it later is that of an unknown group
    lab.sim("unbound").running = true;
    lab.configure(&format!(
        "{text}[[service]]\nunits = [\"unbound\"]\ngroup = \"guests\"\n"
    ));
    lab.pass(20 * S);
    assert_eq!(lab.runs(), ["unbound"]);

    // back in the configuration
    lab.role("guests", Role::Active);
    lab.pass(2 * S);
    assert_eq!(lab.runs(), ["kea", "squid", "unbound"]);
    assert_eq!(lab.checks["service.squid"], (100, "running".to_owned()));
}

#[test]
fn a_group_that_is_taken_out_of_the_configuration_decides_only_if_there_is_no_other() {
    let text = "[[service]]\nunits = [\"kea\"]\nwhile_active = \"leave\"\nwhile_backup = \"start\"\nwhile_fault = \"stop\"\n";
    let mut lab = Lab::new(text);
    lab.role("a", Role::Fault);
    lab.role("b", Role::Backup);
    lab.pass(3 * S);
    assert_eq!(lab.runs(), ["kea"]);
    lab.withdraw("b");
    lab.pass(3 * S);
    assert!(lab.runs().is_empty());
    lab.withdraw("a");
    lab.pass(3 * S);
    assert_eq!(lab.runs(), ["kea"], "the daemon said backup");
}

#[test]
fn the_first_roles_keep_nobody_waiting_for_the_roles_of_other_groups() {
    let mut lab = Lab::on(THREE, Manager::Systemd, &["kea", "squid", "postfix"]);
    lab.sim("postfix").stop = Course::Hangs;
    let first = lab.role("a", Role::Backup);
    assert!(lab.is_done(first), "the host tells of b only then");
    lab.pass(100 * MS);
    let second = lab.role("b", Role::Active);
    lab.pass(3 * S);
    assert!(lab.is_done(second));
    assert!(
        lab.begun.is_empty(),
        "it was right all the time: {:?}",
        lab.begun
    );
}

#[test]
fn a_restarted_worker_waits_for_the_group_that_was_active_before_it() {
    let mut lab = Lab::new(THREE);
    for role in [Role::Backup, Role::Active] {
        lab.role("a", role);
        lab.role("b", Role::Backup);
        lab.pass(3 * S);
    }
    let all = ["kea", "postfix", "squid"];
    assert_eq!(lab.runs(), all);
    // a plugin that is told earlier than this one was restarted with it, and takes its time
    lab.restart(&[("b", Role::Backup)]);
    lab.pass(9 * S);
    let ticket = lab.role("a", Role::Active);
    lab.pass(10 * S);
    assert_eq!(lab.begun, []);
    assert!(lab.is_done(ticket));

    // the group became backup meanwhile, or was removed
    lab.restart(&[("a", Role::Backup), ("b", Role::Backup)]);
    lab.pass(3 * S);
    assert!(lab.runs().is_empty());
    lab.role("a", Role::Active);
    lab.pass(3 * S);
    lab.restart(&[("b", Role::Backup)]);
    lab.pass(14 * S);
    assert_eq!(lab.runs(), all);
    lab.pass(3 * S);
    assert!(lab.runs().is_empty());
    lab.sim("kea").running = true;
    lab.restart(&[("b", Role::Backup)]);
    lab.pass(S);
    assert!(
        lab.runs().is_empty(),
        "what is gone is not waited for twice"
    );
}

#[test]
fn a_worker_that_dies_changes_nothing_that_is_right() {
    let text = &format!(
        "{THREE}[[service]]\nname = \"c\"\nstart = [\"/c\"]\nstop = [\"/c\"]\n\
         while_active = [\"/c\", \"in\"]\nwhile_backup = [\"/c\", \"out\"]\n\
         [[nftables]]\nwhile_active = \"/a.nft\"\nwhile_backup = \"/b.nft\"\n\
         [[service]]\nunits = [\"once\"]\n"
    );
    for role in [Role::Active, Role::Backup, Role::Fault] {
        let mut lab = Lab::new(text);
        lab.sim("once").ends = true;
        lab.hooks
            .insert(role, (vec!["/hook".to_owned()], Vec::new()));
        lab.backup();
        lab.pass(2 * S);
        lab.role("office", role);
        lab.pass(10 * S);
        assert_eq!(
            lab.count(&format!("run /hook office {role} backup")),
            usize::from(role != Role::Backup)
        );
        lab.restart(&[("office", role)]);
        lab.pass(60 * S);
        // a test changes nothing
        lab.begun.retain(|(_, what)| !what.starts_with("check "));
        assert_eq!(lab.begun, [], "as {role}");
        assert!(lab.tickets.values().all(|count| *count == 1));
    }
}

#[test]
fn what_nobody_can_ask_is_not_started_again_because_the_worker_died() {
    let text = "[[service]]\nname = \"portal\"\nstart = [\"/up\"]\nstop = [\"/down\"]\n";
    let mut lab = Lab::new(text);
    lab.sim("portal").has_no_status = true;
    let mut lab = lab.rested();
    lab.active();
    lab.pass(20 * S);
    assert_eq!(lab.jobs(), ["start portal"]);
    lab.restart(&[("office", Role::Active)]);
    lab.pass(20 * S);
    assert!(lab.begun.is_empty(), "{:?}", lab.begun);
    lab.backup();
    lab.pass(20 * S);
    assert_eq!(lab.jobs(), ["stop portal"]);
}

#[test]
fn a_worker_that_was_dead_meanwhile_does_what_was_missed() {
    let mut lab = Lab::new(THREE).rested();
    lab.active();
    lab.pass(2 * S);
    lab.restart(&[("office", Role::Backup)]);
    lab.pass(3 * S);
    assert!(lab.runs().is_empty());
    lab.sim("squid").running = true;
    lab.restart(&[("office", Role::Active)]);
    assert!(lab.begun.is_empty(), "nothing before a look");
    lab.pass(3 * S);
    assert_eq!(lab.jobs(), ["start kea", "start postfix"]);
}

#[test]
fn hooks_of_a_role_that_has_gone_hold_up_no_other() {
    let mut lab = Lab::new(THREE).rested();
    lab.holds_hooks = true;
    lab.active();
    lab.pass(3 * S);
    let ticket = lab.backup();
    lab.pass(3 * S);
    assert!(!lab.is_done(ticket), "a disk is slow");
    lab.holds_hooks = false;
    lab.engine
        .handle_hooks(lab.now_ns, "office", Role::Active, Default::default());
    lab.act();
    assert!(lab.is_done(ticket));
    assert!(lab.folders.last().unwrap().ends_with("backup.d"));
}

#[test]
fn hooks_come_last_in_order_and_are_told_what_was_before() {
    let mut lab = Lab::new(THREE);
    let hooks = vec!["/h/10-a".to_owned(), "/h/20-b".to_owned()];
    let refused = vec!["/h/30-c can be written by others".to_owned()];
    lab.hooks.insert(Role::Active, (hooks, refused));
    let mut lab = lab.rested();
    lab.machine.courses.insert(
        "run /h/10-a office active backup".to_owned(),
        Course::Takes(S),
    );
    let ticket = lab.report_role("office", Role::Active, true);
    lab.pass(500 * MS);
    assert_eq!(lab.begun.len(), 4, "{:?}", lab.begun);
    assert!(!lab.is_done(ticket));
    lab.pass(S);
    assert_eq!(
        lab.jobs()[3..],
        [
            "run /h/10-a office active backup",
            "run /h/20-b office active backup"
        ]
    );
    assert!(lab.is_done(ticket));
    assert!(lab.folders.last().unwrap().ends_with("hooks/active.d"));
    let refused = "office: hook refused: /h/30-c can be written by others";
    assert!(
        lab.events.iter().any(|it| it == refused),
        "{:?}",
        lab.events
    );
    let environment = lab.environment("run /h/20-b office active backup");
    let expected = [
        ("SPARED_GROUP", "office"),
        ("SPARED_MAINTENANCE", "yes"),
        ("SPARED_NODE", "r1"),
        ("SPARED_PREVIOUS", "backup"),
        ("SPARED_ROLE", "active"),
        ("SPARED_WHY", "office is active"),
    ];
    assert_eq!(
        environment.into_iter().collect::<Vec<_>>(),
        expected.map(|(key, value)| (key.to_owned(), value.to_owned()))
    );
}

#[test]
fn hooks_run_again_once_after_a_conflict_that_this_node_won() {
    let hooks = vec!["/a".to_owned(), "/b".to_owned()];
    for notify in ["spared", "keepalived"] {
        let mut lab = Lab::new(&format!("notify = \"{notify}\"\n{THREE}")).rested();
        lab.hooks.insert(Role::Active, (hooks.clone(), Vec::new()));
        lab.active();
        lab.pass(10 * S);
        lab.begun.clear();
        let ticket = lab.win("office");
        lab.pass(S);
        let words = match notify {
            "spared" => "office active active",
            _ => "GROUP office MASTER 0",
        };
        let expected = [format!("run /a {words}"), format!("run /b {words}")];
        assert_eq!(lab.jobs(), expected, "no service is touched");
        assert!(lab.is_done(ticket));
        if notify == "spared" {
            let environment = lab.environment(&expected[0]);
            let why = environment.get("SPARED_WHY").map(String::as_str);
            assert_eq!(why, Some("r2 was active, too"));
        }
        // neither maintenance nor a restart of the plugin runs them again
        lab.report_role("office", Role::Active, true);
        lab.pass(S);
        assert_eq!(lab.jobs().len(), 2, "{:?}", lab.begun);
        lab.restart(&[("office", Role::Active)]);
        lab.pass(10 * S);
        assert_eq!(lab.begun, []);
    }
}

#[test]
fn hooks_that_run_when_a_conflict_ends_run_again_from_the_first_on() {
    let mut lab = Lab::new("").rested();
    let hooks = vec!["/a".to_owned(), "/b".to_owned()];
    lab.hooks.insert(Role::Active, (hooks, Vec::new()));
    let takes = |words: &str| (format!("run /a office active {words}"), Course::Takes(S));
    lab.machine
        .courses
        .extend([takes("backup"), takes("active")]);
    lab.active();
    lab.pass(500 * MS);
    let ticket = lab.win("office");
    lab.pass(S);
    assert!(!lab.is_done(ticket));
    lab.pass(2 * S);
    let expected = [
        "run /a office active backup",
        "run /a office active active",
        "run /b office active active",
    ];
    assert_eq!(lab.jobs(), expected);
    assert!(lab.is_done(ticket));
    // the role changes meanwhile: the former role is not announced again
    lab.win("office");
    lab.backup();
    lab.pass(2 * S);
    lab.begun.clear();
    lab.active();
    lab.pass(3 * S);
    let expected = ["run /a office active backup", "run /b office active backup"];
    assert_eq!(lab.jobs(), expected);
}

#[test]
fn hooks_of_a_role_that_went_before_their_turn_do_not_run() {
    let mut lab = Lab::new(THREE).rested();
    for role in [Role::Active, Role::Backup] {
        lab.hooks
            .insert(role, (vec!["/hook".to_owned()], Vec::new()));
    }
    lab.active();
    lab.pass(100 * MS);
    lab.backup();
    lab.pass(5 * S);
    assert!(
        !lab.jobs().iter().any(|it| it.starts_with("run")),
        "{:?}",
        lab.begun
    );
}

#[test]
fn a_role_that_is_back_before_all_its_hooks_ran_has_them_run_again() {
    let mut lab = Lab::new("hook_timeout = \"2s\"\n").rested();
    let hooks = vec!["/a".to_owned(), "/b".to_owned()];
    lab.hooks.insert(Role::Active, (hooks, Vec::new()));
    let first = "run /a office active backup".to_owned();
    lab.machine.courses.insert(first.clone(), Course::Hangs);
    lab.active();
    lab.pass(S);
    lab.backup();
    lab.pass(100 * MS);
    lab.active();
    lab.pass(5 * S);
    assert_eq!(lab.count(&first), 2);
    assert_eq!(lab.count("run /b office active backup"), 1);
}

#[test]
fn hooks_that_a_restart_of_the_plugin_cuts_off_run_again_once() {
    let mut lab = Lab::new("").rested();
    let hooks = vec!["/a".to_owned(), "/b".to_owned()];
    lab.hooks.insert(Role::Active, (hooks, Vec::new()));
    let all = ["/a", "/b"].map(|path| format!("run {path} office active backup"));
    lab.machine.courses.insert(all[0].clone(), Course::Hangs);
    lab.active();
    lab.pass(S);
    assert_eq!(lab.jobs(), all[..1]);
    lab.machine.courses.clear();
    let roles = [("office", Role::Active)];
    lab.restart(&roles);
    lab.pass(S);
    assert_eq!(lab.jobs(), all, "what was before is known, too");
    lab.restart(&roles);
    lab.pass(S);
    assert_eq!(lab.begun, []);

    // the last hook counts as run when it has ended
    lab.machine.courses.insert(all[1].clone(), Course::Hangs);
    lab.backup();
    lab.pass(S);
    lab.active();
    lab.pass(S);
    lab.machine.courses.clear();
    lab.restart(&roles);
    lab.pass(S);
    assert_eq!(lab.jobs(), all);
}

#[test]
fn a_hook_that_ends_the_plugin_does_so_twice_at_most_for_a_role() {
    let mut lab = Lab::new("").rested();
    let hooks = vec!["/a".to_owned(), "/b".to_owned()];
    lab.hooks.insert(Role::Active, (hooks, Vec::new()));
    let deadly = "run /a office active backup".to_owned();
    lab.machine.courses.insert(deadly.clone(), Course::Hangs);
    for _ in 0..2 {
        lab.active();
        let mut count = lab.count(&deadly);
        for _ in 0..5 {
            lab.restart(&[("office", Role::Active)]);
            lab.pass(S);
            count += lab.count(&deadly);
        }
        assert_eq!(count, 2);
        lab.backup();
        lab.pass(S);
    }
}

#[test]
fn keepalived_arguments_are_in_its_order() {
    let mut lab = Lab::new("notify = \"keepalived\"\nhooks = \"/h\"\n");
    for role in [Role::Active, Role::Backup, Role::Fault] {
        lab.hooks
            .insert(role, (vec!["/notify".to_owned()], Vec::new()));
    }
    for role in [Role::Backup, Role::Active, Role::Fault] {
        lab.role("office", role);
        lab.pass(S);
    }
    assert_eq!(
        lab.jobs(),
        [
            "run /notify GROUP office BACKUP 0",
            "run /notify GROUP office MASTER 0",
            "run /notify GROUP office FAULT 0"
        ]
    );
    assert_eq!(lab.folders[0], PathBuf::from("/h/backup.d"));
}

#[test]
fn a_hook_that_hangs_or_fails_is_told_and_holds_up_nobody() {
    let mut lab = Lab::new("hook_timeout = \"2s\"\n").rested();
    let hooks = vec!["/a".to_owned(), "/b".to_owned(), "/c".to_owned()];
    lab.hooks.insert(Role::Active, (hooks, Vec::new()));
    let courses = [
        ("run /a office active backup", Course::Hangs),
        ("run /b office active backup", Course::Fails(MS)),
    ];
    lab.machine
        .courses
        .extend(courses.map(|(what, course)| (what.to_owned(), course)));
    let ticket = lab.active();
    lab.pass(3 * S);
    assert!(lab.is_done(ticket));
    assert_eq!(lab.count("run /c office active backup"), 1);
    assert_eq!(
        lab.events,
        [
            "office: hook /a: did not end within 2s",
            "office: hook /b: exit code 1"
        ]
    );
    assert_eq!(
        lab.row("group.office.hook_failures"),
        Some(Value::Counter(2))
    );
}
