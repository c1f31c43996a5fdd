//! Behaviour of keepalived 2.2.7 that its configuration does not show: the files do the same, and the list tells it.

use spared_import::{Import, Outcome};

use crate::common::{imported, instance, of_with, told};

/// Outcome of the first line that is this one.
fn outcome(import: &Import, text: &str, line: &str) -> Outcome {
    let number = text.lines().position(|it| it == line).expect("a line") + 1;
    let mut outcomes = import.sources.outcomes().iter();
    *outcomes.find(|it| it.0.line == number).expect("counted").1
}

#[test]
fn an_address_that_keepalived_advertises_twice_goes_before_all_else() {
    let twice = "virtual_ipaddress {\n10.0.1.1\n10.0.1.2\n10.0.1.2\n}\n";
    for text in [
        instance("a", 1, twice),
        instance("a", 1, "virtual_ipaddress {\n10.0.1.2\n}")
            + &instance("b", 2, "virtual_ipaddress {\n10.0.1.2\n}"),
    ] {
        let import = imported(&text);
        let list = told(&import);
        assert!(
            list.contains("10.0.1.2: the address is there already; keepalived has it twice"),
            "{list}"
        );
        let edit = &import.steps[1];
        assert!(
            edit.what.starts_with("on both: change keepalived.conf"),
            "{edit:?}"
        );
        let line = "# r2: take the line `10.0.1.2` out (a:";
        assert!(
            edit.commands.iter().any(|it| it.starts_with(line)),
            "{edit:?}"
        );
        let last = edit.commands.last().map(String::as_str);
        assert_eq!(last, Some("systemctl reload keepalived"));
    }
    // no advert has excluded ones
    let import = imported(&instance(
        "a",
        1,
        "virtual_ipaddress_excluded {\n10.0.1.1\n}",
    ));
    assert!(told(&import).contains("once is enough"));
    assert!(!import.steps[1].what.contains("change keepalived.conf"));
}

const CHECKS: &str = "vrrp_script s {\nscript /s\nweight -20\n}\ntrack_file drain {\nfile /d\nweight -1\n}\ntrack_file plain {\nfile /p\n}\n\
                      vrrp_track_process p {\nprocess x\nweight 7\n}\n";
const TRACKERS: &str = "track_script {\ns\n}\ntrack_file {\ndrain\nplain\n}\ntrack_process {\np\n}\ntrack_interface {\neth9 weight -30\n}";

#[test]
fn a_sync_group_counts_the_weights_of_its_instances_only_if_it_says_so() {
    let text = |group: &str, member: &str| {
        format!(
            "{CHECKS}vrrp_sync_group g {{\ngroup {{\na\nb\n}}\n{group}\n}}\n{}{}",
            instance("a", 1, member),
            instance("b", 2, "")
        )
    };
    let without = text("", TRACKERS);
    let import = imported(&without);
    let (health, list) = (&import.texts["plugins/health.toml"], told(&import));
    assert!(
        !health.contains("\"s\"") && !health.contains("\"drain\""),
        "{health}"
    );
    assert!(health.contains("name = \"p\"\n"), "{health}");
    for fault in [
        "\"eth9\"\nweight = -253",
        "\"plain\"\npath = \"/p\"\nworse = \"above\"\nweight = -253",
    ] {
        assert!(health.contains(fault), "{fault}: {health}");
    }
    for expected in [
        "s: keepalived ignores a check with a weight in an instance of a sync group, and so do the files\n    nothing, or, if it shall count, write `sync_group_tracking_weight`",
        "eth9 weight -30, plain: keepalived ignores the weight in an instance of a sync group",
    ] {
        assert!(list.contains(expected), "{expected} is not in {list}");
    }
    assert_eq!(outcome(&import, &without, "s"), Outcome::Listed);
    for counted in [
        text("sync_group_tracking_weight", TRACKERS),
        text(TRACKERS, ""),
    ] {
        let import = imported(&counted);
        let (health, list) = (&import.texts["plugins/health.toml"], told(&import));
        for weight in [
            "fall = 1\nweight = -20",
            "worse = \"above\"\nweight = -1\n",
            "\"eth9\"\nweight = -30",
        ] {
            assert!(health.contains(weight), "{weight}: {health}");
        }
        assert!(!list.contains("keepalived ignores"), "{list}");
    }
}

#[test]
fn a_script_gets_all_of_its_timeout() {
    let text = |lines| {
        format!(
            "vrrp_script s {{\nscript /s\n{lines}\n}}\n{}",
            instance("a", 1, "track_script {\ns\n}")
        )
    };
    let import = imported(&text("interval 1\ntimeout 10"));
    let health = &import.texts["plugins/health.toml"];
    assert!(
        health.contains("interval = \"10s\"\ntimeout = \"10s\"\n"),
        "{health}"
    );
    assert!(
        told(&import)
            .contains("`interval` is 10s in the files, so a fault is seen that much later")
    );
    let import = imported(&text("interval 5\ntimeout 2"));
    let health = &import.texts["plugins/health.toml"];
    assert!(
        health.contains("interval = \"5s\"\ntimeout = \"2s\"\n"),
        "{health}"
    );
    assert!(!told(&import).contains("timeout above"));
}

