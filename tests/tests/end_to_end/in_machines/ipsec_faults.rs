// SPDX-License-Identifier: MIT OR Apache-2.0
//! Faults around replicated tunnels: no SA, no algorithm, another time of day, too many events; and that keys stay
//! where they belong.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use spared_sdk::hex;
use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::ipsec::{
    Family, Mode, Sa, Stats, Suite, Tunnel, Tunnelled, following, is_in_clear,
};
use spared_tests::lab::{Wire, scenario, skipped};
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::machine::{Machine, Node, STEP};
use spared_tests::probe::Recorder;
use spared_tests::router::Plan;

const SPACING: Duration = Duration::from_millis(5);
const LIMIT: Duration = Duration::from_secs(20);
const CALM: Duration = Duration::from_millis(500);

fn tunnel(family: Family, suite: Suite, number: u32) -> Tunnel {
    Tunnel {
        spi: 0xc000_0100 + 0x10 * number,
        reqid: number,
        ..Tunnel::new(family, Mode::Tunnel, suite)
    }
}

#[test]
fn nothing_leaves_in_clear_where_a_backup_or_a_router_without_sas_is_asked() {
    scenario(0, |lab| {
        let tunnelled = Tunnelled::boot(lab)?;
        let first = tunnelled.start_spared(&following(""))?;
        let gcm = tunnel(Family::V4, Suite::GcmEsn, 1);
        let cbc = tunnel(Family::V6, Suite::CbcSha256, 2);
        for tunnel in [&gcm, &cbc] {
            tunnelled.install(tunnel, first)?;
        }
        tunnelled.wait_followed(first, 4, 6)?;
        let recorder = tunnelled.record()?;
        let backup = &tunnelled.routers[1 - first];
        let dropped = || backup.xfrm_stat().map(|it| it["XfrmOutNoStates"]);
        assert_eq!((backup.sas()?, dropped()?), (vec![], 0));

        // By way of the backup, whose own addresses are a way, too.
        let host = backup.host;
        lab.lan.ip(&format!(
            "route replace {} via {}\nroute replace {} via {}\n",
            Family::V4.inner_network(),
            Wire::Lan.ipv4(host),
            Family::V6.inner_network(),
            Wire::Lan.ipv6(host),
        ))?;
        let sent = Stamp::now();
        let pings = Family::BOTH.map(|family| tunnelled.pings(family, SPACING));
        let pings =
            [pings[0].as_ref(), pings[1].as_ref()].map(|it| it.map_err(ToString::to_string));
        thread::sleep(CALM);
        for pings in &pings {
            let (asked, answered) = pings.clone()?.counts(sent);
            assert!(asked > 20 && answered == 0, "{answered} of {asked}");
        }
        assert!(dropped()? > 40, "{:?}", backup.xfrm_errors()?);
        assert_eq!(in_clear(&recorder), 0);

        // As before, but for a moment in which the active router has policies only.
        lab.lan.ip(&format!(
            "route del {}\nroute del {}\n",
            Family::V4.inner_network(),
            Family::V6.inner_network()
        ))?;
        let active = &tunnelled.routers[first];
        for pings in &pings {
            let there = poll(LIMIT, STEP, || {
                pings.clone().is_ok_and(|it| it.is_steady(CALM / 2))
            });
            assert!(there, "no answers through the active router");
        }
        active.ok("ip xfrm state flush")?;
        thread::sleep(CALM);
        assert!(active.xfrm_stat()?["XfrmOutNoStates"] > 40);
        tunnelled.wait_followed(first, 0, 6)?;
        tunnelled.routers[first].kill();
        tunnelled.nodes()[1 - first].wait_role("active", LIMIT)?;
        thread::sleep(CALM);
        assert_eq!(in_clear(&recorder), 0);
        assert_eq!(backup.sas()?, []);
        assert_eq!(backup.policies()?.len(), 6);
        Ok(())
    });
}

