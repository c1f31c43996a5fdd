//! Plans an upgrade: which node is next, from what both nodes report.

/// A node, as its part in the plan needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub name: String,
    /// True if the node is active for a group.
    pub is_active: bool,
    /// True if the node does not run what is installed.
    pub is_due: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Starts a backup again.
    Restart(String),
    /// Switches every group over to this node.
    Switch(String),
}

/// Returns the next step; None if no node is due. A backup comes first, and an active node becomes one.
pub fn next(nodes: &[Node; 2]) -> Option<Step> {
    let [one, other] = nodes;
    let backup = nodes.iter().find(|it| it.is_due && !it.is_active);
    match (backup, one.is_due, other.is_due) {
        (Some(backup), ..) => Some(Step::Restart(backup.name.clone())),
        (None, true, _) => Some(Step::Switch(other.name.clone())),
        (None, false, true) => Some(Step::Switch(one.name.clone())),
        (None, false, false) => None,
    }
}

/// Returns all steps, if each has its effect.
pub fn all(mut nodes: [Node; 2]) -> Vec<Step> {
    let mut steps = Vec::new();
    while let Some(step) = next(&nodes) {
        for node in &mut nodes {
            match &step {
                Step::Restart(name) if node.name == *name => node.is_due = false,
                Step::Restart(_) => {}
                Step::Switch(to) => node.is_active = node.name == *to,
            }
        }
        steps.push(step);
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, is_active: bool, is_due: bool) -> Node {
        Node {
            name: name.to_owned(),
            is_active,
            is_due,
        }
    }

    fn steps(r1: [bool; 2], r2: [bool; 2]) -> String {
        let nodes = [node("r1", r1[0], r1[1]), node("r2", r2[0], r2[1])];
        let steps = all(nodes).into_iter().map(|step| match step {
            Step::Restart(name) => format!("restart {name}"),
            Step::Switch(to) => format!("switch {to}"),
        });
        steps.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn the_backup_is_first_whichever_node_is_asked() {
        let all = "restart r2, switch r2, restart r1";
        assert_eq!(steps([true, true], [false, true]), all);
        let all = "restart r1, switch r1, restart r2";
        assert_eq!(steps([false, true], [true, true]), all);
    }

    #[test]
    fn what_an_earlier_run_has_done_is_not_done_again() {
        assert_eq!(steps([true, true], [false, false]), "switch r2, restart r1");
        assert_eq!(steps([false, true], [true, false]), "restart r1");
        assert_eq!(steps([true, false], [false, false]), "");
        // the package is installed on the backup alone
        assert_eq!(steps([true, false], [false, true]), "restart r2");
    }

    #[test]
    fn nodes_that_share_the_groups_are_backup_in_turns() {
        let all = "switch r2, restart r1, switch r1, restart r2";
        assert_eq!(steps([true, true], [true, true]), all);
        assert_eq!(steps([true, false], [true, true]), "switch r1, restart r2");
    }
}
