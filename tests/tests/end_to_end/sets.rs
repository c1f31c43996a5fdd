// SPDX-License-Identifier: MIT OR Apache-2.0
//! nftables sets follow between two routers: from wherever elements come, with what is left of their
//! time, over failovers, and never back.

mod fences;
mod lists;
mod reload;
mod roles;

use std::thread;
use std::time::{Duration, Instant};

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::lab::{Lab, Namespace, Wire, build_dir, scenario};
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::probe::judge;
use spared_tests::router::{Kind, Plan, PluginFile, Router, Spared};

const SETS: &str = "table inet filter {
    set bans { type ipv4_addr; flags timeout; }
    set bans6 { type ipv6_addr; flags timeout; timeout 1h; }
    set users { type ipv4_addr . ether_addr; flags timeout; }
    set nets { type ipv4_addr; flags interval; auto-merge; }
    map marks { type ipv4_addr : mark; flags timeout; }
    set seen { type ipv4_addr; flags dynamic,timeout; size 1000; }
    chain out { type filter hook output priority 0;
                ip daddr 10.1.0.0/24 update @seen { ip daddr timeout 60s }; }
}
";
const NAMES: [&str; 6] = ["bans", "bans6", "users", "nets", "marks", "seen"];

fn toml(names: &[&str]) -> String {
    let set = |name: &&str| {
        format!("[[set]]\nfamily = \"inet\"\ntable = \"filter\"\nname = \"{name}\"\n")
    };
    names.iter().map(set).collect()
}

fn plan(toml: String) -> Plan {
    let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
    plan.without_preference();
    plan.plugins.push(PluginFile {
        name: "sets".to_owned(),
        toml,
        file: "libspared_sets.so".to_owned(),
    });
    plan
}

struct Sets<'l> {
    pair: Linked<'l>,
    active: usize,
}

impl<'l> Sets<'l> {
    /// Both have the sets, one is active, the other in sync.
    fn start(lab: &'l Lab, names: &[&str]) -> Result<Self> {
        Self::start_with(lab, names, "")
    }

    /// Both have these sets and one more, one is active, the other in sync.
    fn start_with(lab: &'l Lab, names: &[&str], set: &str) -> Result<Self> {
        for site in &lab.sites {
            site.ns.nft(SETS)?;
            site.ns.nft(&format!("table inet filter {{\n{set}\n}}\n"))?;
        }
        let pair = Linked::start(lab, &plan(toml(names)))?;
        let active = pair.at()?;
        Ok(Self { pair, active })
    }

    fn ns(&self, site: usize) -> &Namespace {
        &self.pair.lab.sites[site].ns
    }

    fn here(&self) -> &Namespace {
        self.ns(self.active)
    }

    fn there(&self) -> &Namespace {
        self.ns(1 - self.active)
    }

    fn row(&self, site: usize, set: &str, key: &str) -> serde_json::Value {
        let key = match set {
            "all" => format!("all.{key}"),
            set => format!("inet filter {set}.{key}"),
        };
        let row = Spared(&self.pair.routers[site]).row(&["sets"], &key);
        row.unwrap_or_default()
    }

    fn number(&self, site: usize, set: &str, key: &str) -> u64 {
        self.row(site, set, key).as_u64().unwrap_or_default()
    }

    fn state(&self, site: usize, set: &str) -> String {
        let state = self.row(site, set, "state");
        state.as_str().unwrap_or_default().to_owned()
    }

    fn wait(&self, what: &str, done: impl Fn(&Self) -> bool) -> Result<()> {
        self.pair.wait(what, || done(self))
    }
}

fn listed(ns: &Namespace, set: &str) -> String {
    let text = ns.shell(&format!("nft list set inet filter {set}"));
    text.or_else(|_| ns.shell(&format!("nft list map inet filter {set}")))
        .unwrap_or_default()
}

fn has(ns: &Namespace, set: &str, element: &str) -> bool {
    listed(ns, set).contains(element)
}

