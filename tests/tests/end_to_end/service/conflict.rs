// SPDX-License-Identifier: MIT OR Apache-2.0
//! Hooks of the winner run again when a split has healed: what they did elsewhere has been undone by the loser's.

use spared_tests::lab::scenario;

use super::*;

/// Hook that stands for a cloud's interface: the last one that says so has the address.
const HOOK: &str = r#"echo "$SPARED_NODE $2 $3 $SPARED_WHY" >>"$(dirname "$0")/../../cloud""#;

#[test]
fn hooks_of_the_winner_run_again_when_a_split_has_healed() {
    scenario(2, |lab| {
        let folder = prepare(lab)?;
        install(&folder, "hooks/active.d/cloud", HOOK)?;
        let cloud = folder.join("cloud");
        let pair = Linked::start(lab, &plan(head(&folder)))?;
        let lines = || -> Vec<String> {
            let text = fs::read_to_string(&cloud).unwrap_or_default();
            text.lines().map(str::to_owned).collect()
        };
        pair.wait("the first has it", || lines().len() == 1)?;
        let first = pair.at()?;
        let place = pair.site(first);
        lab.power_off(place)?;
        pair.wait("the second has it", || lines().len() == 2)?;
        // the second took over later, so it stays: the first one's hook, on a slow cloud, comes last
        fs::write(&cloud, format!("r{} active backup\n", first + 1))?;
        // one that gives way at the first word it hears would not have been heard: so it hears nothing at first
        for wire in Wire::ALL {
            lab.lose(place, wire, 0, 100)?;
        }
        lab.power_on(place)?;
        pair.wait("both know of it", || {
            pair.routers[1 - first].log().contains("is active too")
        })?;
        for wire in Wire::ALL {
            lab.fix(place, wire)?;
        }
        pair.wait_settled()?;
        let winner = pair.at()?;
        pair.wait("the winner has it", || lines().len() > 1)?;
        let begin = format!("r{} active active ", winner + 1);
        let why = format!("r{} was active, too, for ", 2 - winner);
        let said = lines();
        let last = said.last().map(String::as_str).unwrap_or_default();
        assert!(last.starts_with(&begin) && last.contains(&why), "{said:?}");
        std::thread::sleep(Duration::from_secs(1));
        assert_eq!(lines().len(), 2, "once");
        Ok(())
    });
}
