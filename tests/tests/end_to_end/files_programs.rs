// SPDX-License-Identifier: MIT OR Apache-2.0
//! The example trees of real programs: what a program accepts is in place on the other node, what it refuses is
//! not, and the reason is the program's own.

use std::fs;
use std::path::Path;

use spared_tests::Result;
use spared_tests::lab::{note_skip, scenario};
use spared_tests::linked::Linked;

use crate::files::{expect, own, plan};

/// Tree, program, file, a content that it accepts, one that it refuses, and a part of its reason.
type Program = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

const PROGRAMS: &[Program] = &[
    (
        "kea",
        "/usr/sbin/kea-dhcp4",
        "kea/kea-dhcp4.conf",
        r#"{"Dhcp4": {"interfaces-config": {"interfaces": []}, "subnet4": [],
            "lease-database": {"type": "memfile", "persist": false}}}"#,
        r#"{"Dhcp4": {"subnets": []}}"#,
        "unexpected keyword",
    ),
    (
        "dnsmasq",
        "/usr/sbin/dnsmasq",
        "dnsmasq.conf",
        "port=0\n",
        "prot=0\n",
        "bad option",
    ),
    (
        "strongswan",
        "/usr/sbin/swanctl",
        "swanctl/swanctl.conf",
        "connections { a { remote_addrs = 192.0.2.1 } }\nsecrets { ike-a { secret = not-in-a-log } }\n",
        "connections { a { remote_addrs = 192.0.2.1 }\n",
        "syntax error",
    ),
    (
        "frr",
        "/usr/bin/vtysh",
        "frr/frr.conf",
        "hostname r\nip route 10.9.0.0/24 blackhole\n",
        "no-such-word\n",
        "Unknown command",
    ),
    (
        "unbound",
        "/usr/sbin/unbound-checkconf",
        "unbound/unbound.conf",
        "server:\n  chroot: \"\"\n  username: \"\"\n  directory: \"/mnt/unbound\"\n",
        "server:\n  interfaces: 127.0.0.1\n",
        "unknown keyword",
    ),
    (
        "nginx",
        "/usr/sbin/nginx",
        "nginx/nginx.conf",
        "events {}\nhttp { access_log off; server { listen 127.0.0.1:80; } }\n",
        "events {}\nhttp { server }\n",
        "unexpected",
    ),
];

/// The example with the files of these nodes, and nothing to reload.
fn toml() -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/files-programs.toml");
    let text = fs::read_to_string(path)?;
    let lines = text.lines().filter(|line| !line.starts_with("apply"));
    let lines: Vec<String> = lines.map(|line| line.replace("/etc/", "/mnt/")).collect();
    Ok(lines.join("\n"))
}

#[test]
fn the_example_trees_do_what_their_programs_say() {
    scenario(2, |lab| {
        let is_here = |it: &&Program| Path::new(it.1).exists();
        let programs: Vec<&Program> = PROGRAMS.iter().filter(is_here).collect();
        for (_, program, ..) in PROGRAMS.iter().filter(|it| !is_here(it)) {
            note_skip(&format!("there is no {program}"));
        }
        for site in 0..2 {
            for folder in [
                "kea",
                "swanctl",
                "frr",
                "unbound",
                "nginx",
                "ssl",
                "portal",
                "dnsmasq.d",
            ] {
                fs::create_dir_all(own(lab, site).join(folder))?;
            }
        }
        for (_, _, file, good, ..) in &programs {
            fs::write(own(lab, 0).join(file), good)?;
        }
        let toml = toml()?;
        let plans = ["r1", "r2"].map(|node| plan(lab, node, &toml));
        let pair = Linked::begin(lab, plans)?;
        pair.wait_settled()?;
        for (tree, _, file, good, bad, why) in programs {
            let push = ["files", "push", tree, "--anyway"];
            let there = own(lab, 1).join(file);
            pair.wait(tree, || pair.done(0, &push).is_ok())
                .map_err(|error| format!("{error}: {:?}", pair.said(0, &push)))?;
            assert_eq!(fs::read_to_string(&there)?, *good, "{tree}");
            fs::write(own(lab, 0).join(file), bad)?;
            let (code, said) = pair.said(0, &push)?;
            assert_ne!(code, 0, "{tree}: {said}");
            expect(&said, "the check refused it")?;
            let (_, said) = pair.said(1, &["files", "pull", tree, "--anyway"])?;
            expect(&said, why)?;
            assert_eq!(fs::read_to_string(&there)?, *good, "{tree}");
        }
        Ok(())
    });
}
