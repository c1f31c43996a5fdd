//! Makes the finding about what runs in another build than is installed.

use crate::facts::NodeFacts;
use crate::finding::{Finding, Id};
use crate::peer::joined;

/// Returns the finding. An upgrade of both nodes needs a link, and a node without one is restarted.
pub(crate) fn finding(node: &NodeFacts, link_up: bool) -> Option<Finding> {
    let name = &node.node;
    // a file that is damaged or missing has a finding of its own
    let is_lost = |thing: &String| {
        let mut lost = node.machine.needs.restart.iter();
        lost.any(|it| it.thing == *thing)
    };
    let outdated = node.processes.outdated.iter().filter(|it| !is_lost(it));
    let outdated: Vec<String> = outdated.cloned().collect();
    if outdated.is_empty() {
        return None;
    }
    let text = format!(
        "{name}: another build of {} is installed than runs",
        joined(&outdated)
    );
    let finding = Finding::new(Id::Outdated, name, "build", text);
    Some(if link_up {
        finding.todo("Run `sparectl upgrade` on either node.")
    } else {
        finding.todo_there("Run `systemctl restart spared`, best while the node is backup.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FailsAfterRestart, Needs};

    fn told(outdated: &[&str], lost: &[&str]) -> Option<String> {
        let mut node = NodeFacts {
            node: "r2".to_owned(),
            ..NodeFacts::default()
        };
        node.processes.outdated = outdated.iter().map(|it| (*it).to_owned()).collect();
        let restart = lost.iter().map(|it| FailsAfterRestart {
            thing: (*it).to_owned(),
            why: "damaged".to_owned(),
        });
        node.machine.needs = Needs {
            restart: restart.collect(),
            ..Needs::default()
        };
        let what = |it: Finding| format!("{} {}", it.id, it.text);
        let finding = finding(&node, true)?;
        assert!(finding.todo.contains("`sparectl upgrade`"), "{finding:?}");
        Some(what(finding))
    }

    #[test]
    fn what_was_replaced_is_named_unless_it_is_damaged() {
        let all = told(&["spared", "sets", "vrrp"], &[]);
        let text = "SP-0894 r2: another build of spared, sets and vrrp is installed than runs";
        assert_eq!(all.as_deref(), Some(text));
        let one = told(&["spared", "sets"], &["sets"]);
        let text = "SP-0894 r2: another build of spared is installed than runs";
        assert_eq!(one.as_deref(), Some(text));
        assert_eq!(told(&["sets"], &["sets"]), None);
        assert_eq!(told(&[], &[]), None);
    }
}