fn in_clear(recorder: &Recorder) -> usize {
    recorder.take(is_in_clear).len()
}

#[test]
fn lifetimes_go_on_where_the_time_of_day_differs_by_hours() {
    const HOURS_S: i64 = 7200;
    scenario(0, |lab| {
        let mut tunnelled = Tunnelled::boot(lab)?;
        tunnelled.routers[1].shift_clock(HOURS_S)?;
        let plan = following("");
        let mut active = tunnelled.start_spared(&plan)?;
        let limited = Tunnel {
            extra: "limit time-soft 3000 limit time-hard 3600".to_owned(),
            ..tunnel(Family::V4, Suite::GcmEsn, 1)
        };
        let made = Stamp::now();
        tunnelled.install(&limited, active)?;
        tunnelled.wait_followed(active, 2, 3)?;
        // There and back, so that each clock is once the one behind.
        for _ in 0..2 {
            thread::sleep(Duration::from_secs(2));
            tunnelled.routers[active].kill();
            let survivor = 1 - active;
            tunnelled.nodes()[survivor].wait_role("active", LIMIT)?;
            thread::sleep(Duration::from_secs(2));
            let age_s = age_s(&tunnelled.routers[survivor], limited.spi)?;
            let real_s = Stamp::now().since(made).as_secs();
            // whole seconds, told by one and counted by the other
            assert!(age_s.abs_diff(real_s) <= 4, "{age_s} s, not {real_s}");
            let pings = tunnelled.pings(Family::V4, SPACING)?;
            pings
                .outage_of(Stamp::now(), CALM, LIMIT)
                .ok_or("no answers")?;
            drop(pings);

            tunnelled.reboot(active)?;
            if active == 1 {
                tunnelled.routers[1].shift_clock(HOURS_S)?;
            }
            tunnelled.nodes()[active].start(&plan)?;
            tunnelled.wait_followed(survivor, 2, 3)?;
            active = survivor;
        }
        Ok(())
    });
}

/// By the clock of its machine.
fn age_s(machine: &Machine, spi: u32) -> Result<u64> {
    let added = machine.sa(spi)?.added;
    let text = machine.ok(&format!("echo $(($(date +%s) - $(date -d '{added}' +%s)))"))?;
    Ok(text.trim().parse()?)
}

#[test]
fn a_backup_without_the_algorithm_of_an_sa_says_so_beforehand() {
    const ALGORITHM: &str = "chacha20poly1305_module_init";
    scenario(0, |lab| {
        let tunnelled = Tunnelled::boot_without(lab, ALGORITHM)?;
        let first = 0;
        if tunnelled.start_spared(&following(""))? != first {
            tunnelled.switch_to(first)?;
        }
        let gcm = tunnel(Family::V4, Suite::GcmEsn, 1);
        tunnelled.install(&gcm, first)?;
        tunnelled.wait_followed(first, 2, 3)?;
        let spi = 0xc000_0901_u32;
        let (here, there) = (Family::V4.gateway(), Family::V4.far());
        tunnelled.routers[first].ip(&format!(
            "xfrm state add src {here} dst {there} proto esp spi {spi:#x} reqid 9 mode tunnel \
             replay-window 128 flag esn aead rfc7539esp(chacha20,poly1305) 0x{} 128\n",
            "c0000901".repeat(9)
        ))?;
        let [active, backup] = [first, 1 - first].map(|at| tunnelled.nodes()[at]);
        let missing = || {
            let missing = backup.status().unwrap_or_default().missing;
            missing.unwrap_or_default().join("; ")
        };
        let wanted = format!("rfc7539esp(chacha20,poly1305) for SA {spi:08x}");
        assert!(
            poll(LIMIT, STEP, || missing().contains(&wanted)),
            "{}",
            missing()
        );
        let said = |node: Node<'_>, key: &str| node.ipsec(&format!("{spi:08x}.{key}"));
        let at_peer = || said(active, "peer").to_string();
        assert!(
            poll(LIMIT, STEP, || at_peer().contains("not")),
            "{}",
            at_peer()
        );
        assert_eq!(said(backup, "ready"), "function not implemented");
        assert_eq!(backup.ipsec(&format!("{:08x}.ready", gcm.spi)), "yes");
        let (code, text) = backup.sparectl("switch")?;
        assert!(code != 0 && text.contains(&wanted), "{code}: {text}");

        active.0.ip(&format!(
            "xfrm state delete src {here} dst {there} proto esp spi {spi:#x}\n"
        ))?;
        assert!(poll(LIMIT, STEP, || missing().is_empty()), "{}", missing());
        Ok(())
    });
}