fn within(limit_ms: u64, done: impl FnMut() -> bool) -> bool {
    poll(
        Duration::from_millis(limit_ms),
        Duration::from_millis(5),
        done,
    )
}

/// The seconds after "expires" of an element.
fn left_s(ns: &Namespace, set: &str, element: &str) -> Option<u64> {
    let text = listed(ns, set);
    let rest = text.split_once(element)?.1.split_once("expires ")?.1;
    let word = rest.split([' ', ',', '\n']).next()?;
    let (mut total, mut number) = (0, 0);
    let mut letters = word.chars().peekable();
    while let Some(letter) = letters.next() {
        match (letter, letters.peek()) {
            ('0'..='9', _) => number = number * 10 + letter.to_digit(10).map_or(0, u64::from),
            ('m', Some('s')) => break,
            (unit, _) => {
                total += number
                    * [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)]
                        .iter()
                        .find(|(name, _)| name.starts_with(unit))
                        .map_or(0, |(_, seconds)| *seconds);
                number = 0;
            }
        }
    }
    Some(total)
}

#[test]
fn intervals_follow() {
    scenario(2, |lab| {
        let sets = Sets::start(lab, &["nets"])?;
        sets.here()
            .nft("add element inet filter nets { 10.0.0.0/24, 10.9.0.0/16, 240.0.0.0/4 }")?;
        let same = |sets: &Sets<'_>| {
            listed(sets.here(), "nets") == listed(sets.there(), "nets")
                && has(sets.there(), "nets", "10.9.0.0/16")
        };
        assert!(
            within(1500, || same(&sets)),
            "{}",
            listed(sets.there(), "nets")
        );
        // nft joins the two: one interval goes, another comes
        sets.here()
            .nft("add element inet filter nets { 10.0.1.0/24 }")?;
        assert!(
            within(1500, || same(&sets)),
            "{}",
            listed(sets.there(), "nets")
        );
        assert!(has(sets.there(), "nets", "10.0.0.0/23"));
        sets.here()
            .nft("delete element inet filter nets { 10.0.0.0/23 }")?;
        assert!(
            within(1500, || same(&sets)),
            "{}",
            listed(sets.there(), "nets")
        );
        Ok(())
    });
}

#[test]
fn what_packets_add_follows_within_a_poll_and_is_kept_alive() {
    scenario(2, |lab| {
        let sets = Sets::start(lab, &["seen"])?;
        sets.here().shell("ping -c 1 -W 1 10.1.0.2")?;
        assert!(has(sets.here(), "seen", "10.1.0.2"));
        let (begun, starved) = (Instant::now(), sets.pair.starved());
        assert!(within(20_000, || has(sets.there(), "seen", "10.1.0.2")));
        let took = begun.elapsed();
        println!("there after {took:?}");
        let late = sets.pair.starved().saturating_sub(starved);
        judge("there", took, Duration::from_millis(1500), late)?;
        // renewed by packets: the peer hears of it in steps of some seconds
        thread::sleep(Duration::from_secs(5));
        sets.here().shell("ping -c 1 -W 1 10.1.0.2")?;
        let renewed = || left_s(sets.there(), "seen", "10.1.0.2").is_some_and(|it| it >= 57);
        assert!(within(3000, renewed), "{}", listed(sets.there(), "seen"));
        Ok(())
    });
}

