//! Priorities and strict mode, as keepalived 2.2.7 understands them.

use spared_import::{Import, Step};

use crate::common::{of, of_two, of_with, told};

fn instance(lines: &str) -> String {
    format!(
        "vrrp_instance a {{\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress {{\n10.0.0.1\n}}\n{lines}\n}}\n"
    )
}

fn vrrp(import: &Import) -> &str {
    &import.texts["plugins/vrrp.toml"]
}

fn edits(import: &Import) -> Option<&Step> {
    let mut steps = import.steps.iter();
    steps.find(|it| it.what.contains("change keepalived.conf"))
}

const STRICT: &str = "global_defs {\nvrrp_strict\n}\n";
const SECRET: &str = "authentication {\nauth_type PASS\nauth_pass 1111\n}";

#[test]
fn strict_mode_has_no_password_and_no_master_but_the_owner() {
    let import = of(&(STRICT.to_owned() + &instance(SECRET))).expect("readable");
    assert!(!vrrp(&import).contains("auth_pass"), "{}", vrrp(&import));
    let mut reasons = import.sources.reasons();
    assert!(
        reasons
            .any(|it| it.0 == "auth_pass" && it.1.contains("ignores it in strict mode, and sends")),
        "a reason"
    );
    // nopreempt stays where MASTER is taken for BACKUP
    for (top, priority, prefers) in [(STRICT, 150, false), (STRICT, 255, true), ("", 150, true)] {
        let lines = format!("state MASTER\npriority {priority}\nnopreempt");
        let text = top.to_owned() + &instance(&lines);
        let import = of_with(&text, true).expect("readable");
        assert_eq!(vrrp(&import).contains("prefer"), prefers, "{text}");
        let list = told(&import);
        let is_taken = list.contains("state MASTER: keepalived takes it for BACKUP in strict mode");
        assert_eq!(is_taken, !prefers, "{list}");
        assert_eq!(list.contains("keepalived clears it"), prefers, "{list}");
    }
    let text = STRICT.to_owned() + &instance("preempt_delay 9\ndown_timer_adverts 5");
    let list = told(&of(&text).expect("readable"));
    let expected = "down_timer_adverts 5, preempt_delay 9: keepalived ignores it in strict mode";
    assert!(list.contains(expected), "{expected} is not in {list}");
    let text = STRICT.to_owned() + &instance("priority 255");
    let list = told(&of(&text).expect("readable"));
    assert!(list.contains("strict mode at priority 255"), "{list}");
    let import = of_two(&(STRICT.to_owned() + &instance("")), &instance(""));
    assert!(told(&import).contains("strict mode: r1 is strict, and r2 is not"));
}

#[test]
fn a_priority_that_no_claim_takes_is_lowered_on_keepalived_first() {
    let two = |one: &str, two: &str| of_two(&instance(one), &instance(two));
    for (one, other, written, lines) in [
        (
            "priority 255",
            "priority 100",
            "{ r1 = 250, r2 = 100 }",
            vec!["# r1: vrrp_instance a gets `priority 250`, in place of 255"],
        ),
        (
            "state MASTER",
            "state BACKUP",
            "{ r1 = 250, r2 = 100 }",
            vec![
                "# r1: vrrp_instance a gets `priority 250`, which it does not have: with `state MASTER` that is 255",
            ],
        ),
        (
            "priority 254",
            "priority 253",
            "{ r1 = 253, r2 = 252 }",
            vec![
                "# r2: vrrp_instance a gets `priority 252`, in place of 253",
                "# r1: vrrp_instance a gets `priority 253`, in place of 254",
            ],
        ),
        (
            "priority 253",
            "priority 100",
            "{ r1 = 253, r2 = 100 }",
            vec![],
        ),
    ] {
        let import = two(one, other);
        assert!(vrrp(&import).contains(written), "{one}: {}", vrrp(&import));
        let mut commands = edits(&import).map_or(Vec::new(), |it| it.commands.clone());
        assert_eq!(commands.pop().is_some(), !lines.is_empty(), "{one}");
        assert_eq!(commands, lines, "{one}");
        assert_eq!(
            told(&import).contains("spared takes a role at priority 254"),
            !lines.is_empty()
        );
    }
}

#[test]
fn weights_that_reach_254_lower_both_nodes_alike() {
    let text = |priority: u8| {
        let track = "track_script {\ns\n}";
        format!(
            "vrrp_script s {{\nscript /s\nweight 30\n}}\n{}",
            instance(&format!("priority {priority}\n{track}"))
        )
    };
    // 240 without the check is more than 230 with it, in keepalived and in the files
    let import = of_two(&text(240), &text(200));
    assert!(
        vrrp(&import).contains("{ r1 = 253, r2 = 213 }"),
        "{}",
        vrrp(&import)
    );
    let step = edits(&import).expect("a step");
    assert_eq!(
        step.commands,
        [
            "# r2: vrrp_instance a gets `priority 183`, in place of 200",
            "# r1: vrrp_instance a gets `priority 223`, in place of 240",
            "systemctl reload keepalived"
        ]
    );
    // two nodes of spared have none
    assert!(!told(&of_with(&text(240), true).expect("readable")).contains("spared takes a role"));
}

#[test]
fn an_owner_stays_one_and_no_step_begins() {
    let own = instance("priority 255\nunicast_src_ip 10.0.0.1\nunicast_peer {\n10.0.0.2\n}");
    let other = instance("priority 100\nunicast_src_ip 10.0.0.2\nunicast_peer {\n10.0.0.1\n}");
    let import = of_two(&own, &other);
    assert!(
        vrrp(&import).contains("{ r1 = 255, r2 = 100 }"),
        "{}",
        vrrp(&import)
    );
    assert!(import.steps.is_empty(), "{:?}", import.steps);
    assert!(
        import.obstacles[0].starts_with("r1 owns 10.0.0.1 (priority 255"),
        "{:?}",
        import.obstacles
    );
}
