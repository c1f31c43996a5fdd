//! Priorities that keepalived has to give up before the migration: no claim of spared, which has 254, takes the role from
//! 255, or from 254 with a greater address.

use super::election::OWNER;
use super::group::{Group, PRIORITY_MAX};
use super::{Edit, Top, Translation, child};
use crate::toml::Each;
use crate::tree::Statement;

/// Priority in place of that of an owner, if the other node's is less.
const FORMER_OWNER: i64 = 250;
const WHY: &str = "spared takes a role at priority 254: keepalived does not give it up at 255, nor at 254 if its address is greater";

const WEIGHTS: &str =
    "keepalived ignores the weights of checks at 255; with the lower priority they count";

const DROPS: &str = "in strict mode keepalived drops packets to the addresses themselves unless the priority is 255: with the lower one services on them fail";
const DROPS_TODO: &str = "if there are any, take `vrrp_strict` and `strict_mode` out on both nodes in the same change, and import again";

/// Lowers priorities that are too great, and asks for the same in keepalived's files.
pub(super) fn lower(translation: &mut Translation<'_>, top: &Top<'_>, groups: &mut [Group<'_>]) {
    for group in groups {
        let (base, gained) = (group.election.priority, group.gained);
        if translation.is_final {
            continue;
        }
        let owners = [0, 1].map(|node| base[node] == OWNER && owns(top, group, node));
        if let Some(node) = owners.iter().position(|it| *it) {
            let node = &translation.nodes[node];
            translation.obstacles.push(format!(
                "{node} owns {} (priority 255, and the address is its own): no other node takes the role from it while its keepalived runs, and the address stays there when it ends. Give the group an address that is no node's own and a priority of up to 250, and import again",
                group.decision.address
            ));
        } else {
            group.election.priority = lowered(base, gained);
            ask(translation, top, group, base, group.election.priority);
        }
        let written = &mut group.election.priority;
        for (priority, gained) in written.iter_mut().zip(gained) {
            *priority = if *priority == OWNER {
                OWNER
            } else {
                (*priority + gained).min(PRIORITY_MAX)
            };
        }
    }
}

/// Priorities without the points of good checks, so that no node has more than 253 with them. Between two nodes with
/// points the distance stays, on which it depends whether a failure moves the role.
fn lowered(base: Each<i64>, gained: Each<i64>) -> Each<i64> {
    let with_points = |node: usize| base[node] + gained[node];
    let most = [0, 1].map(with_points);
    let is_owner = base.map(|it| it == OWNER);
    let over = |node: usize| {
        if is_owner[node] {
            0
        } else {
            most[node] - PRIORITY_MAX
        }
    };
    let excess = over(0).max(over(1)).max(0);
    let mut new = base.map(|it| (it - excess).max(1));
    for node in [0, 1].into_iter().filter(|it| is_owner[*it]) {
        let other = 1 - node;
        let rival = if is_owner[other] {
            0
        } else {
            new[other] + gained[other]
        };
        let wanted = if rival < FORMER_OWNER {
            FORMER_OWNER
        } else {
            PRIORITY_MAX
        };
        new[node] = (wanted - gained[node]).max(1);
        if rival == PRIORITY_MAX {
            new[other] = (new[other] - 1).max(1);
        }
    }
    new
}

/// Asks for the change of each file, that of the node with the smaller priority first.
fn ask(
    translation: &mut Translation<'_>,
    top: &Top<'_>,
    group: &Group<'_>,
    base: Each<i64>,
    new: Each<i64>,
) {
    let mut nodes = [0, 1];
    nodes.sort_by_key(|node| base[*node]);
    for node in nodes.into_iter().filter(|it| base[*it] != new[*it]) {
        let instances = group.members.iter().filter_map(|it| it.both[node]);
        for instance in instances {
            let name = instance.word(1);
            let line = if node == 1 && translation.is_one {
                let less = base[node] - new[node];
                format!("vrrp_instance {name} gets a `priority` that is {less} less than now")
            } else {
                let now = match instance.child("priority") {
                    Some(statement) => format!("in place of {}", statement.word(1)),
                    None => "which it does not have: with `state MASTER` that is 255".to_owned(),
                };
                let condition = if translation.is_one {
                    format!(", if {} has less", translation.nodes[1])
                } else {
                    String::new()
                };
                format!(
                    "vrrp_instance {name} gets `priority {}`{condition}, {now}",
                    new[node]
                )
            };
            let place = instance
                .child("priority")
                .map_or(instance.place, |it| it.place);
            let todo = "change it in keepalived.conf before you begin, as the steps say";
            translation.tell(place, "priority", WHY, todo);
            if base[node] == OWNER {
                let what = "weights at priority 255";
                translation.tell(place, what, WEIGHTS, "nothing");
                let first = group.members.first();
                if first.is_some_and(|it| translation.strict(top, &it.both)[node]) {
                    let what = "strict mode at priority 255";
                    translation.tell(place, what, DROPS, DROPS_TODO);
                }
            }
            translation.edit(Edit {
                node: Some(node),
                line,
                why: WHY,
            });
        }
    }
}

/// True if a virtual address is the node's own by its files.
fn owns(top: &Top<'_>, group: &Group<'_>, node: usize) -> bool {
    let statics = top.trees[node].iter();
    let statics = statics.filter(|it| it.word(0) == "static_ipaddress");
    let mut own: Vec<&str> = statics
        .flat_map(Statement::block)
        .map(|it| it.word(0))
        .collect();
    for word in ["unicast_src_ip", "mcast_src_ip"] {
        let sources = group
            .members
            .iter()
            .filter_map(|it| child(&it.both, word)[node]);
        own.extend(sources.map(|it| it.word(1)));
    }
    let bare = |it: &str| it.split('/').next().unwrap_or_default().to_owned();
    let own: Vec<String> = own.into_iter().map(bare).collect();
    let lists = group
        .members
        .iter()
        .filter_map(|it| child(&it.both, "virtual_ipaddress")[node]);
    let mut addresses = lists.flat_map(Statement::block);
    addresses.any(|it| own.contains(&bare(it.word(0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_priority_is_above_253_and_the_order_stays() {
        for (base, gained, new) in [
            ([255, 100], [0, 0], [250, 100]),
            ([255, 254], [0, 0], [253, 252]),
            ([254, 253], [0, 0], [253, 252]),
            ([100, 255], [20, 20], [100, 230]),
            ([240, 200], [30, 30], [223, 183]),
            ([200, 100], [50, 50], [200, 100]),
            ([255, 255], [0, 0], [250, 250]),
        ] {
            assert_eq!(lowered(base, gained), new, "{base:?} {gained:?}");
        }
    }
}