#[test]
fn a_set_that_the_backup_lacks_is_said_and_followed_when_it_is_there() {
    scenario(2, |lab| {
        for site in &lab.sites {
            site.ns.nft(SETS)?;
        }
        let pair = Linked::start(lab, &plan(toml(&["bans", "bans6"])))?;
        let active = pair.at()?;
        let sets = Sets { pair, active };
        let other = 1 - active;
        sets.there().nft("delete table inet filter")?;
        sets.here()
            .nft("add element inet filter bans { 192.0.2.1 timeout 1h }")?;
        let sentence = "does not exist";
        sets.wait("the sentence", |sets| sets.state(other, "bans") == sentence)?;
        let sentence = "inet filter bans: does not exist";
        // the other node hears of it at most ten times a second
        sets.wait("the finding", |sets| {
            let said = sets.pair.said(active, &["status"]).unwrap_or_default();
            said.0 == 1 && said.1.contains(sentence)
        })?;
        let (code, text) = sets.pair.said(active, &["switch"])?;
        assert!(code != 0 && text.contains(sentence), "{code}: {text}");

        // another type, then the right one
        sets.there()
            .nft("table inet filter { set bans { type ipv6_addr; flags timeout; }; }\n")?;
        sets.wait("another sentence", |sets| {
            let state = sets.state(other, "bans");
            state.contains("ipv6_addr (16 bytes") && state.contains("ipv4_addr (4 bytes")
        })?;
        sets.there().nft("delete table inet filter")?;
        sets.there().nft(SETS)?;
        sets.wait("in sync", |sets| sets.state(other, "bans") == "in sync")?;
        assert!(has(sets.there(), "bans", "192.0.2.1"));
        sets.pair.wait_settled()
    });
}

#[test]
fn a_verdict_map_is_refused_by_check_and_reload() {
    scenario(1, |lab| {
        let site = &lab.sites[0];
        site.ns.nft(SETS)?;
        site.ns
            .nft("add map inet filter doors { type ipv4_addr : verdict; }")?;
        let mut plan = Plan::lan(INTERVAL, 200);
        plan.plugins = self::plan(toml(&["bans"])).plugins;
        let router = Router::start(lab, site, Kind::Spared, &plan)?;
        let check = || -> Result<(Option<i32>, String)> {
            let mut command = site.ns.command(build_dir()?.join("sparectl"));
            let config = router.dir.join("etc/spared.toml");
            command.args(["check", "--config"]).arg(config);
            command.arg("--plugin-dir").arg(router.dir.join("plugins"));
            let output = command.output()?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            Ok((output.status.code(), text))
        };
        let (code, text) = check()?;
        assert_eq!(code, Some(0), "{text}");
        Spared(&router).write_plugin("sets", &toml(&["bans", "doors"]))?;
        let (code, text) = check()?;
        let named = "inet filter doors is a verdict map and cannot be replicated";
        assert!(code == Some(69) && text.contains(named), "{code:?}: {text}");
        assert!(!text.contains("bans"), "{text}");
        let said = |words: &[&str]| -> Result<(bool, String)> {
            let output = Spared(&router).sparectl(words)?;
            let text = [output.stdout, output.stderr].concat();
            Ok((
                output.status.success(),
                String::from_utf8_lossy(&text).into_owned(),
            ))
        };
        let (is_done, text) = said(&["reload"])?;
        let refused = "inet filter doors is a verdict map, which cannot be replicated";
        assert!(!is_done && text.contains(refused), "{text}");
        let names = said(&["sets"])?.1;
        assert!(
            names.contains("bans") && !names.contains("doors"),
            "{names}"
        );
        Ok(())
    });
}

#[test]
fn a_set_without_room_is_counted_and_said() {
    scenario(2, |lab| {
        lab.sites[0].ns.nft(SETS)?;
        lab.sites[1]
            .ns
            .nft("table inet filter { set bans { type ipv4_addr; size 4; flags timeout; }; }\n")?;
        let mut plan = plan(toml(&["bans"]));
        if let Some(link) = &mut plan.link {
            link.prefer = Some("r1".to_owned());
        }
        let pair = Linked::start(lab, &plan)?;
        pair.wait_active(0)?;
        pair.wait_settled()?;
        let sets = Sets { pair, active: 0 };
        sets.here().nft(
            "add element inet filter bans { 192.0.2.1, 192.0.2.2, 192.0.2.3, 192.0.2.4,
             192.0.2.5, 192.0.2.6 }",
        )?;
        sets.wait("the sentence", |sets| {
            sets.state(1, "bans") == "is full here: there is no room for more elements"
        })?;
        assert_eq!(sets.number(1, "bans", "records_here"), 4);
        assert_eq!(sets.number(1, "bans", "refused_here"), 2);
        sets.wait("the count at the peer", |sets| {
            sets.number(0, "bans", "refused_there") == 2
        })
    });
}

