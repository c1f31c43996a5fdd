//! Fence leases of two nodes, each of which is active for a group, while a large list is replaced on one of them.

use std::net::Ipv4Addr;

use spared_tests::elements::has_element;
use spared_tests::lab::VIRTUAL;
use spared_tests::random::number;

use super::lists::list;
use super::*;

const OUTSIDE: &str = "[[group]]\nname = \"outside\"\nprefer = \"r2\"\nversion = 3\nadvert_interval = \"100ms\"\n\
     [[group.interface]]\ninterface = \"wan\"\nvrid = 52\naddresses = [\"10.2.0.1/24\"]\n";
const GROUPS: [&str; 2] = ["office", "outside"];
const LISTS: usize = 6;

/// r1 is active for office, r2 for outside.
fn start(lab: &Lab) -> Result<Sets<'_>> {
    for site in &lab.sites {
        site.ns.nft(SETS)?;
    }
    let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
    plan.routers.truncate(1);
    plan.plugins = self::plan(toml(&["bans"])).plugins;
    plan.sections = OUTSIDE.to_owned();
    let pair = Linked::start(lab, &plan)?;
    let sets = Sets { pair, active: 0 };
    sets.wait("one group on each node", |sets| {
        let lab = sets.pair.lab;
        let held = Wire::BOTH.map(|wire| lab.holders(&wire.ipv4(VIRTUAL).to_string()));
        held == [vec![0], vec![1]]
    })?;
    Ok(sets)
}

/// Counter of a node, for the group that is active there.
fn counted(sets: &Sets<'_>, site: usize, key: &str) -> u64 {
    let key = format!("{}.{key}", GROUPS[site]);
    let row = Spared(&sets.pair.routers[site]).row(&["vrrp", "counters"], &key);
    row.unwrap_or_default().as_u64().unwrap_or_default()
}

/// `SETS_ELEMENTS` (100 000) of them. Each advert renews a lease of 270 ms: one that is 170 ms late finds that it has
/// ended. Compared are lists on the node itself, which nft writes there, and lists of the peer.
#[test]
#[ignore = "measures"]
fn leases_beside_a_list() {
    scenario(2, |lab| {
        let count = number("SETS_ELEMENTS", 100_000) as usize;
        let sets = start(lab)?;
        for it in 1..=LISTS {
            let text = list(it, count).replace("block", "bans");
            let begun = Instant::now();
            sets.ns(0).nft(&text)?;
            let loaded = begun.elapsed();
            let first = Ipv4Addr::new(10, it as u8, 0, 0);
            // the list of a node that loses its role does not hold
            let is_there = within(10_000, || has_element(sets.ns(1), first));
            let ended = begun.elapsed();
            println!("nft {loaded:?}, at the peer {is_there} after {ended:?}");
            thread::sleep(Duration::from_secs(1));
        }
        for site in [0, 1] {
            let said = ["lapses", "advert_late_worst_us", "became_active"];
            let said = said.map(|key| format!("{key} {}", counted(&sets, site, key)));
            println!("r{}, {}: {}", site + 1, GROUPS[site], said.join(", "));
        }
        Ok(())
    });
}
