//! Finds what a change made worse: links, groups and the other node.

use spared_message::control::{GroupStatus, Status};

/// Sentences about links, groups and the other node that were good before and are not any more.
pub fn worse(before: &Status, after: &Status) -> Vec<String> {
    let mut worse = Vec::new();
    // links are counted: the configuration may name other interfaces on purpose
    let up = |it: &Status| it.links.iter().filter(|it| it.state == "up").count();
    let (was, is) = (up(before), up(after));
    if is < was {
        worse.push(format!("links that are up: {is}, before: {was}"));
    }
    let told = |it: &Status| {
        let peer = it.peer.as_deref();
        peer.is_some_and(|it| it.up && it.status.is_some())
    };
    if told(before) && !told(after) {
        let peer = before
            .peer
            .as_deref()
            .map_or("the other node", |it| &it.node);
        worse.push(format!("{peer} is not heard any more"));
        return worse;
    }
    for group in &before.groups {
        let name = group.name.as_str();
        let (was, is) = (on_both(before, name), on_both(after, name));
        let actives = |of: &[&GroupStatus]| of.iter().filter(|it| it.role == "active").count();
        // quality counts as well: the role of a backup with quality 0 shows it only when it would have to become active
        let is_unfit = |it: &&&GroupStatus| it.role == "fault" || it.quality == 0;
        let unfit = |of: &[&GroupStatus]| of.iter().filter(is_unfit).count();
        // a group without any row was removed from the files on purpose
        if is.is_empty() {
            continue;
        }
        if actives(&was) == 1 && actives(&is) != 1 {
            worse.push(format!("{name} is active on {} nodes", actives(&is)));
        } else if unfit(&is) > unfit(&was) {
            let count = unfit(&is);
            worse.push(format!("{name} cannot be active on {count} of 2 nodes"));
        }
    }
    worse
}

/// Status of a group on both nodes.
fn on_both<'s>(status: &'s Status, group: &str) -> Vec<&'s GroupStatus> {
    let theirs = status.peer.as_deref().and_then(|it| it.status.as_deref());
    let nodes = [Some(status), theirs].into_iter().flatten();
    let groups = nodes.flat_map(|it| it.groups.iter());
    groups.filter(|it| it.name == group).collect()
}

#[cfg(test)]
mod tests {
    use spared_message::control::{LinkStatus, PeerStatus};

    use super::*;

    fn node(role: &str) -> Status {
        let group = GroupStatus {
            name: "office".to_owned(),
            role: role.to_owned(),
            quality: 100,
            ..GroupStatus::default()
        };
        Status {
            groups: vec![group],
            ..Status::default()
        }
    }

    fn pair(roles: [&str; 2], link: &str) -> Status {
        let peer = PeerStatus {
            node: "r2".to_owned(),
            up: true,
            status: Some(Box::new(node(roles[1]))),
            ..PeerStatus::default()
        };
        let link = LinkStatus {
            interface: "hot".to_owned(),
            state: link.to_owned(),
            ..LinkStatus::default()
        };
        Status {
            peer: Some(Box::new(peer)),
            links: vec![link],
            ..node(roles[0])
        }
    }

    #[test]
    fn what_is_worse_is_a_link_a_group_or_the_other_node() {
        let before = pair(["active", "backup"], "up");
        assert_eq!(worse(&before, &before), [""; 0]);
        // a switchover is no loss
        assert_eq!(worse(&before, &pair(["backup", "active"], "up")), [""; 0]);
        for (roles, link, expected) in [
            (
                ["active", "backup"],
                "down",
                "links that are up: 0, before: 1",
            ),
            (["backup", "backup"], "up", "office is active on 0 nodes"),
            (["active", "active"], "up", "office is active on 2 nodes"),
            (
                ["active", "fault"],
                "up",
                "office cannot be active on 1 of 2 nodes",
            ),
        ] {
            assert_eq!(worse(&before, &pair(roles, link)), [expected]);
        }
        let mut after = before.clone();
        let there = after.peer.as_mut().and_then(|it| it.status.as_deref_mut());
        there.expect("a status").groups[0].quality = 0;
        let unfit = "office cannot be active on 1 of 2 nodes";
        assert_eq!(worse(&before, &after), [unfit]);
        let mut after = before.clone();
        after.peer.as_mut().expect("a peer").status = None;
        assert_eq!(worse(&before, &after), ["r2 is not heard any more"]);
        // faults from before do not count
        let bad = pair(["fault", "fault"], "down");
        assert_eq!(worse(&bad, &bad), [""; 0]);
    }
}
