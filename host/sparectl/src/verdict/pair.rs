//! Two nodes that know each other over a link: who is active, and what a failover would cost.

use spared_control::{GroupStatus, PeerStatus, Status};

use super::{Headline, Level, bare, lone, reason};
use crate::time;

pub(super) fn headline(status: &Status, peer: &PeerStatus, here: &GroupStatus) -> Headline {
    let theirs = peer.status.as_deref();
    let there = theirs.and_then(|status| {
        let group = status.groups.iter().find(|group| group.name == here.name);
        Some((status, group?))
    });
    let said = match there {
        Some((theirs, there)) => both_known((status, here), (theirs, there)),
        None => silent(status, peer, here),
    };
    let Some((level, text)) = said else {
        return lone::headline(&status.node, here);
    };
    let text = format!("{}: {text}", here.name);
    Headline { level, text }
}

type Side<'a> = (&'a Status, &'a GroupStatus);

fn both_known(here: Side<'_>, there: Side<'_>) -> Option<(Level, String)> {
    let (own, other) = (&here.0.node, &there.0.node);
    Some(match (is_active(here.1), is_active(there.1)) {
        (true, true) => (
            Level::Conflict,
            format!("active on BOTH nodes, {own} and {other}."),
        ),
        (true, false) => stands_by(here, there),
        (false, true) => stands_by(there, here),
        (false, false) => (
            Level::NoneActive,
            format!("nobody is active. {}.", bare(&here.1.why)),
        ),
    })
}

fn stands_by((active, group): Side<'_>, (spare, spare_group): Side<'_>) -> (Level, String) {
    let (active, spare_node) = (&active.node, &spare.node);
    if spare_group.role == "fault" {
        let why = reason(spare_group);
        let text = format!("{active} is active and {spare_node} cannot take over: {why}.");
        return (Level::Alone, text);
    }
    let missing = spare.missing.iter().flatten().next();
    let but = if spare.maintenance.is_some() {
        format!("{spare_node} is in maintenance.")
    } else if spare_group.forced == "backup" {
        format!("{spare_node} is kept from taking over.")
    } else if let Some(missing) = missing {
        format!("{spare_node} is not ready: {}.", bare(missing))
    } else if spare_group.quality < group.quality {
        let (own, other) = (spare_group.quality, group.quality);
        format!("{spare_node} can take over but is less fit ({own} against {other}).")
    } else {
        let text = format!(
            "{active} is active, {spare_node} is ready. A failover now would lose nothing."
        );
        return (Level::Ok, text);
    };
    (Level::Warn, format!("{active} is active, {but}"))
}

// The other node says nothing of itself. None: what a lone node would say.
fn silent(status: &Status, peer: &PeerStatus, here: &GroupStatus) -> Option<(Level, String)> {
    let (own, other) = (&status.node, &peer.node);
    let heard = here.other_active.is_some() || here.conflict.is_some();
    match here.role.as_str() {
        "active" if !heard && peer.up => {
            let text = format!("{own} is active; {other} does not answer over the link.");
            Some((Level::Warn, text))
        }
        "active" if !heard => {
            let text = format!(
                "{own} is active and nobody stands by.\n{}",
                last_heard(status, peer)
            );
            Some((Level::Alone, text))
        }
        "backup" if heard && !peer.up => {
            let text = format!(
                "{other} is active, {own} stands by. No link is up: what it holds may be stale."
            );
            Some((Level::Warn, text))
        }
        _ => None,
    }
}

fn last_heard(status: &Status, peer: &PeerStatus) -> String {
    let node = &peer.node;
    let ping = match peer.answers_ping {
        Some(true) => "; it answers a ping: machine alive, daemon silent",
        Some(false) => "; it answers no ping",
        None => "",
    };
    let Some(at) = &peer.last_heard else {
        return format!("{node} has not been heard since this daemon started{ping}.");
    };
    let ago = time::between(at, &status.at).map_or(String::new(), |ago| format!(" ({ago} ago)"));
    let on = match peer.heard_on.as_slice() {
        [] => String::new(),
        paths => format!(" on {}", listed(paths)),
    };
    format!("{node} was last heard {}{ago}{on}{ping}.", time::clock(at))
}

/// "lan3, lan1 and lan2".
fn listed(names: &[String]) -> String {
    match names {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        names => names.join(""),
    }
}

fn is_active(group: &GroupStatus) -> bool {
    group.role == "active"
}
