//! Lines that keepalived 2.2.7 counts once, ignores or drops: words that are repeated, definitions below their use,
//! values of no effect.

use crate::common::{imported, instance, of_nodes, told};

#[test]
fn of_doubled_words_keepalived_takes_the_first_or_the_last() {
    let text = format!(
        "vrrp_script s {{\nscript /one\nweight -20\n}}\nvrrp_script s {{\nscript /two\n}}\n{}{}",
        instance(
            "a",
            1,
            "priority 120\npriority 130\nnotify_master /first\nnotify_master /second\ntrack_script {\ns\n}"
        ),
        instance("a", 2, "")
    );
    let import = imported(&text);
    let vrrp = &import.texts["plugins/vrrp.toml"];
    assert!(
        vrrp.contains("r1 = 130") && vrrp.contains("\"eth1\""),
        "{vrrp}"
    );
    assert!(!vrrp.contains("eth2"), "{vrrp}");
    assert!(import.texts["plugins/health.toml"].contains("/one"));
    let hook = &import.texts["hooks/active.d/50-a-notify_master"];
    assert!(
        hook.contains("/first") && !hook.contains("/second"),
        "{hook}"
    );
    let list = told(&import);
    let expected = "vrrp_instance a, vrrp_script s: it is defined already: keepalived ignores all";
    assert!(list.contains(expected), "{expected} is not in {list}");
    let reasons: Vec<_> = import.sources.reasons().collect();
    let is_told =
        |word: &str, why: &str| reasons.iter().any(|it| it.0 == word && it.1.contains(why));
    assert!(is_told("notify_master", "an earlier line"), "{reasons:?}");
    assert!(is_told("priority", "a later line"), "{reasons:?}");
}

#[test]
fn a_check_that_is_defined_after_its_use_is_ignored() {
    let lists = "track_script {\ns\n}\ntrack_file {\nf\n}\ntrack_process {\np\n}";
    let checks = "vrrp_script s {\nscript /s\n}\ntrack_file f {\nfile /f\n}\nvrrp_track_process p {\nprocess p\n}\n";
    let after = instance("a", 1, lists) + checks;
    let import = imported(&after);
    assert!(!import.texts.contains_key("plugins/health.toml"));
    let list = told(&import);
    let expected = "f, p, s: the definition is further down";
    assert!(list.contains(expected), "{expected} is not in {list}");
    let before = checks.to_owned() + &instance("a", 1, lists);
    let import = imported(&before);
    assert_eq!(
        import.texts["plugins/health.toml"]
            .matches("name = ")
            .count(),
        3
    );
    // two names in a line are no entry
    let import = imported(&(checks.to_owned() + &instance("a", 1, "track_script { s t }")));
    assert!(!import.texts.contains_key("plugins/health.toml"));
    assert!(told(&import).contains("s t: a line has one name and its weight: keepalived ignores"));
}

#[test]
fn values_that_change_nothing_need_no_counterpart() {
    let text = "global_defs {\nvrrp_mcast_group4 224.0.0.18\nvrrp_mcast_group6 ff02::12\nsmtp_alert false\n}\n".to_owned()
        + "vrrp_track_process p {\nprocess x\nquorum 1\n}\n"
        + &instance("a", 1, "track_process {\np\n}");
    let import = imported(&text);
    let reasons: Vec<&str> = import.sources.reasons().map(|it| it.0).collect();
    for word in [
        "vrrp_mcast_group4",
        "vrrp_mcast_group6",
        "smtp_alert",
        "quorum",
    ] {
        assert!(reasons.contains(&word), "{word}: {reasons:?}");
    }
    let other = imported(&text.replace("224.0.0.18", "224.0.0.19"));
    let mut steps = other.steps.iter().flat_map(|it| &it.commands);
    assert!(steps.any(|it| it.contains("take the line `vrrp_mcast_group4 224.0.0.19` out")));
}

#[test]
fn an_interval_that_keepalived_ignores_is_its_default() {
    for value in ["0", "0.001", "300", "x"] {
        let import = imported(&instance("a", 1, &format!("version 3\nadvert_int {value}")));
        assert!(import.texts["plugins/vrrp.toml"].contains("advert_interval = \"1s\""));
        assert!(told(&import).contains("keepalived ignores it, as it is not 0.01 to 255"));
    }
}