#[test]
fn a_master_takes_its_role_back_in_spite_of_nopreempt() {
    let text = |one: &str, two: &str| {
        let lines = [(1, "priority 150", one), (2, "priority 100", two)];
        let lines = lines.map(|(node, priority, lines)| {
            let lines = format!("{priority}\n{lines}");
            let lines = lines.lines().map(|it| format!("@r{node} {it}\n"));
            lines.collect::<String>()
        });
        instance("a", 1, &lines.concat())
    };
    for (one, two, prefers) in [
        ("state MASTER\nnopreempt", "state BACKUP\nnopreempt", true),
        ("state BACKUP\nnopreempt", "state BACKUP\nnopreempt", false),
        ("nopreempt", "nopreempt", false),
        // the node of the smaller priority never takes it
        ("state BACKUP", "state BACKUP\nnopreempt", true),
        ("state BACKUP\nnopreempt", "state MASTER", false),
    ] {
        let import = of_with(&text(one, two), true).expect("readable");
        let vrrp = &import.texts["plugins/vrrp.toml"];
        assert_eq!(
            vrrp.contains("prefer = \"r1\""),
            prefers,
            "{one}, {two}: {vrrp}"
        );
        let is_told = told(&import).contains("nopreempt with state MASTER: keepalived clears it");
        assert_eq!(is_told, one.contains("MASTER\nno"), "{one}, {two}");
    }
    let import = imported(&text("state MASTER\npreempt_delay 9", "state BACKUP"));
    assert!(told(&import).contains("preempt_delay with state MASTER: keepalived clears it"));
}

#[test]
fn each_instance_has_its_own_password() {
    let pass = |word: &str| format!("authentication {{\nauth_type PASS\nauth_pass {word}\n}}");
    let import = imported(&format!(
        "vrrp_sync_group g {{\ngroup {{\na\nb\nc\n}}\n}}\n{}{}{}",
        instance("a", 1, &pass("one")),
        instance("b", 2, ""),
        instance("c", 3, &pass("three"))
    ));
    let vrrp = &import.texts["plugins/vrrp.toml"];
    let tables: Vec<&str> = vrrp.split("[[group.interface]]").collect();
    let words: Vec<bool> = tables.iter().map(|it| it.contains("auth_pass")).collect();
    assert_eq!(words, [false, true, false, true], "{vrrp}");
    assert!(
        tables[1].contains("auth_pass = \"one\"") && tables[3].contains("auth_pass = \"three\"")
    );
    assert!(!told(&import).contains("auth"), "{}", told(&import));
}

#[test]
fn a_check_of_one_group_names_the_groups_that_it_moves_as_well() {
    for weight in ["", "weight -20"] {
        let import = imported(&format!(
            "vrrp_script s {{\nscript /s\n{weight}\n}}\n{}{}",
            instance("a", 1, "track_script {\ns\n}"),
            instance("b", 2, "track_interface {\neth9\n}")
        ));
        let list = told(&import);
        for expected in [
            "check s: a check counts for all groups of a node: it is tracked by a, and moves b, too",
            "check eth9: a check counts for all groups of a node: it is tracked by b, and moves a, too",
        ] {
            assert!(list.contains(expected), "{expected} is not in {list}");
        }
    }
}

