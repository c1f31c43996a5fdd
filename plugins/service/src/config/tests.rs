//! Allowed contents of the file, and the faults of others.

use spared_sdk::config::Config;

use super::*;

fn read_ok(text: &str) -> Settings {
    let config = Config::parse(text, "r1", &[]).expect("TOML");
    let settings = read(&config);
    assert_eq!(config.finish(), Ok(()));
    settings.expect("no fault")
}

fn faults(text: &str) -> Vec<String> {
    let config = Config::parse(text, "r1", &[]).expect("TOML");
    let _ = read(&config);
    let faults = config.finish().err().unwrap_or_default();
    let text = |fault: &spared_sdk::config::Failure| format!("{}: {}", fault.key, fault.why);
    faults.iter().map(text).collect()
}

fn wishes(settings: &Settings, name: &str) -> ByRole<Wish> {
    let item = settings.items.iter().find(|item| item.name == name);
    match &item.expect("it is there").kind {
        Kind::Service { wishes, .. } => wishes.clone(),
        other => panic!("{name} is {other:?}"),
    }
}

#[test]
fn an_empty_file_has_the_defaults() {
    let node = "r1".to_owned();
    let defaults = Settings {
        node,
        ..Settings::default()
    };
    assert_eq!(read_ok(""), defaults);
}

#[test]
fn units_run_while_active_and_fault_is_as_backup() {
    let settings = read_ok(
        "[[service]]\nunits = [\"squid.service\", \"kea\"]\n[[service]]\nunits = [\"x\"]\n\
         while_active = \"leave\"\nwhile_backup = [\"/bin/x\", \"y\"]\nneeded = true\n",
    );
    let names: Vec<&str> = settings.items.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["squid", "kea", "x"]);
    let squid = wishes(&settings, "squid");
    assert_eq!(
        (squid.active, squid.backup, squid.fault),
        (Wish::Start, Wish::Stop, Wish::Stop)
    );
    let command = Wish::Run(vec!["/bin/x".to_owned(), "y".to_owned()]);
    assert_eq!(wishes(&settings, "x").fault, command);
    assert_eq!(settings.items[2].needed, Some(100));
    assert!(settings.has_units());
}

#[test]
fn the_order_of_kinds_is_that_of_a_way_in() {
    let settings = read_ok(
        "[[service]]\nunits = [\"s\"]\n\
         [[route]]\nwhile = \"backup\"\nto = \"default\"\nvia = \"192.0.2.1\"\n\
         [[file]]\npath = \"/etc/resolv.conf\"\nwhile_backup = \"/etc/spared/r\"\n\
         [[nftables]]\nwhile_active = \"/etc/spared/a.nft\"\n\
         [[sysctl]]\nkey = \"net.ipv4.ip_forward\"\nwhile_active = \"1\"\n\
         [[interface]]\nname = \"wan0\"\n",
    );
    let names: Vec<&str> = settings.items.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "interface.wan0",
            "sysctl.net.ipv4.ip_forward",
            "nftables.1",
            "file./etc/resolv.conf",
            "route.1",
            "s"
        ]
    );
}

#[test]
fn a_unit_named_twice_is_a_fault() {
    let found = faults("[[service]]\nunits = [\"a\"]\n[[service]]\nunits = [\"a.service\"]\n");
    assert_eq!(found, ["service.1: \"a\" is named twice"]);
}

#[test]
fn relative_paths_and_shell_words_are_faults() {
    let found = faults(
        "hooks = \"hooks\"\n[[service]]\nname = \"p\"\nstart = [\"p\"]\nstop = [\"/bin/../p\"]\n\
         [[nftables]]\nwhile_active = \"a.nft\"\n",
    );
    let allowed = "allowed is an absolute path without \"..\"";
    assert_eq!(
        found,
        [
            format!("hooks: found \"hooks\", {allowed}"),
            format!("nftables.0.while_active: found \"a.nft\", {allowed}"),
            format!("service.0.start.0: found \"p\", {allowed}"),
            format!("service.0.stop.0: found \"/bin/../p\", {allowed}"),
        ]
    );
}

#[test]
fn hooks_have_a_user() {
    assert_eq!(read_ok("").hook_user, None);
    let named = read_ok("hook_user = \"keepalived_script\"\n").hook_user;
    assert_eq!(named.as_deref(), Some("keepalived_script"));
    let allowed = "allowed up to 64 letters, digits and signs, no space";
    assert_eq!(
        faults("hook_user = \"a b\"\n"),
        [format!("hook_user: found \"a b\", {allowed}")]
    );
}

#[test]
fn faults_name_the_key_and_what_is_allowed() {
    let found = faults(
        "notify = \"vrrp\"\npoll_interval = \"1ms\"\n[[service]]\nunits = [\"a/b\"]\n\
         while_active = \"run\"\nweight = 5\n[[service]]\ntimeout = \"5\"\n\
         [maintenance]\nkeep = [\"unbound\"]\n",
    );
    assert_eq!(
        found,
        [
            "poll_interval: found \"1ms\", allowed \"1s\" to \"1h\"",
            "notify: found \"vrrp\", allowed \"spared\", \"keepalived\"",
            "service.0.units.0: found \"a/b\", allowed is a unit's name",
            "service.0.while_active: found \"run\", allowed \"start\", \"stop\", \"leave\", \
             \"reload\" or a command: [\"/path\", \"word\"]",
            "service.0.weight: has an effect only with needed = true",
            "service.1.timeout: found \"5\", allowed \"100ms\" to \"1h\"",
            "service.1.units: missing",
            "maintenance.keep.0: \"unbound\" is not a unit or name of a [[service]]",
        ]
    );
}

