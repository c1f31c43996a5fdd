//! A firewall is loaded again (`flush ruleset`, then all of it): its sets lose what was added at run time, and get it
//! back.

use spared_tests::elements::has_element;

use super::*;

const FILE: &str = "192.0.2.77 timeout 1h, 192.0.2.78";

/// The ruleset as a file has it, in one transaction with the flush.
fn load(ns: &Namespace, names: bool) -> Result<()> {
    ns.nft(&format!("flush ruleset\n{SETS}{}", named(names)))
}

fn named(names: bool) -> String {
    if names {
        format!("add element inet filter bans {{ {FILE} }}\n")
    } else {
        String::new()
    }
}

/// The element with this number, in the order of the kernel's keys.
fn address(number: usize) -> String {
    let [_, a, b, c] = (number as u32).to_be_bytes();
    format!("10.{a}.{b}.{c}")
}

/// Adds elements 1 to `count`, half of them for a day.
fn fill(ns: &Namespace, count: usize) -> Result<()> {
    let elements: Vec<String> = (1..=count)
        .map(|number| match number % 2 {
            0 => format!("{} timeout 1d", address(number)),
            _ => address(number),
        })
        .collect();
    for part in elements.chunks(50_000) {
        let text = part.join(", ");
        ns.nft(&format!("add element inet filter bans {{ {text} }}"))?;
    }
    Ok(())
}

/// Elements that the kernel has.
fn count(ns: &Namespace) -> usize {
    let text = ns.shell("nft -j list set inet filter bans");
    let json: Option<serde_json::Value> = text.ok().and_then(|it| serde_json::from_str(&it).ok());
    let sets = json.as_ref().and_then(|it| it["nftables"].as_array());
    let set = sets.and_then(|all| all.iter().find_map(|it| it.get("set")));
    let elements = set.and_then(|set| set["elem"].as_array());
    elements.map_or(0, Vec::len)
}

/// Cheap, for who looks often.
fn has_one(ns: &Namespace, address: &str) -> bool {
    address.parse().is_ok_and(|it| has_element(ns, it))
}

impl Sets<'_> {
    /// Waits until both kernels have so many elements.
    fn wait_whole(&self, wanted: usize) -> Result<()> {
        for site in [0, 1] {
            let whole = within(10_000, || count(self.ns(site)) == wanted);
            let found = count(self.ns(site));
            assert!(whole, "r{} has {found} of {wanted}", site + 1);
        }
        let backup = 1 - self.active;
        self.wait("in sync", |sets| sets.state(backup, "bans") == "in sync")
    }

    /// Both have `elements`, by the active node's hand.
    fn fill(&self, elements: usize) -> Result<()> {
        fill(self.here(), elements)?;
        let limit_ms = 10_000 + elements as u64 / 5;
        let followed = within(limit_ms, || count(self.there()) == elements);
        assert!(followed, "{} of {elements}", count(self.there()));
        Ok(())
    }

    /// Loads the ruleset again on these nodes; what the set had is back within `limit_ms`.
    fn reload(&self, sites: &[usize], names: bool, elements: usize, limit_ms: u64) -> Result<()> {
        for site in sites {
            load(self.ns(*site), names)?;
        }
        let begun = Instant::now();
        let ends = [address(1), address(elements)];
        let whole = |site: &usize| ends.iter().all(|it| has_one(self.ns(*site), it));
        let back = within(limit_ms, || sites.iter().all(whole));
        let took = begun.elapsed();
        println!("{elements} elements, loaded on {sites:?}: back after {took:?}");
        assert!(back, "{sites:?}: not back after {took:?}");
        if names {
            for site in sites {
                assert!(has_one(self.ns(*site), "192.0.2.77"), "named by the file");
            }
        }
        Ok(())
    }
}

#[test]
fn what_sets_had_is_back_within_a_second_wherever_the_ruleset_is_loaded() {
    scenario(2, |lab| {
        let sets = Sets::start(lab, &["bans", "seen"])?;
        let (here, there) = (sets.active, 1 - sets.active);
        sets.fill(10)?;
        for (sites, names) in [
            (&[here][..], false),
            (&[there], false),
            (&[here, there], false),
            (&[there], true),
            (&[here], true),
            (&[here, there], true),
        ] {
            sets.reload(sites, names, 10, 1_000)?;
        }
        sets.wait_whole(12)?;
        // the roles are as they were, and changes follow
        assert_eq!(sets.pair.role(here), "active");
        sets.here()
            .nft("delete element inet filter bans { 10.0.0.3 }")?;
        assert!(within(1_000, || !has_one(sets.there(), "10.0.0.3")));
        sets.wait_whole(11)
    });
}

