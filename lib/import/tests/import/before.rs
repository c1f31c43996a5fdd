//! Steps before the first node changes its program: edits of keepalived's files, and what keepalived has to stay for.

use spared_import::{Import, Step};

use crate::common::{imported, instance_with, names, request};

fn step<'i>(import: &'i Import, words: &str) -> &'i Step {
    let mut steps = import.steps.iter();
    let found = steps.find(|it| it.what.contains(words));
    found.unwrap_or_else(|| panic!("no step {words}: {:?}", import.steps))
}

#[test]
fn an_address_that_goes_with_its_second_line_is_put_back() {
    for (text, command) in [
        (
            instance_with("a", 1, "10.0.1.1/24\n10.0.1.2\n10.0.1.2 label eth1:1", ""),
            "ip -br address | grep -qwF 10.0.1.2 || ip address add 10.0.1.2/32 dev eth1",
        ),
        (
            instance_with("a", 1, "10.0.1.1/24 dev eth7 label eth7:x\n10.0.1.1/24", "")
                .replace("10.0.1.1/24 dev", "10.0.1.9\n10.0.1.1/24 dev"),
            "ip -br address | grep -qwF 10.0.1.1 || ip address add 10.0.1.1/24 dev eth7 label eth7:x",
        ),
        (
            instance_with("a", 1, "10.0.1.1", "use_vmac")
                + &instance_with("b", 2, "10.0.2.1\n10.0.1.1", ""),
            "ip -br address | grep -qwF 10.0.1.1 || ip address add 10.0.1.1/32 dev vrrp.1",
        ),
    ] {
        let import = imported(&text);
        let back = step(&import, "put an address back");
        assert_eq!(back.commands, [command]);
        let order = [
            "change keepalived.conf",
            "put an address back",
            "install spared",
        ];
        let places = order.map(|it| import.steps.iter().position(|step| step.what.contains(it)));
        assert!(places.is_sorted(), "{places:?}");
    }
}

#[test]
fn words_that_keep_both_programs_apart_go_first() {
    let text = instance_with("a", 1, "10.0.1.1", "use_vmac\nvmac_xmit_base")
        + &instance_with("b", 2, "10.0.2.1", "mcast_dst_ip 224.0.0.9");
    let import = imported(&text);
    let edit = step(&import, "change keepalived.conf");
    for line in [
        "# r1: take the line `vmac_xmit_base` out (a:8)",
        "# r2: take the line `mcast_dst_ip 224.0.0.9` out",
    ] {
        assert!(
            edit.commands.iter().any(|it| it.starts_with(line)),
            "{edit:?}"
        );
    }
    assert!(
        edit.then.contains("sends from another MAC address"),
        "{edit:?}"
    );
    assert!(edit.then.contains("within three `advert_int`"), "{edit:?}");
}

#[test]
fn keepalived_stays_for_blocks_that_only_it_has() {
    let text = "virtual_server 10.0.1.1 80 {\nreal_server 10.0.1.2 80 {\n}\n}\nstatic_ipaddress {\n10.0.1.7 dev eth1\n}\n".to_owned()
        + &instance_with("a", 1, "10.0.1.1", "");
    let import = imported(&text);
    step(
        &import,
        "goes on running on both nodes for its blocks static_ipaddress, virtual_server, global_defs",
    );
    let mut count = 0;
    for Step { commands, .. } in &import.steps {
        assert!(
            !commands
                .iter()
                .any(|it| it.contains("disable --now keepalived"))
        );
        let line = "# leave in keepalived.conf static_ipaddress, virtual_server, global_defs alone, and take all else out";
        if let Some(at) = commands.iter().position(|it| it.starts_with(line)) {
            assert!(commands[at - 1].starts_with("cp -n /etc/keepalived/keepalived.conf "));
            assert_eq!(commands[at + 1], "systemctl reload keepalived");
            count += 1;
        }
    }
    assert_eq!(count, 2);
    let both = &step(&import, "two nodes that run spared").commands[0];
    assert!(
        both.contains("--both /etc/keepalived/keepalived.conf.whole --peer"),
        "{both}"
    );
}

#[test]
fn nothing_begins_as_long_as_an_instance_would_end() {
    let others = [
        instance_with("b", 2, "10.0.2.1 dev lo", ""),
        "vrrp_instance b {\ninterface eth2\nvirtual_router_id 2\n}\n".to_owned(),
    ];
    for other in others {
        let import = imported(&(instance_with("a", 1, "10.0.1.1", "") + &other));
        assert!(import.steps.is_empty());
        assert!(
            import.obstacles[0].starts_with("b: not translated"),
            "{:?}",
            import.obstacles
        );
    }
    let of = |name: &str, number: u8, lines: &str| {
        instance_with(name, number, &format!("10.0.{number}.1"), lines)
    };
    let group = "vrrp_sync_group g { group { a b } }\n";
    let import = imported(&(group.to_owned() + &of("a", 1, "") + &of("b", 2, "version 3")));
    assert!(import.steps.is_empty());
    assert!(import.obstacles[0].starts_with("b: keepalived would refuse its adverts"));
    let import = imported("virtual_server 10.0.1.1 80 {\n}\n");
    assert!(import.steps.is_empty());
    assert!(import.obstacles[0].starts_with("no `vrrp_instance` is translated"));
}

#[test]
fn there_are_steps_or_a_reason_why_not() {
    for name in names() {
        let import =
            spared_import::import(&crate::common::Disk, &request(&name)).expect("readable");
        assert_ne!(
            import.steps.is_empty(),
            import.obstacles.is_empty(),
            "{name}"
        );
    }
}
