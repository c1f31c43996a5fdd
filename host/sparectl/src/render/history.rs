//! Role changes as text: time, node, reason, and the quality of both nodes.

use spared_message::control::{Fitness, RoleChange};

use super::moment;
use spared_verdict::time;

/// Text with a line for each change, oldest first. `silent` is a node that did not answer.
pub fn history(changes: &[RoleChange], silent: Option<&str>) -> String {
    let mut text: String = changes.iter().map(|it| format!("{}\n", line(it))).collect();
    if changes.is_empty() {
        text = "no role has changed yet\n".to_owned();
    }
    if let Some(node) = silent {
        text += &format!("{node} does not answer: its changes are not listed\n");
    }
    text
}

/// Line such as "2026-11-20 09:41:07.715  r2  office/17: backup -> active: r1 resigned (quality: r2 100; r1 73)".
pub(super) fn line(change: &RoleChange) -> String {
    let RoleChange {
        at,
        group,
        number,
        from,
        to,
        why,
        own,
        peer,
        ..
    } = change;
    let nodes = [Some(own), peer.as_ref()].into_iter().flatten();
    let nodes: Vec<String> = nodes.map(|it| fitness(it, at)).collect();
    let (from, to) = (from.word(), to.word());
    let number = number.map(|it| format!("/{it}")).unwrap_or_default();
    format!(
        "{}  {}  {group}{number}: {from} -> {to}: {why} (quality: {})",
        moment(at),
        own.node,
        nodes.join("; ")
    )
}

// Text such as "r1 73, check "internet" fails, and 2 more as of 09:41:03".
fn fitness(of: &Fitness, at: &str) -> String {
    let mut text = format!("{} {}", of.node, of.quality);
    if let Some(check) = of.failing.first() {
        text += &format!(", {check}");
    }
    if of.failing.len() > 1 {
        text += &format!(", and {} more", of.failing.len() - 1);
    }
    if let Some(said) = &of.said {
        text += &format!(" as of {}", time::clock_on(at, said));
    }
    text
}
