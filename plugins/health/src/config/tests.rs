use spared_sdk::config::Config;

use super::*;

/// Faults of `text`, as "key: why".
fn faults(text: &str) -> Vec<String> {
    let config = Config::parse(text, "r1", &["r1".to_owned(), "r2".to_owned()]).expect("TOML");
    let _ = read(&config);
    let faults = config.finish().expect_err("there is a fault");
    faults
        .iter()
        .map(|fault| format!("{}: {}", fault.key, fault.why))
        .collect()
}

fn settings(text: &str) -> Settings {
    let config = Config::parse(text, "r1", &["r1".to_owned(), "r2".to_owned()]).expect("TOML");
    let settings = read(&config);
    assert_eq!(config.finish(), Ok(()));
    settings.expect("no fault")
}

#[test]
fn the_file_of_a_dial_up_pair_is_read() {
    let settings = settings(
        "[[interface]]\nname = \"lan1\"\n\
         [[ping]]\nname = \"internet\"\ntargets = [\"9.9.9.9\", \"2620:fe::fe\"]\nonly = \"active\"\n",
    );
    let [lan1, internet] = &settings.checks[..] else {
        panic!("{settings:?}");
    };
    assert_eq!(
        (lan1.name.as_str(), lan1.weight),
        ("lan1", Weight::Share(100))
    );
    assert_eq!(internet.only, Some(Only { group: None }));
    let Kind::Ping(ping) = &internet.kind else {
        panic!("{internet:?}");
    };
    assert_eq!(
        (ping.targets.len(), ping.need, ping.loss),
        (2, Need::Any, None)
    );
    assert_eq!((internet.timing.rise, internet.timing.fall), (2, 3));
}

#[test]
fn every_kind_is_read_with_its_defaults() {
    let settings = settings(
        "[[interface]]\nname = { r1 = \"bond0\", r2 = \"bond1\" }\nmembers = \"each\"\n\
         [[tcp]]\nname = \"web\"\naddress = \"[2001:db8::1]:443\"\nweight = 0\n\
         [[unit]]\nunit = \"unbound.service\"\n\
         [[process]]\nprocess = \"dnsmasq\"\n\
         [[process]]\npid_file = \"/run/x.pid\"\n\
         [[script]]\nname = \"dsl\"\nargv = [\"/opt/checks/dsl\", \"-v\"]\nstate = \"output\"\n\
         [[file]]\nname = \"flag\"\npath = \"/srv/flag\"\nequals = \"up\"\nmax_age = \"5m\"\n\
         [[disk]]\npath = \"/\"\nmin_free = \"5%\"\n\
         [[read_only]]\npath = \"/var\"\n\
         [[sensor]]\nkind = \"temperature\"\nmax = 90\n\
         [[smart]]\npath = \"/var/lib/smartmontools\"\nweight = 9999\n",
    );
    let names: Vec<&str> = settings
        .checks
        .iter()
        .map(|check| check.name.as_str())
        .collect();
    let wanted = [
        "bond0",
        "web",
        "unbound.service",
        "dnsmasq",
        "/run/x.pid",
        "dsl",
        "flag",
        "disk:/",
        "read-only:/var",
        "temperature",
        "smart",
    ];
    assert_eq!(names, wanted);
    let files: Vec<&str> = settings
        .files()
        .iter()
        .filter_map(|path| path.to_str())
        .collect();
    let wanted = [
        "/opt/checks/dsl",
        "/run/x.pid",
        "/srv/flag",
        "/var/lib/smartmontools",
    ];
    assert_eq!(files, wanted);
}

