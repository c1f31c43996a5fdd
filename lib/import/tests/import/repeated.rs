//! Words that are repeated, and definitions below their use, as keepalived 2.2.7 counts them.

use spared_import::Import;

use crate::common::{items, of};

/// An instance on an interface and with a VRID of its own, with these lines.
fn instance(name: &str, number: u8, lines: &str) -> String {
    format!(
        "vrrp_instance {name} {{\ninterface eth{number}\nvirtual_router_id {number}\nvirtual_ipaddress {{\n10.0.{number}.1\n}}\n{lines}\n}}\n"
    )
}

fn imported(text: &str) -> Import {
    of(text).expect("readable")
}

fn told(import: &Import) -> String {
    items(import).join("\n")
}

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
    for block in ["vrrp_instance a", "vrrp_script s"] {
        let expected =
            format!("{block}: it is defined already: keepalived ignores all of this one");
        assert!(list.contains(&expected), "{expected} is not in {list}");
    }
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
    assert_eq!(
        list.matches("the definition is further down").count(),
        3,
        "{list}"
    );
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
