// SPDX-License-Identifier: MIT OR Apache-2.0
//! A rule that translates what the nodes themselves send to the virtual address: the backup's checks get no answer, and
//! their finding names the rule and the command that mends it.

use spared_tests::Result;
use spared_tests::lab::{CLIENT, VIRTUAL, Wire, scenario};
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::router::{Plan, PluginFile};

#[test]
fn a_check_that_fails_by_a_rule_for_all_that_leaves_names_what_mends_it() {
    scenario(2, |lab| {
        let (target, address) = (Wire::Wan.ipv4(CLIENT), Wire::Wan.ipv4(VIRTUAL));
        for site in &lab.sites[..2] {
            site.ns.nft(&format!(
                "table ip office {{\n chain out {{ type nat hook postrouting priority srcnat; oifname wan snat to \
                 {address}; }}\n}}\n"
            ))?;
        }
        let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
        plan.plugins.push(PluginFile {
            name: "health".to_owned(),
            toml: format!(
                "[[ping]]\nname = \"uplink\"\ntargets = [\"{target}\"]\nweight = 0\ninterval = \"500ms\"\n\
                 timeout = \"400ms\"\nfall = 1\nrise = 1\n"
            ),
            file: "libspared_health.so".to_owned(),
        });
        let pair = Linked::start(lab, &plan)?;
        let backup = 1 - pair.at()?;
        let told = |site: usize| {
            let found = pair.status(site).unwrap_or_default().verdict.findings;
            let found = found.into_iter().map(|it| (it.id, it.node, it.todo));
            found.collect::<Vec<_>>()
        };
        let new = format!("oifname \"wan\" fib saddr type != local snat to {address}");
        let is_named = |site: usize| {
            let name = &pair.site(backup).name;
            let told = told(site);
            told.len() == 1
                && told.iter().all(|(id, node, todo)| {
                    (id.as_str(), node) == ("SP-0401", name) && todo.contains(&new)
                })
        };
        pair.wait("the rule is named by both", || (0..2).all(is_named))?;

        let todo = told(backup).remove(0).2;
        let command = todo
            .split(['`', '\''])
            .find(|it| it.starts_with("replace "));
        let command = command.ok_or_else(|| format!("no command: {todo}"))?;
        for site in &lab.sites[..2] {
            site.ns.nft(command)?;
        }
        pair.wait("OK", || (0..2).all(|site| told(site).is_empty()))?;
        Result::Ok(())
    });
}