#[test]
fn marks_and_interface_numbers_keep_sas_of_one_spi_apart() {
    scenario(0, |lab| {
        let tunnelled = Tunnelled::boot(lab)?;
        let first = tunnelled.start_spared(&following(""))?;
        let extras = [
            "mark 0x1 mask 0xff if_id 0x5",
            "mark 0x2 mask 0xff if_id 0x6",
        ];
        for (number, extra) in extras.iter().enumerate() {
            let number = number as u64;
            let marked = Tunnel {
                extra: (*extra).to_owned(),
                sent: 1000 + 1_000_000 * number,
                ..tunnel(Family::V4, Suite::GcmEsn, 1)
            };
            tunnelled.routers[first].ip(&marked.sa_lines())?;
        }
        let plain = Tunnel {
            extra: "output-mark 0x9 mask 0xf flag noecn".to_owned(),
            ..tunnel(Family::V6, Suite::CbcSha256, 2)
        };
        tunnelled.routers[first].ip(&plain.sa_lines())?;
        tunnelled.wait_followed(first, 6, 0)?;
        let before = tunnelled.routers[first].sas()?;
        tunnelled.routers[first].kill();
        let survivor = &tunnelled.routers[1 - first];
        tunnelled.nodes()[1 - first].wait_role("active", LIMIT)?;
        let after = survivor.sas()?;
        assert_eq!(after.len(), 6, "{after:?}");
        for sa in before {
            let mut same = after.iter().filter(|it| words(it) == words(&sa));
            let same = same
                .next()
                .ok_or_else(|| format!("none like {}", sa.text))?;
            let jump = same.sent - sa.sent;
            let expected = if sa.source == Some(gateway(&sa)) {
                65_536..500_000
            } else {
                0..1
            };
            assert!(expected.contains(&jump), "{}", same.text);
        }
        Ok(())
    });
}

fn gateway(sa: &Sa) -> std::net::IpAddr {
    match sa.source {
        Some(std::net::IpAddr::V6(_)) => Family::V6.gateway(),
        _ => Family::V4.gateway(),
    }
}

/// Words of `ip` about an SA, without its numbers, its time and its reqid.
fn words(sa: &Sa) -> Vec<String> {
    let same = sa.text.lines().filter(|line| {
        let differs = [
            "seq",
            "anti-replay",
            "(bytes)",
            "add ",
            "ffffffff",
            "00000000",
        ];
        !differs.iter().any(|word| line.contains(word)) || line.contains("flag")
    });
    let shorter = |line: &str| {
        let mut words: Vec<_> = line.split_whitespace().collect();
        if let Some(at) = words.iter().position(|word| *word == "reqid") {
            words.drain(at..at + 2);
        }
        words.join(" ")
    };
    same.map(shorter).collect()
}