#[test]
fn a_ping_becomes_a_check_that_needs_no_capability() {
    let imported = |script: &str, lines: &str| {
        let text =
            format!("vrrp_script s {{\nscript \"{script}\"\ninterval 3\nfall 2\n{lines}\n}}\n");
        imported(&(text + &instance("a", 1, "track_script {\ns\n}")))
    };
    let keys = |interval, timeout, fall| {
        format!("interval = \"{interval}\"\ntimeout = \"{timeout}\"\nrise = 1\nfall = {fall}\n")
    };
    for (script, expected) in [
        (
            "/usr/bin/ping -c 1 -W 1 203.0.113.1",
            "targets = [\"203.0.113.1\"]\n".to_owned() + &keys("3s", "1s", 2),
        ),
        (
            "ping -qnc1 -W1 -I eth7 203.0.113.1",
            "targets = [\"203.0.113.1\"]\ninterface = \"eth7\"\n".to_owned() + &keys("3s", "1s", 2),
        ),
        (
            "/bin/ping6 -c 1 -w 1 2001:db8::1",
            "targets = [\"2001:db8::1\"]\n".to_owned() + &keys("3s", "1s", 2),
        ),
        (
            "ping -c 3 -W 1 203.0.113.1",
            "targets = [\"203.0.113.1\"]\n".to_owned() + &keys("1s", "1s", 6),
        ),
        (
            "ping -c 1 203.0.113.1",
            "targets = [\"203.0.113.1\"]\n".to_owned() + &keys("3s", "3s", 2),
        ),
    ] {
        let import = imported(script, "");
        let health = &import.texts["plugins/health.toml"];
        assert!(
            health.contains("[[ping]]\nname = \"s\"\n"),
            "{script}: {health}"
        );
        assert!(
            health.contains(&expected),
            "{script}: {expected} is not in {health}"
        );
        assert!(!told(&import).contains("spared-health"), "{script}");
    }
    for script in [
        "ping -c 1 router.example",
        "ping -c 2 -w 2 203.0.113.1",
        "ping -c 1 -s 900 203.0.113.1",
        "ping -c 1 203.0.113.1 || exit 1",
        "fping -q 203.0.113.1",
        "ping -c 40 203.0.113.1",
        "ping -c 1 203.0.113.1 >/dev/null 2>&1",
    ] {
        let import = imported(script, "");
        assert!(
            import.texts["plugins/health.toml"].contains("[[script]]"),
            "{script}"
        );
        let list = told(&import);
        assert!(
            list.contains("ping: a program with file capabilities, such as ping, gets none"),
            "{script}: {list}"
        );
        assert!(
            list.contains("--no-new-privs --bounding-set=-all SCRIPT"),
            "{list}"
        );
    }
    let other = told(&imported("/usr/local/bin/pinger", ""));
    assert!(!other.contains("file capabilities"), "{other}");
}

#[test]
fn rules_without_a_priority_have_the_numbers_of_keepalived() {
    let import = imported(&instance(
        "a",
        1,
        "virtual_rules {\nfrom 10.0.0.0/8 table 9\nfrom 2001:db8::/32 table 9\nto 10.1.0.0/16 table 9\n}",
    ));
    let vrrp = &import.texts["plugins/vrrp.toml"];
    let numbers: Vec<&str> = vrrp
        .lines()
        .filter(|it| it.starts_with("priority = 1"))
        .collect();
    assert_eq!(
        numbers,
        ["priority = 16384", "priority = 16384", "priority = 16383"],
        "{vrrp}"
    );
}

#[test]
fn a_route_that_would_be_another_one_is_left_out() {
    for option in ["tos 0x10", "onlink"] {
        let route = format!("10.7.0.0/16 via 10.0.1.9 dev eth1 {option}");
        let import = imported(&instance(
            "a",
            1,
            &format!("virtual_routes {{\n{route}\n}}"),
        ));
        assert!(
            !import.texts["plugins/vrrp.toml"].contains("[[group.route]]"),
            "{option}"
        );
        let list = told(&import);
        assert!(
            list.contains(&format!("{route}: a route has one gateway")),
            "{list}"
        );
    }
    let import = imported(&instance(
        "a",
        1,
        "virtual_ipaddress {\n10.0.1.1/24 brd 10.0.1.255\n}",
    ));
    let mut reasons = import.sources.reasons();
    assert!(reasons.any(|it| it.0 == "brd of an address"));
}

#[test]
fn the_smallest_ttl_has_its_reason() {
    for (lines, expected) in [
        (
            "",
            "min_ttl = 64   # keepalived takes any, and sends 255, or 64 by IPv6\n",
        ),
        (
            "unicast_ttl 9",
            "min_ttl = 9   # `unicast_ttl` of keepalived\n",
        ),
        ("unicast_ttl 200", "min_ttl = 64   # keepalived takes any"),
        (
            "unicast_peer {\n10.0.1.8 min_ttl 250\n}",
            "min_ttl = 250   # as keepalived\n",
        ),
    ] {
        let import = imported(&instance(
            "a",
            1,
            &format!("{lines}\nunicast_peer {{\n10.0.1.9\n}}"),
        ));
        let vrrp = &import.texts["plugins/vrrp.toml"];
        assert!(vrrp.contains(expected), "{lines}: {vrrp}");
    }
}

#[test]
fn the_priority_of_the_other_node_is_guessed_by_state_and_default() {
    for (lines, other) in [
        ("state MASTER\npriority 50", 1),
        ("state BACKUP\npriority 150", 200),
        ("priority 50", 100),
        ("priority 99", 149),
        ("priority 150", 100),
        ("", 50),
    ] {
        let import = imported(&instance("a", 1, lines));
        let vrrp = &import.texts["plugins/vrrp.toml"];
        assert!(
            vrrp.contains(&format!("r2 = {other} }}")),
            "{lines}: {vrrp}"
        );
        assert!(told(&import).contains("it is guessed, 50 below with"));
    }
}