#[test]
fn lines_of_a_definition_that_are_a_block_are_not_listed() {
    let text = "$AUTH= \\\nauthentication { \\\nauth_type PASS \\\nauth_pass x \\\n}\n".to_owned()
        + &instance("a", 1, "$AUTH");
    let import = imported(&text);
    assert!(import.texts["plugins/vrrp.toml"].contains("auth_pass = \"x\""));
    assert!(
        !told(&import).contains("not understood"),
        "{}",
        told(&import)
    );
}

#[test]
fn rules_and_routes_that_keepalived_drops_are_in_no_file() {
    let lines = "virtual_rules {\nfrom 10.0.0.0/8 table 9 pref 5\nto 10.0.0./24 table 9\nfrom 10.0.0.0/8 tos 16 table 9\nfrom 10.2.0.0/16 table 9\n\
                 inet6 from all table 9 priority 7\n}\n\
                 virtual_routes {\n10.7.0.0/16 via 10.0.1.9 proto static\n10.8.0.0/16 via 10.0.1.9 pref high\n}";
    let import = imported(&instance("a", 1, lines));
    let vrrp = &import.texts["plugins/vrrp.toml"];
    assert_eq!(vrrp.matches("[[group.rule]]").count(), 1, "{vrrp}");
    // the one with tos has 16384 there
    assert!(vrrp.contains("priority = 16383"), "{vrrp}");
    assert!(!vrrp.contains("[[group.route]]"), "{vrrp}");
    let list = told(&import);
    for expected in [
        "`pref` is no word of keepalived: keepalived drops the rule",
        "10.0.0./24 is no address: keepalived drops the rule",
        "keepalived does not know proto here and drops the route",
        "keepalived does not know pref here and drops the route",
        "all is no address: keepalived drops the rule",
    ] {
        assert!(list.contains(expected), "{expected} is not in {list}");
    }
}

#[test]
fn an_option_of_a_route_takes_its_own_words_alone() {
    for option in [
        "mtu 1400",
        "mtu lock 1400",
        "advmss lock 1300",
        "rttvar lock 5ms",
        "prepend",
    ] {
        let route = format!("10.7.0.0/16 {option} via 10.0.1.9 {option} table 100");
        let import = imported(&instance(
            "a",
            1,
            &format!("virtual_routes {{\n{route}\n}}"),
        ));
        let vrrp = &import.texts["plugins/vrrp.toml"];
        let expected = "destination = \"10.7.0.0/16\"\ngateway = \"10.0.1.9\"\ntable = 100\n";
        assert!(vrrp.contains(expected), "{option}: {vrrp}");
        let word = option.split(' ').next().unwrap_or_default();
        let list = told(&import);
        assert!(list.contains(&format!("{word} of a route")), "{list}");
        assert!(!list.contains("lock of a route"), "{list}");
    }
}

#[test]
fn an_address_with_a_peer_has_no_prefix_and_a_rule_may_be_from_any() {
    let lines = "virtual_ipaddress_excluded {\n10.0.1.8/24 peer 10.0.1.9\n}\nvirtual_rules {\nfrom any table 9 priority 6\n}";
    let vrrp = &imported(&instance("a", 1, lines)).texts["plugins/vrrp.toml"];
    assert!(vrrp.contains("unadvertised = [\"10.0.1.8/32\"]"), "{vrrp}");
    assert!(
        vrrp.contains("[[group.rule]]\ntable = 9\npriority = 6\n"),
        "{vrrp}"
    );
}

#[test]
fn a_sync_group_without_instances_is_listed_as_a_whole() {
    let import = imported(&("vrrp_sync_group g {\na\n}\n".to_owned() + &instance("a", 1, "")));
    let list = told(&import);
    assert!(
        list.contains("a:1, a:2, a:3: vrrp_sync_group g: none of its instances is translated"),
        "{list}"
    );
}

#[test]
fn files_of_one_name_are_told_with_their_folders() {
    let text = instance("a", 1, "wrong");
    let files = [
        ("/k/1/a.conf", text.as_str()),
        ("/k/2/a.conf", text.as_str()),
    ];
    let import = of_nodes(&files, [files[0].0, files[1].0], false).expect("readable");
    assert!(
        told(&import).contains("/k/1/a.conf:7, /k/2/a.conf:7: wrong"),
        "{}",
        told(&import)
    );
}
