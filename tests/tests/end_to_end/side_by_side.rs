// SPDX-License-Identifier: MIT OR Apache-2.0
//! Views of two nodes: both in one table, differences by key, reasons in sentences, and a vendor's rows and checks
//! among spared's own.

use std::fs;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use spared_tests::lab::{Wire, build_dir, scenario};
use spared_tests::linked::{INTERVAL, Linked, peer};
use spared_tests::router::{Plan, PluginFile, Spared};

fn plan() -> Plan {
    let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
    plan.plugins.push(peer(""));
    plan
}

fn row<'t>(text: &'t str, label: &str) -> &'t str {
    let line = text.lines().find(|line| line.trim().starts_with(label));
    line.unwrap_or_default()
}

#[test]
fn both_nodes_stand_side_by_side() {
    scenario(2, |lab| {
        let pair = Linked::start(lab, &plan())?;
        pair.wait_active(0)?;
        // it takes a round trip on the link to know the other's clock
        pair.wait("the other's clock", || {
            let text = pair.said(0, &["status"]).unwrap_or_default().1;
            !row(&text, "clock").is_empty()
        })?;
        let text = pair.done(0, &["status"])?;
        let first = text.lines().next().unwrap_or_default();
        assert_eq!(
            first,
            "OK  office: r1 is active, r2 is ready. A failover now would lose nothing."
        );
        assert!(row(&text, "r1 (this node)").ends_with("r2"), "{text}");
        for (label, values) in [
            ("role", ["active", "backup"]),
            ("forced", ["no", "no"]),
            ("quality", ["100", "100"]),
            ("lan (100)", ["up", "up"]),
            ("wan (100)", ["up", "up"]),
            ("preferred", ["yes", "no"]),
            ("spared", [env!("CARGO_PKG_VERSION"); 2]),
        ] {
            let words: Vec<&str> = row(&text, label)
                .trim_start()
                .strip_prefix(label)
                .unwrap_or_default()
                .split_whitespace()
                .collect();
            assert_eq!(words, values, "{label}:\n{text}");
        }
        for label in [
            "since",
            "clock",
            "booted",
            "link hot",
            "fence",
            "last event",
        ] {
            assert!(!row(&text, label).is_empty(), "{label}:\n{text}");
        }
        assert!(row(&text, "link hot").contains("up, "), "{text}");
        assert!(row(&text, "fence").contains("passing"), "{text}");
        // a vendor's plugin is in the table as spared's own are
        assert!(!row(&text, "messenger received").is_empty(), "{text}");

        let json = pair.done(0, &["status", "--json"])?;
        let json: serde_json::Value = serde_json::from_str(&json)?;
        assert_eq!(json["peer"]["status"]["node"], "r2");
        assert_eq!(json["peer"]["status"]["groups"][0]["role"], "backup");
        assert_eq!(json["verdict"]["word"], "ok");
        Ok(())
    });
}

#[test]
fn the_other_node_answers_over_the_link_and_only_reads() {
    scenario(2, |lab| {
        let pair = Linked::start(lab, &plan())?;
        let here = pair.done(0, &["--node", "r2", "status", "--json"])?;
        let here: serde_json::Value = serde_json::from_str(&here)?;
        assert_eq!(here["node"], "r2");
        let text = pair.done(0, &["--node", "r2", "messenger", "status"])?;
        assert!(text.contains("peer"), "{text}");
        let (code, text) = pair.said(0, &["--node", "r2", "reload"])?;
        assert_ne!(code, 0, "{text}");
        let (code, text) = pair.said(0, &["--node", "r7", "status"])?;
        assert_eq!(code, 64, "{text}");
        assert!(text.contains("r1") && text.contains("r2"), "{text}");
        let active = pair.at()?;
        let (asked, other) = (1 - active, format!("r{}", active + 1));
        pair.done(asked, &["--node", &other, "switch"])?;
        pair.wait_active(1 - active)
    });
}

#[test]
fn keys_that_differ_are_named_with_both_values() {
    scenario(2, |lab| {
        let mut second = plan();
        second.routers[0].addresses = vec!["10.1.0.1/25".to_owned()];
        second.plugins[0].toml = "interval = \"2s\"\nnote = \"rack 8\"\n".to_owned();
        let mut first = plan();
        first.plugins[0].toml = "interval = \"1s\"\nnote = \"rack 7\"\n".to_owned();
        let pair = Linked::begin(lab, [first, second])?;
        pair.wait("the differences on both", || {
            (0..2).all(|site| {
                let text = pair.said(site, &["status"]).unwrap_or_default().1;
                text.contains("addresses") && text.contains("interval")
            })
        })?;
        let (_, text) = pair.said(0, &["status"])?;
        let addresses = "vrrp.toml: group \"office\" interface \"lan\": addresses: r1 \
                         [\"10.1.0.1/24\"], r2 [\"10.1.0.1/25\"]";
        assert!(text.contains(addresses), "{text}");
        assert!(
            text.contains("messenger.toml: interval: r1 \"1s\", r2 \"2s\""),
            "{text}"
        );
        assert!(!text.contains("rack"), "a local key is compared:\n{text}");
        // another address is no detail: the newcomer is not ready
        pair.wait("one active", || pair.active().len() == 1)?;
        let (code, text) = pair.said(pair.at()?, &["switch"])?;
        assert_eq!(code, 1, "{text}");
        let (code, text) = pair.said(0, &["check", "--peer"])?;
        assert!(code != 0 && text.contains("addresses"), "{code}: {text}");
        Ok(())
    });
}