#[test]
fn nonsense_of_the_peer_costs_neither_node_anything() {
    scenario(2, |lab| {
        for site in &lab.sites {
            site.ns.nft(SETS)?;
        }
        // a peer under the same name that speaks otherwise
        let mut other = plan(String::new());
        other.plugins[0].file = "examples/libsets_babble.so".to_owned();
        let pair = Linked::begin(lab, [plan(toml(&["bans"])), other])?;
        pair.wait("one active", || pair.active().len() == 1)?;
        let sets = Sets { pair, active: 0 };
        sets.wait("garbage", |sets| {
            sets.number(0, "all", "garbage_here") > 100
        })?;
        sets.ns(0)
            .nft("add element inet filter bans { 192.0.2.1 timeout 1h }")?;
        sets.wait("work goes on", |sets| {
            sets.number(0, "bans", "records_here") > 0 && has(sets.ns(0), "bans", "192.0.2.1")
        })?;
        let plugins = sets.pair.done(0, &["plugins"])?;
        assert!(!plugins.contains("died"), "{plugins}");
        assert_eq!(sets.pair.active().len(), 1);
        Ok(())
    });
}

/// `SETS_ELEMENTS` of them:
/// `cargo test --release -p spared-tests --test end_to_end -- a_million --ignored --nocapture`.
#[test]
#[ignore = "measures, for minutes"]
fn a_million_elements_follow_and_hold_up_nobody() {
    scenario(2, |lab| {
        let count = std::env::var("SETS_ELEMENTS").ok();
        let count: u64 = count.and_then(|it| it.parse().ok()).unwrap_or(1_000_000);
        let sets = Sets::start(lab, &["bans", "bans6"])?;
        let other = 1 - sets.active;
        let elements: Vec<String> = (0..count)
            .map(|it| {
                let [_, a, b, c] = (it as u32).to_be_bytes();
                format!("10.{a}.{b}.{c} timeout 1d")
            })
            .collect();
        let begun = Instant::now();
        for part in elements.chunks(50_000) {
            let text = part.join(", ");
            sets.here()
                .nft(&format!("add element inet filter bans {{ {text} }}"))?;
        }
        println!("nft took {:?}", begun.elapsed());
        let (mut worst, mut there) = (Duration::ZERO, 0);
        while there < count && begun.elapsed() < Duration::from_secs(600) {
            let asked = Instant::now();
            there = sets.number(other, "bans", "records_here");
            worst = worst.max(asked.elapsed());
            thread::sleep(Duration::from_millis(20));
        }
        println!("{there} at the peer after {:?}", begun.elapsed());
        // a small set beside it is not held up
        let begun = Instant::now();
        sets.here()
            .nft("add element inet filter bans6 { 2001:db8::1 timeout 1h }")?;
        assert!(within(5000, || has(sets.there(), "bans6", "2001:db8::1")));
        println!("another set's element after {:?}", begun.elapsed());
        println!("an answer took {worst:?} at worst");
        for site in [0, 1] {
            let pid = sets.pair.process(site, "sets").ok_or("no worker")?;
            let resident = spared_tests::lab::usage(pid).1;
            println!("r{}: {} MB", site + 1, resident >> 20);
        }
        assert_eq!(there, count);
        assert_eq!(sets.pair.role(sets.active), "active");
        Ok(())
    });
}

mod alone {
    use super::*;