#[test]
fn a_flood_of_sas_leaves_both_nodes_with_the_same() {
    // a thousand SAs: a debug build on a busy machine takes seconds for each batch of them
    const FLOOD: u32 = 500;
    scenario(0, |lab| {
        let tunnelled = Tunnelled::boot(lab)?;
        let first = tunnelled.start_spared(&following(""))?;
        let steady = tunnel(Family::V4, Suite::GcmEsn, 1);
        tunnelled.install(&steady, first)?;
        tunnelled.wait_followed(first, 2, 3)?;
        let pings = tunnelled.pings(Family::V4, SPACING)?;
        let many = |number: u32| Tunnel {
            spi: 0xd000_0000 + 2 * number,
            ..tunnel(Family::V4, Suite::CbcSha256, 7)
        };
        let active = &tunnelled.routers[first];
        let added: String = (0..FLOOD).map(|number| many(number).sa_lines()).collect();
        let (here, there) = (Family::V4.gateway(), Family::V4.far());
        let deletion = |from, to, spi: u32| {
            format!("xfrm state delete src {from} dst {to} proto esp spi {spi:#x}\n")
        };
        // every tenth stays
        let deleted: String = (0..FLOOD)
            .filter(|number| number % 10 != 0)
            .map(many)
            .map(|it| deletion(here, there, it.spi) + &deletion(there, here, it.spi_back()))
            .collect();
        for _ in 0..2 {
            active.ip(&added)?;
            active.ip(&deleted)?;
            let kept: String = (0..FLOOD)
                .step_by(10)
                .map(many)
                .map(|it| deletion(here, there, it.spi) + &deletion(there, here, it.spi_back()))
                .collect();
            active.ip(&kept)?;
        }
        active.ip(&added)?;
        active.ip(&deleted)?;
        tunnelled.wait_followed(first, 2 + u64::from(FLOOD / 10) * 2, 3)?;
        let spis = |machine: &Machine| -> Result<BTreeMap<u32, String>> {
            let sas = machine.sas()?.into_iter();
            Ok(sas.map(|sa| (sa.spi, sa.mode)).collect())
        };
        let before = spis(active)?;
        let killed = Stamp::now();
        active.kill();
        let outage = pings.outage_of(killed, CALM, LIMIT).ok_or("no answers")?;
        assert_eq!(outage.gaps, 1, "{outage:?}");
        assert_eq!(spis(&tunnelled.routers[1 - first])?, before);
        assert_eq!(tunnelled.far.xfrm_errors()?, Stats::new());
        Ok(())
    });
}

#[test]
fn keys_are_in_no_text_and_in_no_core_dump() {
    scenario(0, |lab| {
        let tunnelled = Tunnelled::boot(lab)?;
        for router in &tunnelled.routers {
            // Limits and a place for core dumps that every later command there inherits.
            router.ok(
                "mkdir -m 777 /run/cores; prlimit --pid $PPID --core=unlimited:unlimited; \
                       echo /run/cores/%e >/proc/sys/kernel/core_pattern",
            )?;
        }
        let mut plan = following("");
        if let Some(link) = &mut plan.link {
            link.settings += "log.level = \"debug\"\n";
        }
        let first = tunnelled.start_spared(&plan)?;
        let tunnels = [
            tunnel(Family::V4, Suite::GcmEsn, 1),
            tunnel(Family::V6, Suite::CbcSha256, 2),
        ];
        for tunnel in &tunnels {
            tunnelled.install(tunnel, first)?;
        }
        tunnelled.wait_followed(first, 4, 6)?;
        tunnelled.switch_to(1 - first)?;
        tunnelled.wait_followed(1 - first, 4, 6)?;
        for node in tunnelled.nodes() {
            for words in [
                "status",
                "status --json",
                "ipsec",
                "--json ipsec",
                "events -n 100",
                "why",
            ] {
                let (_, text) = node.sparectl(words)?;
                assert!(
                    shown_keys(text.as_bytes(), &tunnels).is_empty(),
                    "{words}: {text}"
                );
            }
            node.0.ok("sh -c 'kill -SEGV $$' || :")?;
            assert_eq!(cores(node.0)?, ["sh"]);
            // Each of its processes that keys come to; one signal is not enough where Rust looks for
            // an overflow of its stack first.
            for name in ["spared-ipsec", "spared-link"] {
                let pid = node.0.ok(&format!("pgrep -x {name}"))?;
                node.0.ok(&format!(
                    "while kill -SEGV {}; do sleep 0.05; done",
                    pid.trim()
                ))?;
            }
            assert_eq!(cores(node.0)?, ["sh"]);
        }
        for path in files(&lab.dir) {
            let text = fs::read(&path).unwrap_or_default();
            let shown = shown_keys(&text, &tunnels);
            assert!(shown.is_empty(), "{}: {shown:?}", path.display());
        }
        Ok(())
    });
}

