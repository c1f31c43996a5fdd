//! Sets when roles change.

use super::*;

#[test]
fn a_failover_keeps_all_and_the_new_active_node_goes_on() {
    scenario(2, |lab| {
        let mut sets = Sets::start(lab, &["bans", "bans6"])?;
        let elements: Vec<String> = (0..200)
            .map(|number| format!("192.0.2.{number} timeout 1h"))
            .collect();
        sets.here().nft(&format!(
            "add element inet filter bans {{ {} }}",
            elements.join(", ")
        ))?;
        let (dead, next) = (sets.active, 1 - sets.active);
        sets.wait("all there", |sets| {
            sets.number(next, "bans", "records_here") == 200
        })?;
        sets.pair.routers[dead].kill();
        sets.wait("a failover", |sets| sets.pair.role(next) == "active")?;
        sets.active = next;
        assert!(has(sets.here(), "bans", "192.0.2.199"));
        sets.here()
            .nft("add element inet filter bans { 198.51.100.1 timeout 1h }")?;
        sets.here()
            .nft("delete element inet filter bans { 192.0.2.7 }")?;
        // its kernel still has what it had
        sets.pair.restart(dead)?;
        sets.pair.wait_settled()?;
        sets.wait("in sync", |sets| sets.state(dead, "bans") == "in sync")?;
        assert!(has(sets.there(), "bans", "198.51.100.1"));
        assert!(!has(sets.there(), "bans", "192.0.2.7 "));
        assert_eq!(sets.number(dead, "bans", "records_here"), 200);
        // only what differed was written, on either
        assert_eq!(sets.number(dead, "bans", "added"), 1);
        assert_eq!(sets.number(dead, "bans", "deleted"), 1);
        Ok(())
    });
}

#[test]
fn a_switch_echoes_nothing() {
    scenario(2, |lab| {
        let mut sets = Sets::start(lab, &["bans"])?;
        let elements: Vec<String> = (0..500)
            .map(|it| format!("10.9.{}.{} timeout 1h", it / 250, it % 250))
            .collect();
        sets.here().nft(&format!(
            "add element inet filter bans {{ {} }}",
            elements.join(", ")
        ))?;
        let counters = |sets: &Sets<'_>| {
            [0, 1].map(|site| {
                ["records_here", "added", "deleted", "refused_here"]
                    .map(|key| sets.number(site, "bans", key))
            })
        };
        sets.wait("all there", |sets| counters(sets) == [[500, 500, 0, 0]; 2])?;
        for _ in 0..2 {
            sets.pair.switch(0)?;
            sets.active = 1 - sets.active;
            sets.pair.wait_active(sets.active)?;
            thread::sleep(Duration::from_secs(2));
            assert_eq!(counters(&sets), [[500, 500, 0, 0]; 2]);
            sets.pair.wait_settled()?;
        }
        sets.pair.switch(0)?;
        sets.active = 1 - sets.active;
        sets.pair.wait_active(sets.active)?;
        sets.here()
            .nft("add element inet filter bans { 192.0.2.1 }")?;
        assert!(within(1000, || has(sets.there(), "bans", "192.0.2.1")));
        Ok(())
    });
}

#[test]
fn after_a_split_the_loser_s_elements_are_added() {
    scenario(2, |lab| {
        let sets = Sets::start(lab, &["bans"])?;
        sets.here()
            .nft("add element inet filter bans { 192.0.2.1 timeout 1h }")?;
        assert!(within(1000, || has(sets.there(), "bans", "192.0.2.1")));
        let cut = &lab.sites[1];
        for wire in [Wire::Lan, Wire::Wan, Wire::Hot] {
            lab.cut(cut, wire)?;
        }
        sets.wait("both active", |sets| sets.pair.active().len() == 2)?;
        sets.ns(0)
            .nft("add element inet filter bans { 192.0.2.10 timeout 1h }")?;
        sets.ns(1)
            .nft("add element inet filter bans { 192.0.2.11 timeout 1h }")?;
        thread::sleep(Duration::from_millis(1500));
        for wire in [Wire::Hot, Wire::Lan, Wire::Wan] {
            lab.join(cut, wire)?;
        }
        sets.pair.wait_settled()?;
        for site in [0, 1] {
            for element in ["192.0.2.1 ", "192.0.2.10 ", "192.0.2.11 "] {
                assert!(
                    within(5000, || has(sets.ns(site), "bans", element)),
                    "r{}: {element}: {}",
                    site + 1,
                    listed(sets.ns(site), "bans")
                );
            }
        }
        Ok(())
    });
}

#[test]
fn what_a_packet_added_just_before_a_switch_is_sent_with_it() {
    scenario(2, |lab| {
        for site in &lab.sites {
            site.ns.nft(SETS)?;
        }
        let rarely = format!("poll_interval = \"1h\"\n{}", toml(&["seen"]));
        let pair = Linked::start(lab, &plan(rarely))?;
        let active = pair.at()?;
        let sets = Sets { pair, active };
        sets.here().shell("ping -c 1 -W 1 10.1.0.2")?;
        thread::sleep(Duration::from_secs(2));
        assert!(has(sets.here(), "seen", "10.1.0.2"));
        assert!(!has(sets.there(), "seen", "10.1.0.2"), "nobody has read it");
        sets.pair.switch(0)?;
        sets.pair.wait_active(1 - active)?;
        assert!(has(sets.there(), "seen", "10.1.0.2"));
        Ok(())
    });
}
