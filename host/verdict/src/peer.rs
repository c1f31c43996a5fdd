//! Makes the finding about another node whose state is not known.

use crate::facts::{NodeFacts, PairFacts, PeerLife};
use crate::finding::{Finding, Id};
use crate::headline::unreported;
use crate::time;

/// Returns the finding about the other node itself, if a group depends on it.
pub(crate) fn finding(now: &str, own: &NodeFacts, pair: &PairFacts) -> Option<Finding> {
    let peer = &pair.peer;
    let of = |id: Id, text: String| {
        let todo = format!(
            "Look at {peer}: is it on? `systemctl status spared` there says whether its daemon runs."
        );
        Some(Finding::new(id, peer, peer, text).todo(todo))
    };
    let is_heard = own
        .groups
        .iter()
        .any(|group| group.rivals.other_active.is_some());
    match pair.life {
        _ if own.groups.is_empty() || pair.facts.is_some() => None,
        _ if pair.link_up => {
            let text = format!("{}, although it is connected", unreported(pair));
            // systemd ends a daemon that hangs, if it manages the daemon.
            let todo = format!(
                "See `systemctl status spared` on {peer}; if this lasts for a minute, run `systemctl restart spared` there."
            );
            of(Id::PeerMute, text).map(|found| found.todo(todo))
        }
        PeerLife::Alive => None,
        PeerLife::Silent => {
            let since = pair.last_heard.as_deref().unwrap_or_default();
            let mut groups = own.groups.iter();
            let is_advertised = groups.any(|group| !group.networks.adverts_alone.is_empty());
            let found = of(Id::PeerSilent, last_heard(now, pair, is_advertised));
            found.map(|found| found.since(since))
        }
        PeerLife::Unknown if is_heard => None,
        // the finding about the key is the cause, and says more
        PeerLife::Unknown if !own.config.key_faults.is_empty() => None,
        PeerLife::Unknown => {
            let (why, todo) = if pair.has_link {
                (
                    "no link is up, and the vrrp plugin does not answer",
                    "Check the links, and `sparectl plugins`.",
                )
            } else {
                (
                    "there is neither a link nor a key that could prove it",
                    "`sparectl keygen` on both nodes prints the keys for [nodes].",
                )
            };
            let text = format!("it is not known whether {peer} is alive: {why}");
            of(Id::PeerUnknown, text).map(|found| found.todo(todo))
        }
    }
}

fn last_heard(now: &str, pair: &PairFacts, is_advertised: bool) -> String {
    let node = &pair.peer;
    let ping = match pair.answers_ping {
        _ if is_advertised => "; its adverts are heard, so its heartbeats are lost on every path",
        Some(true) => "; its machine answers a ping, its daemon may be off",
        // the link has its address only while the daemon runs
        Some(false) => {
            "; no ping is answered on the links: its machine or its daemon is off, or its key or the cables are missing"
        }
        None => "",
    };
    let Some(at) = &pair.last_heard else {
        return format!("{node} has not been heard since this daemon started{ping}");
    };
    let ago = time::between(at, now).map_or(String::new(), |ago| format!(" ({ago} ago)"));
    let on = match pair.heard_on.as_slice() {
        [] => String::new(),
        paths => format!(" on {}", joined(paths)),
    };
    format!("{node} was last heard {}{ago}{on}{ping}", time::clock(at))
}

/// Joins names: "lan3, lan1 and lan2".
pub(crate) fn joined(names: &[String]) -> String {
    match names {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        names => names.join(""),
    }
}