    #[test]
    fn what_nft_changes_is_at_the_peer_within_100_ms_with_its_time() {
        scenario(2, |lab| {
            let sets = Sets::start(lab, &NAMES)?;
            for (set, element, given) in [
                ("bans", "192.0.2.1", "192.0.2.1 timeout 10m"),
                ("bans6", "2001:db8::1", "2001:db8::1 timeout 10m"),
                (
                    "users",
                    "10.1.0.7 . 02:00:00:00:00:07",
                    "10.1.0.7 . 02:00:00:00:00:07 timeout 10m comment \"anna\"",
                ),
                ("marks", "10.1.0.8", "10.1.0.8 timeout 10m : 0x2a"),
            ] {
                let begun = Instant::now();
                sets.here()
                    .nft(&format!("add element inet filter {set} {{ {given} }}"))?;
                assert!(
                    within(1000, || has(sets.there(), set, element)),
                    "{set}: {}",
                    listed(sets.there(), set)
                );
                println!("{set}: there after {:?}", begun.elapsed());
                let left_s = left_s(sets.there(), set, element);
                assert!(
                    left_s.is_some_and(|it| (595..=600).contains(&it)),
                    "{set}: {left_s:?}"
                );
            }
            assert!(has(sets.there(), "users", "comment \"anna\""));
            assert!(has(sets.there(), "marks", ": 0x0000002a"));

            let mut times: Vec<Duration> = (0..20)
                .map(|number| {
                    let element = format!("198.51.100.{number}");
                    sets.here()
                        .nft(&format!("add element inet filter bans {{ {element} }}"))?;
                    let begun = Instant::now();
                    assert!(within(1000, || has(sets.there(), "bans", &element)));
                    Ok(begun.elapsed())
                })
                .collect::<Result<_>>()?;
            times.sort();
            println!(
                "at the peer after {:?}, {:?} at worst",
                times[10], times[19]
            );
            assert!(times[15] < Duration::from_millis(100), "{times:?}");

            sets.here()
                .nft("delete element inet filter bans { 198.51.100.3 }")?;
            assert!(within(1000, || !has(sets.there(), "bans", "198.51.100.3,")));
            sets.here().nft("flush set inet filter bans")?;
            assert!(within(1000, || !listed(sets.there(), "bans")
                .contains("records_here")));
            assert_eq!(sets.number(1 - sets.active, "bans", "refused_here"), 0);
            Ok(())
        });
    }

    #[test]
    fn twenty_thousand_elements_are_there_in_a_moment_for_who_joins_late() {
        scenario(2, |lab| {
            for site in &lab.sites {
                site.ns.nft(SETS)?;
            }
            let elements: Vec<String> = (0..20_000)
                .map(|it| {
                    format!(
                        "10.{}.{}.{} timeout 1h",
                        it / 62_500,
                        it / 250 % 250,
                        it % 250
                    )
                })
                .collect();
            let text = format!("add element inet filter bans {{ {} }}", elements.join(", "));
            lab.sites[0].ns.nft(&text)?;
            lab.sites[1]
                .ns
                .nft("add element inet filter bans { 192.0.2.1 }")?;
            let mut plan = plan(toml(&["bans"]));
            if let Some(link) = &mut plan.link {
                link.prefer = Some("r1".to_owned());
            }
            let pair = Linked::start(lab, &plan)?;
            pair.wait_active(0)?;
            let mut sets = Sets { pair, active: 0 };
            sets.wait("in sync", |sets| sets.state(1, "bans") == "in sync")?;
            assert_eq!(sets.number(1, "bans", "records_here"), 20_001);
            sets.wait("the count", |sets| {
                sets.number(0, "bans", "records_there") == 20_001
            })?;
            // what it had alone is added: nobody has deleted it
            assert!(has(sets.here(), "bans", "192.0.2.1"));
            // again, from nothing, with a clock
            sets.pair.routers[1].kill();
            sets.there()
                .nft(&format!("delete table inet filter\n{SETS}"))?;
            sets.pair.restart(1)?;
            let begun = Instant::now();
            sets.wait("in sync", |sets| {
                sets.number(1, "bans", "records_here") == 20_001
                    && sets.state(1, "bans") == "in sync"
            })?;
            println!("20000 elements after a start: {:?}", begun.elapsed());
            let (_, text) = sets.pair.said(0, &["status"])?;
            assert!(text.contains("1 set, 20001 elements"), "{text}");
            Ok(())
        });
    }
}
