//! Makes the finding about a network on which one node does not hear the other. The text names the direction.

use crate::facts::{GroupFacts, Role};
use crate::finding::{Finding, Id};

/// Prefix of the rating of the active node, if the other node does not hear this one but is heard.
const ONE_WAY: &str = "one way, ";
/// Report of the other node that it cannot use its interface there.
const UNUSABLE: &str = "unusable";
const BETWEEN: &str = "Check cables and switches between both nodes there.";

/// Returns the findings that a node knows, by itself or from the heartbeats of the other node.
pub(crate) fn findings(node: &str, group: &GroupFacts, peer: &str, link_up: bool) -> Vec<Finding> {
    let all = group.networks.unheard.iter();
    // over a link the other node reports itself why its interface is not usable
    let told = all.filter(|(_, what)| !(link_up && *what == UNUSABLE));
    let found = told.map(|(interface, what)| finding(node, group, peer, interface, what));
    found.collect()
}

/// Returns true if a finding of this kind explains why the check of the interface fails.
pub(crate) fn explains(group: &GroupFacts, interface: &str) -> bool {
    let what = group.networks.unheard.get(interface);
    what.is_some_and(|what| what != UNUSABLE)
}

fn finding(node: &str, group: &GroupFacts, peer: &str, interface: &str, what: &str) -> Finding {
    let name = &group.name;
    let (text, todo) = match (what, what.strip_prefix(ONE_WAY)) {
        (UNUSABLE, _) => (
            format!(
                "{peer} is not heard on interface \"{interface}\": it cannot use its own there"
            ),
            format!("`sparectl status` on {peer} says why."),
        ),
        (_, Some(rating)) => {
            let is_active = group.role == Role::Active;
            let side = side_at_fault(rating, if is_active { node } else { peer });
            (
                format!(
                    "{peer} does not hear {node} on interface \"{interface}\", though {node} hears {peer} there ({side})"
                ),
                BETWEEN.to_owned(),
            )
        }
        (rating, None) => (
            format!(
                "{peer} is not heard on interface \"{interface}\", though it is heard elsewhere ({})",
                side_at_fault(rating, node)
            ),
            BETWEEN.to_owned(),
        ),
    };
    let text = format!("{node}: {name}: {text}");
    Finding::new(Id::Unheard, node, interface, text).todo(todo)
}

/// Returns which side is at fault, by the rating of that node.
fn side_at_fault(rating: &str, node: &str) -> String {
    match rating {
        "good" => format!("other stations answer there, so {node}'s side works"),
        "bad" => format!("no station answers there, so {node}'s side is at fault"),
        _ => "whose side is at fault is not known".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(role: Role, what: &str, link_up: bool) -> Vec<String> {
        let mut group = GroupFacts {
            name: "office".to_owned(),
            role,
            ..GroupFacts::default()
        };
        group
            .networks
            .unheard
            .insert("lan".to_owned(), what.to_owned());
        let found = findings("r1", &group, "r2", link_up).into_iter();
        found.map(|it| format!("{} {}", it.text, it.todo)).collect()
    }

    #[test]
    fn the_text_names_the_direction_and_the_side_that_was_rated() {
        for (role, what, text) in [
            (
                Role::Active,
                "good",
                "r2 is not heard on interface \"lan\", though it is heard elsewhere (other stations answer there, so r1's side works)",
            ),
            (
                Role::Active,
                "one way, bad",
                "r2 does not hear r1 on interface \"lan\", though r1 hears r2 there (no station answers there, so r1's side is at fault)",
            ),
            (
                Role::Backup,
                "one way, bad",
                "r2 does not hear r1 on interface \"lan\", though r1 hears r2 there (no station answers there, so r2's side is at fault)",
            ),
        ] {
            let text = format!("r1: office: {text} {BETWEEN}");
            assert_eq!(texts(role, what, true), [text], "{what}");
        }
    }

    #[test]
    fn an_interface_that_the_other_node_cannot_use_is_told_only_where_it_does_not_say_so_itself() {
        let text = "r1: office: r2 is not heard on interface \"lan\": it cannot use its own there \
                    `sparectl status` on r2 says why.";
        assert_eq!(texts(Role::Active, UNUSABLE, false), [text]);
        assert!(texts(Role::Active, UNUSABLE, true).is_empty());
    }
}