#[test]
fn unknown_keys_are_faults_in_every_table() {
    for table in [
        "service",
        "interface",
        "sysctl",
        "nftables",
        "route",
        "file",
    ] {
        let found = faults(&format!("[[{table}]]\nzz = 1\n"));
        let unknown = format!("{table}.0.zz: unknown key");
        assert!(found.iter().any(|it| it.starts_with(&unknown)), "{found:?}");
    }
}

#[test]
fn commands_need_a_name_and_a_reload_that_is_wished() {
    let found = faults("[[service]]\nunits = [\"a\"]\nstart = [\"/bin/a\"]\n");
    assert_eq!(
        found,
        ["service.0.start: has an effect only with a name, not with units"]
    );
    let found = faults(
        "[[service]]\nname = \"p\"\nstart = [\"/p\"]\nstop = [\"/p\"]\nwhile_backup = \"reload\"\n",
    );
    assert_eq!(found, ["service.0.reload: missing: a role needs a reload"]);
}

#[test]
fn routes_are_networks_with_a_way() {
    let route = |keys: &str| faults(&format!("[[route]]\nwhile = \"backup\"\n{keys}"));
    let none: [&str; 0] = [];
    assert_eq!(route("to = \"::/0\"\ninterface = \"lan\"\n"), none);
    assert_eq!(route("to = \"192.0.2.7\"\nvia = \"192.0.2.1\"\n"), none);
    assert_eq!(
        route("to = \"192.0.2.1/24\"\ninterface = \"lan\"\n"),
        [
            "route.0.to: found \"192.0.2.1/24\", allowed \"default\" or a network like \
          \"192.0.2.0/24\""
        ]
    );
    assert_eq!(
        route("to = \"2001:db8::/32\"\nvia = \"192.0.2.1\"\n"),
        ["route.0.via: 192.0.2.1 is not of the family of 2001:db8::"]
    );
    assert_eq!(
        route("to = \"default\"\ninterface = \"lan\"\n"),
        [
            "route.0.via: missing: without a gateway say which default, to = \"0.0.0.0/0\" or \
          \"::/0\""
        ]
    );
}

#[test]
fn an_interface_that_is_down_anyway_is_not_bounced() {
    let found = faults("[[interface]]\nname = \"lan\"\nbounce = \"1s\"\n");
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("interface.0.bounce: has an effect only"));
    let text = "[[interface]]\nname = \"lan\"\nwhile_backup = \"leave\"\nbounce = \"1s\"\n";
    let settings = read_ok(text);
    let Kind::Interface { bounce_ms, up, .. } = &settings.items[0].kind else {
        panic!("no interface");
    };
    assert_eq!((*bounce_ms, up.backup), (Some(1000), None));
}

#[test]
fn what_differs_by_node_takes_a_table() {
    let text = "[[interface]]\nname = { r1 = \"eth0\", r2 = \"eth1\" }\n\
                [[service]]\nunits = { r1 = [\"a\"], r2 = [\"b\"] }\n";
    assert_eq!(read_ok(text).items[1].name, "a");
}

#[test]
fn kept_services_are_named_by_unit_or_name() {
    let text = "[[service]]\nunits = [\"unbound.service\", \"squid\"]\n\
                [maintenance]\nkeep = [\"unbound\"]\n";
    let kept = read_ok(text)
        .items
        .iter()
        .map(|it| it.keep)
        .collect::<Vec<_>>();
    assert_eq!(kept, [true, false]);
}

#[test]
fn a_test_is_of_one_service_and_known_for_some_units() {
    let settings = read_ok(
        "[[service]]\nunits = [\"kea-dhcp4-server.service\", \"squid\"]\n[[service]]\nunits = [\"nginx\"]\n\
         test = [\"/usr/sbin/nginx\", \"-t\"]\n[[service]]\nunits = [\"dnsmasq\"]\ntest = []\n",
    );
    let tests: Vec<String> = settings.items.iter().map(|it| it.test.join(" ")).collect();
    let kea = "/usr/sbin/kea-dhcp4 -t /etc/kea/kea-dhcp4.conf";
    assert_eq!(tests, [kea, "", "/usr/sbin/nginx -t", ""]);
    assert_eq!(
        faults("[[service]]\nunits = [\"a\", \"b\"]\ntest = [\"/x\"]\n"),
        ["service.0.test: has an effect only with one unit: give each a table"]
    );
    let relative = faults("[[service]]\nunits = [\"a\"]\ntest = [\"nginx\", \"-t\"]\n");
    assert!(
        relative[0].starts_with("service.0.test.0: found \"nginx\""),
        "{relative:?}"
    );
}