#[test]
fn a_vendor_s_check_makes_its_node_less_fit() {
    scenario(2, |lab| {
        let mut plan = plan();
        plan.without_preference();
        let pair = Linked::start(lab, &plan)?;
        let active = pair.at()?;
        pair.done(active, &["messenger", "check", "bad"])?;
        pair.wait_active(1 - active)?;
        let status = pair.status(active)?;
        assert!(status.quality < 100, "{}", status.quality);
        let began = format!("r{} is backup because ", active + 1);
        // right after it has switched over it may say no more than that
        pair.wait("the check as reason", || {
            pair.done(active, &["why"]).is_ok_and(|why| {
                why.starts_with(&began)
                    && why.contains("its quality is")
                    && why.contains("messenger")
            })
        })
        .map_err(|error| format!("{error}\n{:?}", pair.done(active, &["why"])))?;
        pair.done(active, &["messenger", "check", "good"])?;
        Ok(())
    });
}

#[test]
fn reasons_are_sentences() {
    scenario(2, |lab| {
        let pair = Linked::start(lab, &plan())?;
        pair.wait_active(0)?;
        let said = |site: usize| pair.done(site, &["why"]);
        pair.wait("the preference as reason", || {
            said(0).is_ok_and(|why| {
                // and below it how that came
                why.lines().next()
                    == Some("r1 is active because both nodes have quality 100 and it is preferred")
            })
        })
        .map_err(|error| format!("{error}\n{:?}", said(0)))?;
        pair.done(1, &["force", "active", "--anyway"])?;
        pair.wait_active(1)?;
        let why = said(1)?;
        assert!(
            why.contains("root forced it") || why.contains("forced"),
            "{why}"
        );
        pair.done(1, &["force", "reset"])?;
        pair.wait_active(0)?;
        lab.unplug(&lab.sites[0], Wire::Lan)?;
        pair.wait_active(1)?;
        let why = said(0)?;
        assert!(why.contains("\"lan\"") || why.contains("lan"), "{why}");
        assert!(why.contains("no carrier"), "{why}");
        Ok(())
    });
}

#[test]
fn pings_that_flap_on_both_nodes_do_not_move_roles() {
    scenario(2, |lab| {
        let mut plan = plan();
        plan.without_preference();
        plan.plugins.push(PluginFile {
            name: "health".to_owned(),
            toml: "[[ping]]\nname = \"host\"\ntargets = [\"10.2.0.2\"]\ninterval = \"100ms\"\n\
                   timeout = \"100ms\"\nrise = 1\nfall = 1\n"
                .to_owned(),
            file: "libspared_health.so".to_owned(),
        });
        let pair = Linked::start(lab, &plan)?;
        let before: u64 = (0..2).map(|site| pair.group(site).transitions).sum();
        let seen = |down: bool| {
            let failing = |site: usize| {
                let status = pair.status(site).unwrap_or_default();
                let mut checks = status.checks.into_iter();
                checks.any(|check| check.name == "host" && (check.state == 0) == down)
            };
            failing(0) && failing(1)
        };
        for _ in 0..5 {
            lab.wan.ip("link set wan down\n")?;
            pair.wait("the check failing on both", || seen(true))?;
            lab.wan.ip("link set wan up\n")?;
            lab.wan.ip("route replace default via 10.2.0.1\n")?;
            pair.wait("the check good on both", || seen(false))?;
        }
        let after: u64 = (0..2).map(|site| pair.group(site).transitions).sum();
        assert_eq!(before, after, "roles moved");
        Ok(())
    });
}

#[test]
fn watch_shows_both_nodes_on_a_terminal_and_ends_with_q() {
    scenario(2, |lab| {
        let pair = Linked::start(lab, &plan())?;
        let sparectl = build_dir()?.join("sparectl");
        let dir = Spared(&pair.routers[0]).runtime_dir();
        let (screen, command) = (
            lab.dir.join("screen"),
            format!(
                "{} --runtime-dir {} watch",
                sparectl.display(),
                dir.display()
            ),
        );
        // script(1) is the terminal
        let mut child = std::process::Command::new("script")
            .args([
                "-q",
                "-e",
                "-c",
                &format!("stty rows 60 cols 120; {command}"),
            ])
            .arg(&screen)
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        thread::sleep(Duration::from_secs(2));
        use std::io::Write;
        if let Some(stdin) = &mut child.stdin {
            stdin.write_all(b"q")?;
        }
        let ended =
            spared_tests::clock::poll(Duration::from_secs(5), Duration::from_millis(20), || {
                child.try_wait().is_ok_and(|status| status.is_some())
            });
        if !ended {
            let _ = child.kill();
        }
        let _ = child.wait();
        assert!(ended, "q does not end it");
        let drawn = plain(&String::from_utf8_lossy(&fs::read(&screen)?));
        for part in ["traffic of the links", "events", "this node"] {
            assert!(drawn.contains(part), "{part}: {drawn}");
        }
        Ok(())
    });
}

/// Text that a terminal was sent, without its control sequences, words one blank apart.
fn plain(drawn: &str) -> String {
    let mut text = String::new();
    let mut characters = drawn.chars();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            // a control sequence ends with a letter
            let _ = characters.find(|it| it.is_ascii_alphabetic());
            text.push(' ');
        } else {
            text.push(character);
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