#[test]
fn ten_thousand_are_back_after_two_loads_within_a_second_and_during_a_switchover() {
    scenario(2, |lab| {
        let mut sets = Sets::start(lab, &["bans"])?;
        let (here, there) = (sets.active, 1 - sets.active);
        sets.fill(10_000)?;
        for sites in [&[here][..], &[there], &[here, there]] {
            for site in sites {
                load(sets.ns(*site), true)?;
            }
            thread::sleep(Duration::from_millis(100));
            // unoptimised, and beside others
            sets.reload(sites, true, 10_000, 3_000)?;
            sets.wait_whole(10_002)?;
        }
        sets.pair.wait_settled()?;
        // the set is made again on the node that becomes active next, while it does
        for _ in 0..2 {
            let next = 1 - sets.active;
            let loads = thread::scope(|scope| {
                let loads = scope.spawn(|| {
                    for site in [next, 1 - next, next] {
                        load(&lab.sites[site].ns, true).map_err(|error| error.to_string())?;
                        thread::sleep(Duration::from_millis(60));
                    }
                    Ok::<(), String>(())
                });
                thread::sleep(Duration::from_millis(30));
                sets.pair.switch(0)?;
                let loads = loads.join().map_err(|_| "the loads panicked")?;
                loads.map_err(Into::into)
            });
            let loads: Result<()> = loads;
            loads?;
            sets.active = next;
            sets.pair.wait_active(next)?;
            sets.wait_whole(10_002)?;
            sets.pair.wait_settled()?;
        }
        Ok(())
    });
}

#[test]
fn a_failover_keeps_a_set_that_was_made_anew_on_both() {
    scenario(2, |lab| {
        let mut sets = Sets::start(lab, &["bans"])?;
        sets.fill(100)?;
        let (dead, next) = (sets.active, 1 - sets.active);
        load(sets.here(), false)?;
        load(sets.there(), false)?;
        sets.pair.routers[dead].kill();
        sets.wait("a failover", |sets| sets.pair.role(next) == "active")?;
        sets.active = next;
        assert!(within(1_000, || count(sets.here()) == 100));
        // its worker knows nothing any more, and its set is made once more
        load(sets.there(), false)?;
        sets.pair.restart(dead)?;
        sets.pair.wait_settled()?;
        sets.wait_whole(100)
    });
}

#[test]
fn who_deletes_or_flushes_by_name_means_it_and_one_key_makes_a_load_mean_it() {
    scenario(2, |lab| {
        for site in &lab.sites {
            site.ns.nft(SETS)?;
        }
        let toml = format!("{}reload = \"flush\"\n", toml(&["bans"]));
        let pair = Linked::start(lab, &plan(toml))?;
        let active = pair.at()?;
        let sets = Sets { pair, active };
        sets.fill(20)?;
        sets.here()
            .nft("delete element inet filter bans { 10.0.0.5 }")?;
        sets.wait_whole(19)?;
        // on the backup it deletes nothing for long
        load(sets.there(), false)?;
        sets.wait_whole(19)?;
        load(sets.here(), true)?;
        sets.wait_whole(2)?;
        sets.here().nft("flush set inet filter bans")?;
        sets.wait_whole(0)
    });
}

/// `SETS_ELEMENTS` of them:
/// `cargo test --release -p spared-tests --test end_to_end -- a_hundred_thousand --ignored --nocapture`.
#[test]
#[ignore = "measures, for a minute"]
fn a_hundred_thousand_are_back_within_a_second() {
    scenario(2, |lab| {
        let count = std::env::var("SETS_ELEMENTS").ok();
        let count: usize = count.and_then(|it| it.parse().ok()).unwrap_or(100_000);
        let sets = Sets::start(lab, &["bans"])?;
        let (here, there) = (sets.active, 1 - sets.active);
        sets.fill(count)?;
        let limit_ms = 1_000.max(count as u64 / 100);
        for sites in [&[here][..], &[there], &[here, there]] {
            sets.reload(sites, false, count, limit_ms)?;
            sets.wait_whole(count)?;
        }
        assert_eq!(sets.pair.role(here), "active");
        Ok(())
    });
}
