// SPDX-License-Identifier: MIT OR Apache-2.0
//! A kernel that refuses adverts to a unicast peer: both nodes say so, until it is over, and no role moves.

use std::thread;
use std::time::Duration;

use spared_pair::Word;
use spared_tests::Result;
use spared_tests::lab::{Wire, scenario};
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::router::Plan;

const WHILE: Duration = Duration::from_millis(1_200);

/// A second group, whose adverts go to both nodes' addresses.
const UNICAST: &str = "[[group]]\nname = \"more\"\nprefer = \"r1\"\nadvert_interval = \"100ms\"\n\
    failback_delay = \"500ms\"\n[[group.interface]]\ninterface = \"lan\"\nvrid = 61\n\
    addresses = [\"10.1.0.61/24\"]\nunicast = true\npeers = [\"10.1.0.11\", \"10.1.0.12\"]\n";

/// Whether both nodes warn, of one thing, in words with these parts; without an id: whether both are well.
fn both_say(pair: &Linked<'_>, id: &str, parts: &[&str]) -> bool {
    [0, 1].iter().all(|site| {
        let verdict = pair.status(*site).unwrap_or_default().verdict;
        let lines = verdict.findings.iter().map(|it| (it.id.as_str(), &it.text));
        let lines: Vec<(&str, &String)> = lines.collect();
        match lines.as_slice() {
            [] => id.is_empty() && verdict.word == Word::Ok,
            [(found, text)] => {
                *found == id
                    && parts.iter().all(|part| text.contains(part))
                    && verdict.word == Word::Warn
            }
            _ => false,
        }
    })
}

fn wait_well(pair: &Linked<'_>) -> Result<()> {
    pair.wait("both well", || both_say(pair, "", &[]))
}

#[test]
fn unicast_adverts_that_the_output_chain_drops_are_named_by_both_nodes() {
    scenario(2, |lab| {
        let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
        plan.sections = UNICAST.to_owned();
        let pair = Linked::start(lab, &plan)?;
        let all_on = |site: usize| {
            let groups = pair.status(site).unwrap_or_default().groups;
            groups.len() == 2 && groups.iter().all(|group| group.role == "active")
        };
        pair.wait("r1 active", || all_on(0))?;
        wait_well(&pair)?;
        let site = pair.site(0);
        site.ns.nft(
            "table inet strict { chain out {\ntype filter hook output priority 0\nmeta l4proto 112 drop\n}\n}\n",
        )?;
        let peer = Wire::Lan.ipv4(pair.site(1).host());
        let refuses = format!("the kernel of r1 refuses its adverts to {peer}");
        let router = "virtual_router.lan.61.ipv4";
        pair.wait("the refusal", || {
            both_say(&pair, "SP-0206", &[router, &refuses])
        })?;
        thread::sleep(WHILE);
        assert!(both_say(&pair, "SP-0206", &[router, &refuses]));
        assert!(all_on(0), "heartbeats tell that it is active");
        site.ns.nft("delete table inet strict")?;
        wait_well(&pair)
    });
}
