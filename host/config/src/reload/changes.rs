//! Describes changes of `spared.toml`, one line for each.

use crate::{Host, Link, Setup};

/// Changes outside the plugins' files that take effect at once.
pub(crate) fn at_once(old: &Host, new: &Host) -> Vec<String> {
    let mut lines = Vec::new();
    if old.log_level != new.log_level {
        lines.push(format!("log.level: {}", new.log_level).to_lowercase());
    }
    if old.settle != new.settle {
        lines.push(format!("settle_ms: {}", new.settle.as_millis()));
    }
    let link = match (&old.link, &new.link) {
        (Some(old), Some(new)) => changes(old, new),
        (None, Some(link)) => vec![format!("nodes: {} is the peer from now on", link.peer)],
        (Some(link), None) => vec![format!("nodes: {} is no longer the peer", link.peer)],
        (None, None) => Vec::new(),
    };
    lines.extend(link);
    lines
}

fn changes(old: &Link, new: &Link) -> Vec<String> {
    let peer = &new.peer;
    let lines = [
        (
            old.peer != new.peer,
            format!("nodes: {peer} is the peer from now on"),
        ),
        (
            old.keys != new.keys,
            format!("nodes: new keys between this node and {peer}"),
        ),
        (
            old.paths != new.paths || old.port != new.port,
            format!("link: new paths to {peer}"),
        ),
        (old.chain != new.chain, "firewall.chain: changed".to_owned()),
    ];
    let lines = lines.into_iter().filter(|(is_other, _)| *is_other);
    lines.map(|(_, line)| line).collect()
}

/// Changes that take effect at a restart.
pub(crate) fn later(old: &Setup, new: &Setup) -> Vec<String> {
    let mut lines = Vec::new();
    if old.host.realtime != new.host.realtime {
        lines.push("realtime: takes effect for the daemon when spared is restarted".to_owned());
    }
    if old.host.fenced != new.host.fenced {
        lines.push("fence: takes effect when spared is restarted".to_owned());
    }
    lines
}
