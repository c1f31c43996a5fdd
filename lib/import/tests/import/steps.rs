//! Steps: they begin with the node that is backup, and their commands can be copied.

use std::net::IpAddr;

use spared_import::{Here, Import, Step, import};

use crate::common::{Disk, instance, names, of_conntrackd, request};

const ADDRESS: &str = "192.0.2.5";

fn imported(name: &str, here: Option<Here>) -> Import {
    let mut request = request(name);
    request.here = here;
    import(&Disk, &request).unwrap_or_else(|fault| panic!("{name}: {fault}"))
}

/// This machine as a node, with the virtual address or without.
fn here(node: usize, is_active: bool, writes: bool) -> Option<Here> {
    let address: IpAddr = ADDRESS.parse().expect("an address");
    let address = Some((address, 24)).filter(|_| is_active);
    let addresses = address.into_iter().collect();
    Some(Here {
        node,
        addresses,
        writes,
    })
}

fn step<'i>(import: &'i Import, words: &str) -> &'i Step {
    let mut steps = import.steps.iter();
    let found = steps.find(|it| it.what.contains(words));
    found.unwrap_or_else(|| panic!("no step {words}: {:?}", import.steps))
}

#[test]
fn the_steps_begin_on_the_node_that_is_backup() {
    // r1 has the greater priority in all of them
    for name in ["gateway", "nopreempt", "masters-apart", "two-files"] {
        let begin = step(&imported(name, None), "in place of keepalived")
            .what
            .clone();
        assert!(begin.starts_with("on r2: "), "{name}: {begin}");
    }
    for (node, is_active, backup) in [
        (0, false, "r1"),
        (0, true, "r2"),
        (1, false, "r2"),
        (1, true, "r1"),
    ] {
        let import = imported("gateway", here(node, is_active, true));
        let begin = &step(&import, "in place of keepalived").what;
        assert!(begin.starts_with(&format!("on {backup}: ")), "{begin}");
        let first = &import.steps[0];
        assert_eq!(
            first.commands,
            [format!("ip -br address | grep -wF {ADDRESS}")]
        );
        let is_told = first.then.contains(if is_active {
            "has the address now"
        } else {
            "does not have"
        });
        assert!(is_told, "{}", first.then);
    }
}

#[test]
fn the_import_is_a_command_on_the_node_that_needs_it_and_overwrites_nothing() {
    let write = |here| step(&imported("nopreempt", here), "to do by hand").clone();
    let elsewhere = write(None);
    assert_eq!(
        elsewhere.commands,
        [
            "apt install ./spared_*.deb",
            "scp -r r1:/etc/keepalived /root/keepalived-r1",
            "sparectl import /etc/keepalived/keepalived.conf --peer /root/keepalived-r1/keepalived.conf --id r2 --id r1",
            "sparectl check"
        ]
    );
    assert!(elsewhere.then.contains("other-vrrp"), "{}", elsewhere.then);
    // here, as it was typed
    let own = |name: &str| format!("{}/{name}", crate::common::CONFIGS);
    let (one, two) = (own("nopreempt.conf"), own("nopreempt.peer.conf"));
    let again = format!("sparectl import {one} --peer {two} --id r1 --id r2");
    assert_eq!(
        write(here(0, false, false)).commands,
        [again.as_str(), "sparectl check"]
    );
    assert_eq!(write(here(0, false, true)).commands, ["sparectl check"]);
    let both = step(
        &imported("nopreempt", here(0, false, true)),
        "two nodes that run spared",
    )
    .clone();
    assert_eq!(
        both.commands,
        [again.replace("sparectl import", "sparectl import --both")]
    );
    // a file with lines for each node needs no second one
    let shared = imported("conditional", None);
    let commands = step(&shared, "to do by hand").commands.join("\n");
    assert!(
        !commands.contains("--peer") && !commands.contains("scp"),
        "{commands}"
    );
    for name in names() {
        for command in imported(&name, None)
            .steps
            .iter()
            .flat_map(|it| &it.commands)
        {
            assert!(
                !command.ends_with("/etc/keepalived/keepalived.conf"),
                "{command}"
            );
        }
    }
}