#[test]
fn notify_at_the_end_of_keepalived_is_told() {
    let list = told(&imported(&instance("a", 1, "notify /n")));
    assert!(
        list.contains("notify: keepalived calls it with STOP, too"),
        "{list}"
    );
}

/// Two instances that watch the interface of each other are the oldest form of a sync group.
#[test]
fn the_interface_of_another_group_is_a_check() {
    for (lines, weight, moves) in [
        ("track_interface {\neth2\n}", -253, false),
        ("track_interface {\neth2 weight -80\n}", -80, false),
        // not for the group of eth2 either
        (
            "track_interface {\neth2\n}\ndont_track_primary",
            -253,
            false,
        ),
    ] {
        let import = imported(&(instance("a", 1, lines) + &instance("b", 2, "")));
        let health = &import.texts["plugins/health.toml"];
        let check = format!("[[interface]]\nname = \"eth2\"\nweight = {weight}\n");
        assert!(health.contains(&check), "{health}");
        // b loses its role by its own interface in any case
        assert_eq!(told(&import).contains("and moves b"), moves);
    }
    let blind = instance("b", 2, "dont_track_primary");
    let import = imported(&(instance("a", 1, "track_interface {\neth2\n}") + &blind));
    assert!(told(&import).contains("and moves b, too"));
}

#[test]
fn what_is_not_tracked_has_no_weight() {
    let lines = "virtual_routes {\n10.7.0.0/16 via 10.0.7.9 dev eth7 no_track\n10.8.0.0/16 via 10.0.1.9 no_track\n}\n\
                 virtual_ipaddress_excluded {\n10.6.0.1/24 dev eth6 no_track\n}\n\
                 track_interface {\neth6\neth7\n}\nvirtual_rules {\nfrom 10.0.0.0/8 table 9 priority 5 no_track\n}";
    let text = instance("a", 1, lines);
    let import = imported(&text);
    let vrrp = &import.texts["plugins/vrrp.toml"];
    for table in [
        "addresses = [\"10.6.0.1/24\"]\nweight = 0\n",
        "interface = \"eth7\"\nweight = 0\n",
    ] {
        assert!(vrrp.contains(table), "{table}: {vrrp}");
    }
    assert_eq!(vrrp.matches("weight = 0").count(), 2, "{vrrp}");
    assert!(!told(&import).contains("no_track"), "{}", told(&import));
    // what is tracked by its own line is a check
    let health = &import.texts["plugins/health.toml"];
    assert_eq!(health.matches("[[interface]]").count(), 2, "{health}");
}

#[test]
fn the_weight_of_an_interface_of_a_group_is_in_the_files_or_told() {
    let text = format!(
        "{}{}",
        instance(
            "a",
            1,
            "track_interface {\neth1 weight 2\neth2 weight -80\neth9 weight -3\n}\nvirtual_routes {\n10.9.0.0/16 dev eth2\n}"
        ),
        instance("b", 2, "")
    );
    let import = imported(&text);
    assert_eq!(outcome(&import, &text, "eth1 weight 2"), Outcome::Needless);
    // keepalived tracks the interfaces of routes, and knows no weight of them
    assert_eq!(
        outcome(&import, &text, "eth2 weight -80"),
        Outcome::Needless
    );
    assert_eq!(
        outcome(&import, &text, "eth9 weight -3"),
        Outcome::Translated
    );
}

#[test]
fn numbers_of_a_file_that_moved_no_role_are_named() {
    let text = format!(
        "track_file drain {{\nfile /d\nweight -20\n}}\n{}",
        instance("a", 1, "state MASTER\npriority 150\ntrack_file {\ndrain\n}")
    );
    let list = told(&of_with(&text, true).expect("readable"));
    assert!(
        list.contains("numbers up to 2 in the file take fewer points off"),
        "{list}"
    );
    assert!(list.contains("`best = 2` in plugins/health.toml"), "{list}");
    assert!(!list.contains("`weight = 0`"), "{list}");
}

#[test]
fn braces_count_as_the_block_that_they_close() {
    let text = instance("a", 1, "")
        + "virtual_server 10.0.1.1 80\n{\nreal_server 10.0.0.8 80 {\nweight 1\n} \n}   \n";
    let import = imported(&text);
    for line in ["{", "} ", "}   "] {
        assert_eq!(outcome(&import, &text, line), Outcome::Listed, "{line}");
    }
}

#[test]
fn only_lines_of_another_node_are_for_another_node() {
    let import = imported(&instance(
        "a",
        1,
        "@r1 priority 200\n@r2 priority 100\n@r3 priority 50\n@^r1 nopreempt",
    ));
    let reasons = import.sources.reasons().filter(|it| it.0 == "@");
    let lines: Vec<usize> = reasons.flat_map(|it| it.2).map(|it| it.line).collect();
    assert_eq!(lines, [9]);
}