fn cores(machine: &Machine) -> Result<Vec<String>> {
    let names = machine.ok("ls /run/cores")?;
    Ok(names.lines().map(ToOwned::to_owned).collect())
}

/// Which keys of these tunnels a text has, in any way to write them.
fn shown_keys(text: &[u8], tunnels: &[Tunnel]) -> Vec<String> {
    let spis = tunnels.iter().flat_map(|it| [it.spi, it.spi_back()]);
    let forms = spis.flat_map(|spi| {
        let key = [spi.to_be_bytes(), spi.to_be_bytes()].concat();
        let decimal = |between: &str| {
            let words: Vec<String> = key.iter().map(ToString::to_string).collect();
            words.join(between)
        };
        [
            hex::text(&key, ""),
            hex::text(&key, " "),
            hex::text(&key, ":"),
            hex::text(&key, "").to_uppercase(),
            decimal(", "),
            decimal(","),
            format!("x{}", hex::text(&key, "\\x")),
        ]
    });
    let text = String::from_utf8_lossy(text);
    forms.filter(|form| text.contains(form.as_str())).collect()
}

/// All in a folder, but for what a machine's console reads and writes.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let all = paths.flat_map(|path| {
        if path.is_dir() {
            files(&path)
        } else {
            vec![path]
        }
    });
    all.collect()
}

#[test]
fn on_a_kernel_without_esp_everything_else_works() {
    scenario(2, |lab| {
        let sa = Tunnel::new(Family::V4, Mode::Tunnel, Suite::GcmEsn).sa_lines();
        if lab.eye.ip(&sa).is_ok() {
            return Err(skipped("the kernel of this machine has ESP"));
        }
        let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
        plan.without_preference();
        plan.plugins = following("").plugins;
        let pair = Linked::start(lab, &plan)?;
        let active = pair.at()?;
        for router in &pair.routers {
            let log = router.log();
            let says = |line: &&str| line.contains("ipsec: this kernel has no ESP");
            assert_eq!(log.lines().filter(says).count(), 1, "{log}");
        }
        let policies = "xfrm policy add dir out src 10.1.0.0/24 dst 10.9.0.0/24 \
             tmpl src 10.2.0.1 dst 10.2.0.3 proto esp reqid 7 mode tunnel\n\
             xfrm policy add dir fwd src 10.9.0.0/24 dst 10.1.0.0/24 \
             tmpl src 10.2.0.3 dst 10.2.0.1 proto esp reqid 7 mode tunnel\n";
        lab.sites[active].ns.ip(policies)?;
        let backup = &lab.sites[1 - active].ns;
        let follows = || {
            backup
                .shell("ip xfrm policy")
                .is_ok_and(|it| it.contains("10.9.0.0/24"))
        };
        assert!(
            poll(LIMIT, STEP, follows),
            "{}",
            pair.done(1 - active, &["ipsec"])?
        );
        pair.switch(1 - active)?;
        pair.wait_active(1 - active)?;
        pair.wait_settled()?;
        let both = |site: usize| lab.sites[site].ns.shell("ip xfrm policy");
        assert_eq!(both(0)?.matches("tmpl").count(), 2, "{}", both(0)?);
        assert_eq!(both(1)?.matches("tmpl").count(), 2, "{}", both(1)?);
        Ok(())
    });
}