#[test]
fn placeholders_of_commands_are_explained() {
    let mut found = 0;
    for name in names() {
        for Step { commands, then, .. } in imported(&name, None).steps {
            let commands = commands.join(" ");
            let words = commands.split(|it: char| !it.is_ascii_alphanumeric());
            let placeholders = words.filter(|it| matches!(*it, "IF" | "LEN"));
            for word in placeholders {
                found += 1;
                assert!(then.contains(&format!("{word} is")), "{word}: {then}");
            }
        }
    }
    assert!(found > 40, "{found}");
}

#[test]
fn what_this_machine_knows_of_its_link_is_in_the_command() {
    let address = "10.9.9.2".parse().expect("an address");
    let here = |addresses| Here {
        node: 1,
        addresses,
        writes: true,
    };
    let file = "Sync {\nMode FTFW {\n}\nUDP {\nIPv4_address 10.9.9.2\nIPv4_Destination_Address 10.9.9.1\nInterface hot\n}\n}\n\
                General {\nFilter From Userspace {\nAddress Ignore {\nIPv4_address 10.9.9.2\n}\n}\n}\n";
    for (addresses, len, is_excluded) in [
        (Vec::new(), "LEN", true),
        (vec![(address, 29)], "29", false),
    ] {
        let keepalived = instance("a", 1, "");
        let import = of_conntrackd(
            &keepalived,
            file,
            Some(here(addresses.into_iter().collect())),
        );
        let commands = &step(&import, "write the link").commands;
        let expected =
            format!("sparectl init --link hot --link-addresses 10.9.9.2/{len},10.9.9.1/{len}");
        assert_eq!(commands, &[expected]);
        // an address of a router excludes nothing
        let listed = import
            .sources
            .reasons()
            .any(|it| it.0 == "an address of the routers");
        assert_eq!(listed, !is_excluded);
    }
}

#[test]
fn a_second_dedicated_link_is_listed_and_the_default_is_the_first() {
    let block = |mark: &str, last: u8, interface: &str| {
        format!(
            "UDP {mark} {{\nIPv4_address 10.9.{last}.2\nIPv4_Destination_Address 10.9.{last}.1\nPort 3780\nInterface {interface}\n}}\n"
        )
    };
    for (marks, first, second, lines) in [
        (["", "Default"], ["hot1", "10.9.1"], "hot0", 2..=7),
        (["Default", ""], ["hot0", "10.9.0"], "hot1", 8..=13),
        (["", ""], ["hot0", "10.9.0"], "hot1", 8..=13),
    ] {
        let [a, b] = marks;
        let file = format!(
            "Sync {{\n{}{}}}\n",
            block(a, 0, "hot0"),
            block(b, 1, "hot1")
        );
        let import = of_conntrackd(&instance("a", 1, ""), &file, None);
        let [interface, network] = first;
        let expected = format!(
            "sparectl init --link {interface} --link-addresses {network}.2/LEN,{network}.1/LEN"
        );
        assert_eq!(step(&import, "write the link").commands, [expected]);
        let list = crate::common::told(&import);
        let lines: Vec<String> = lines.map(|it| format!("c:{it}")).collect();
        let lines = lines.join(", ");
        let expected = format!("{lines}: UDP on {second}: it is another dedicated link");
        assert!(list.contains(&expected), "{list}");
        assert!(list.contains("as a second `[[link]]`"), "{list}");
        assert!(!list.contains(&format!("UDP on {interface}")), "{list}");
    }
}