#[test]
fn what_would_move_along_with_the_role_is_shown_and_weighs_nothing() {
    let settings = settings(
        "[[conntrack]]\n\
         [[pressure]]\nkind = \"cpu\"\n\
         [[pressure]]\nkind = \"memory\"\nweight = 7\n\
         [[route]]\nto = \"2001:db8::1\"\nprotocol = \"186\"\n",
    );
    let checks = settings.checks.into_iter();
    let checks: Vec<_> = checks
        .map(|it| (it.name, it.weight.share(), it.kind))
        .collect();
    let pressure = |resource, max| Kind::Pressure(Pressure { resource, max });
    let route = Kind::Route(Route {
        to: "2001:db8::1".parse().expect("an address"),
        protocol: "bgp".parse().ok(),
    });
    let wanted = [
        ("conntrack", 0, Kind::Conntrack { max_used: 90 }),
        ("pressure:cpu", 0, pressure(Resource::Cpu, 90)),
        ("pressure:memory", 7, pressure(Resource::Memory, 20)),
        ("route:2001:db8::1", 100, route),
    ];
    assert_eq!(
        checks,
        wanted.map(|(name, weight, kind)| (name.to_owned(), weight, kind))
    );
    assert_eq!(
        faults("[[route]]\nto = \"127.0.0.1\"\nprotocol = \"BGP\"\n").len(),
        2
    );
}

#[test]
fn a_negative_weight_is_a_number_of_points() {
    let settings = settings(
        "[[unit]]\nunit = \"a\"\nweight = -20\nreverse = true\n\
         [[number]]\nname = \"up\"\npath = \"/run/up\"\nbest = -3\nworse = \"below\"\nweight = -253\n\
         [[number]]\nname = \"down\"\npath = \"/run/down\"\n",
    );
    let checks = settings.checks.iter();
    let read: Vec<_> = checks.map(|it| (it.weight, it.reverse)).collect();
    let wanted = [
        (Weight::Points(20), true),
        (Weight::Points(253), false),
        (Weight::Share(100), false),
    ];
    assert_eq!(read, wanted);
    let number = |path: &str, best, worse| {
        Kind::Number(Number {
            path: path.into(),
            best,
            worse,
        })
    };
    assert_eq!(settings.checks[1].kind, number("/run/up", -3, Worse::Below));
    assert_eq!(
        settings.checks[2].kind,
        number("/run/down", 0, Worse::Above)
    );
    assert!(settings.files().contains(std::path::Path::new("/run/up")));
    for (text, wanted) in [
        (
            "[[unit]]\nunit = \"a\"\nweight = -254\n",
            "unit.0.weight: found -254, allowed -253 to 9999",
        ),
        (
            "[[number]]\nname = \"a\"\npath = \"/a\"\nworse = \"up\"\n",
            "number.0.worse: found \"up\", allowed \"above\", \"below\"",
        ),
    ] {
        assert_eq!(faults(text), [wanted], "{text}");
    }
    let reversed = faults("[[number]]\nname = \"a\"\npath = \"/a\"\nreverse = true\n");
    assert!(
        reversed[0].starts_with("number.0.reverse: unknown key"),
        "{reversed:?}"
    );
}

#[test]
fn points_follow_the_state_or_the_number() {
    let points = Weight::Points(20);
    for (state, excess, expected) in [
        (0, None, 20),
        (100, None, 0),
        (50, None, 10),
        (0, Some(3), 60),
        (0, Some(u32::MAX), 253),
        (100, Some(0), 0),
    ] {
        assert_eq!(points.points(state, excess), expected, "{state} {excess:?}");
        assert_eq!(Weight::Share(20).points(state, excess), 0);
    }
}

#[test]
fn all_faults_are_found_at_once() {
    let found = faults(
        "[[ping]]\ntargets = [\"here\"]\nweight = 10000\nrise = 0\n\
         [[tcp]]\nname = \"a b\"\naddress = \"192.0.2.1\"\n\
         [[script]]\nname = \"s\"\nargv = [\"bin/check\"]\ntimeout = \"20s\"\n\
         [[disk]]\npath = \"/a/../etc\"\nmin_free = \"101%\"\n\
         [[sensor]]\nkind = \"sound\"\nloud = 1\n",
    );
    let keys: Vec<&str> = found
        .iter()
        .filter_map(|fault| fault.split(':').next())
        .collect();
    for key in [
        "ping.0.targets.0",
        "ping.0.weight",
        "ping.0.rise",
        "ping.0.name",
        "tcp.0.address",
        "tcp.0.name",
        "script.0.argv.0",
        "script.0.timeout",
        "disk.0.path",
        "disk.0.min_free",
        "sensor.0.kind",
        "sensor.0.loud",
    ] {
        assert!(keys.contains(&key), "{key} is missing: {found:#?}");
    }
    assert_eq!(found.len(), 12, "{found:#?}");
}

