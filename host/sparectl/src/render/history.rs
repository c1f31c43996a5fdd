//! Role changes as text: time, node, reason, and the quality of both nodes.

use jiff::Timestamp;
use spared_message::control::{Fitness, Past, PastFinding, RoleChange};
use spared_verdict::history::{Gap, gaps};
use spared_verdict::time;

use super::{moment, wrap};

/// Width of the time and of the gap after it.
const INDENT: usize = 25;

/// Text with a line for each role change, finding and time without a record, in the order of their begin. `columns` is
/// the width of the terminal.
pub fn history(past: &Past, columns: usize) -> String {
    let changes = past.changes.iter().map(|it| (it.at.as_str(), line(it)));
    let findings = past
        .findings
        .iter()
        .map(|it| (it.began.as_str(), finding(it)));
    let gaps = gaps(&past.runs);
    let gaps = gaps
        .iter()
        .filter(|it| is_long(it))
        .map(|it| (it.began, gap(it)));
    let mut lines: Vec<(&str, String)> = changes.chain(findings).chain(gaps).collect();
    if let Some(since) = &past.since {
        let is_older = |at: &str| instant(at) < instant(since);
        if past.is_cut || past.changes.iter().any(|it| is_older(&it.at)) {
            lines.push((since, beginning(since)));
        } else if lines.is_empty() {
            lines.push((
                since,
                format!("no role has changed since {}", time::clock(since)),
            ));
        }
    }
    lines.sort_by_key(|(at, _)| instant(at));
    let lines = lines
        .iter()
        .map(|(_, line)| wrap::hanging(line, INDENT, columns));
    let mut text: String = lines.collect();
    if text.is_empty() {
        text = "no role has changed yet\n".to_owned();
    }
    if let Some(node) = &past.silent {
        text += &format!("{node} does not answer: its changes are not listed\n");
    }
    text
}

fn beginning(since: &str) -> String {
    let before = "before this time only the last role change of each group is listed";
    format!("{:<23}  {before}", time::clock(since))
}

/// Line such as "2026-11-20 09:41:08      r1  interface lan1 of r1 has no carrier (SP-0403), until 09:52:10 (11 min)".
fn finding(finding: &PastFinding) -> String {
    let PastFinding {
        id,
        node,
        text,
        began,
        ended,
        times,
        is_end_unknown,
        ..
    } = finding;
    let of_node = text.strip_prefix(node.as_str());
    let text = of_node
        .and_then(|rest| rest.strip_prefix(": "))
        .unwrap_or(text);
    let times = match times {
        0 | 1 => String::new(),
        times => format!(", {times} times"),
    };
    let until = match ended {
        None => ", and still".to_owned(),
        Some(ended) => {
            let at_least = if *is_end_unknown { " at least" } else { "" };
            format!(" until {}{at_least}", until(began, ended))
        }
    };
    let comma = if times.is_empty() && ended.is_some() {
        ","
    } else {
        ""
    };
    format!(
        "{:<23}  {node}  {text} ({id}){times}{comma}{until}",
        time::clock(began)
    )
}

fn gap(gap: &Gap<'_>) -> String {
    let Gap { node, began, ended } = gap;
    format!(
        "{:<23}  {node}  not recorded until {}: spared did not run, or what it wrote was lost",
        time::clock(began),
        until(began, ended)
    )
}

/// True if the gap is longer than a restart takes.
fn is_long(gap: &Gap<'_>) -> bool {
    time::seconds(gap.began, gap.ended).is_none_or(|passed| passed > 2)
}

/// Text such as "09:52:10 (11 min)".
fn until(began: &str, ended: &str) -> String {
    let clock = time::clock_on(began, ended);
    match time::between(began, ended) {
        Some(passed) => format!("{clock} ({passed})"),
        None => clock,
    }
}

fn instant(rfc3339: &str) -> Timestamp {
    rfc3339.parse().unwrap_or(Timestamp::MIN)
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