#[test]
fn each_step_says_what_is_seen() {
    let import = imported("conntrackd-alone", None);
    let said = |words| step(&import, words).then.clone();
    assert!(said("take the role").contains("says UNKNOWN until the nodes are a pair"));
    assert!(
        step(&import, "conntrackd goes on")
            .what
            .contains("40-conntrackd")
    );
    let list = crate::common::items(&import).join("\n");
    assert!(
        list.contains("no notify script calls primary-backup.sh"),
        "{list}"
    );
    let kept = imported("gateway", None);
    assert!(
        step(&kept, "conntrackd goes on")
            .what
            .contains("as keepalived's notify scripts did")
    );
    let order = [
        "two nodes that run spared",
        "write the link",
        "make them a pair",
        "let both be active",
    ];
    let places = order.map(|words| import.steps.iter().position(|it| it.what.contains(words)));
    assert!(places.is_sorted() && places[0].is_some(), "{places:?}");
    assert!(said("write the link").contains("The next step is `sparectl pair`"));
}

#[test]
fn groups_that_are_active_on_the_other_node_move_twice_and_their_addresses_are_expected_there() {
    let told = |here: Option<Here>| {
        let steps = imported("masters-apart", here).steps;
        let lines: Vec<String> = steps.iter().flat_map(|it| it.lines(1)).collect();
        lines.join("\n")
    };
    let with = |addresses: &[&str]| {
        Some(Here {
            node: 1,
            addresses: addresses
                .iter()
                .flat_map(|it| Some((it.parse().ok()?, 24)))
                .collect(),
            writes: true,
        })
    };
    let apart = told(with(&["198.51.100.1"]));
    for expected in [
        "right is active on r2: it moves to r1 when keepalived of r2 ends",
        "take the roles. It is the second change of right, and the only one of the others",
        "Errors have to be gone, but for own-address-virtual of 198.51.100.1:",
    ] {
        assert!(apart.contains(expected), "{expected} is not in {apart}");
    }
    // r1 prefers one and r2 the other, and r1 has both at this moment
    let together = told(with(&[]));
    assert!(
        together.contains("It is the only change of roles"),
        "{together}"
    );
    assert!(!together.contains("when keepalived of r2 ends") && !together.contains("own-address"));
    // seen from elsewhere
    let by_files = told(None);
    assert!(
        by_files.contains("own-address-virtual of addresses of right"),
        "{by_files}"
    );
    // r1 is preferred and does not have the address: nothing moves twice
    let alone = imported("gateway", here(0, false, true)).steps;
    assert!(!alone.iter().any(|it| it.what.contains("ends, and back")));
}

#[test]
fn hooks_of_a_fault_are_told_where_they_run() {
    let pair = |name| step(&imported(name, None), "make them a pair").then.clone();
    assert!(pair("gateway").contains("runs the hooks of fault.d"));
    assert!(!pair("nopreempt").contains("fault.d"));
}

#[test]
fn a_check_for_conntrackd_ends_with_it() {
    for is_final in [false, true] {
        let mut request = request("conntrackd-alone");
        let mut with = |conntrackd| {
            request.is_final = is_final;
            request.conntrackd = conntrackd;
            import(&Checked, &request).expect("readable")
        };
        let alone = with(None);
        assert!(alone.texts["plugins/health.toml"].contains("conntrackd"));
        let both = with(Some(
            format!(
                "{}/conntrackd-alone.conntrackd.conf",
                crate::common::CONFIGS
            )
            .into(),
        ));
        assert!(
            !both.texts.contains_key("plugins/health.toml"),
            "{:?}",
            both.texts
        );
        let list = crate::common::items(&both).join("\n");
        assert!(
            list.contains("conntrackd ends in the migration: the check would fail"),
            "{list}"
        );
    }
}

/// Files of which keepalived.conf looks for conntrackd.
struct Checked;

impl spared_import::Files for Checked {
    fn read(&self, path: &std::path::Path) -> Result<String, String> {
        let text = Disk.read(path)?;
        if !path.ends_with("conntrackd-alone.conf") {
            return Ok(text);
        }
        Ok(
            format!("vrrp_script c {{\nscript \"pidof conntrackd\"\n}}\n{text}").replacen(
                "virtual_ipaddress",
                "track_script {\nc\n}\nvirtual_ipaddress",
                1,
            ),
        )
    }

    fn matching(&self, pattern: &std::path::Path) -> Result<Vec<std::path::PathBuf>, String> {
        Disk.matching(pattern)
    }
}