#[test]
fn rules_between_keys_are_told() {
    for (text, wanted) in [
        (
            "[[ping]]\nname = \"a\"\ntargets = [\"::1\"]\nwindow = 5\n",
            "ping.0.window: has an effect only with loss",
        ),
        (
            "[[ping]]\nname = \"a\"\ntargets = []\n",
            "ping.0.targets: found 0, allowed 1-16",
        ),
        (
            "[[tcp]]\nname = \"a\"\naddress = \"192.0.2.1:1\"\ntimeout = \"6s\"\n",
            "tcp.0.timeout: found \"6s\", allowed up to the interval, \"5s\"",
        ),
        (
            "[[process]]\nname = \"p\"\n",
            "process.0.process: missing: process or pid_file",
        ),
        (
            "[[process]]\nprocess = \"p\"\npid_file = \"/run/p\"\n",
            "process.0.pid_file: process is given, too: one of them is enough",
        ),
        (
            "[[file]]\nname = \"f\"\npath = \"/f\"\nexists = false\nmax_age = \"1h\"\n",
            "file.0.exists: is false: there is no content or age to check",
        ),
        (
            "[[sensor]]\nkind = \"fan\"\nmax = 90\n",
            "sensor.0.max: has an effect only with kind = \"temperature\"",
        ),
        (
            "[[interface]]\nname = \"e1\"\ngroup = \"office\"\n",
            "interface.0.group: has an effect only with only = \"active\"",
        ),
        (
            "[[interface]]\nname = \"e1\"\n[[unit]]\nunit = \"e1\"\n",
            "unit.0.name: another check is named \"e1\" already",
        ),
        (
            "[[interface]]\nname = \"e1\"\nrise = 3\n",
            "interface.0.rise: unknown key, allowed: down_delay, enabled, group, interval, members, \
             name, only, reverse, up_delay, weight",
        ),
        (
            "[[unit]]\nunit = \"x/y\"\n",
            "unit.0.unit: found \"x/y\", allowed is a unit's name",
        ),
    ] {
        assert_eq!(faults(text), [wanted], "{text}");
    }
}

#[test]
fn a_check_that_is_not_enabled_is_read_and_left_out() {
    let text = "[[unit]]\nunit = \"a\"\nenabled = false\n[[unit]]\nunit = \"b\"\n";
    let checks = settings(text).checks;
    assert_eq!(checks.len(), 1);
    assert_eq!(checks[0].name, "b");
    assert!(!faults("[[unit]]\nunit = \"\"\nenabled = false\n").is_empty());
}

#[test]
fn more_checks_than_the_host_takes_are_refused() {
    let text: String = (0..257)
        .map(|n| format!("[[unit]]\nunit = \"u{n}\"\n"))
        .collect();
    assert_eq!(faults(&text), [": found 257 checks, allowed 256"]);
}

#[test]
fn amounts_are_shares_or_bytes() {
    for (text, wanted) in [
        ("10%", Ok(Amount::Percent(10))),
        ("512", Ok(Amount::Bytes(512))),
        ("2G", Ok(Amount::Bytes(2 << 30))),
        ("500M", Ok(Amount::Bytes(500 << 20))),
        ("101%", Err(())),
        ("", Err(())),
        ("-1", Err(())),
        ("2X", Err(())),
        ("99999999999T", Err(())),
    ] {
        assert_eq!(text.parse::<Amount>(), wanted, "{text:?}");
    }
}
