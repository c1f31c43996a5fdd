//! `sparectl config push`: this node's /etc/spared to the other node, in force on both or on none.
//!
//! The nodes do it, the plugin files with its root half: each checks, has its daemon read the files, and goes back by
//! itself unless that is confirmed. This program confirms it, if nothing is worse after a while. If it dies, or the
//! link does, nobody confirms.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use spared_control::{Answer, Request, Status, Value};

use crate::args::Args;
use crate::{EXIT_FAILED, ask, output};

const PAUSE: Duration = Duration::from_millis(500);
/// Time for a check, a reload, and for what the nodes tell each other then.
const STEP: Duration = Duration::from_secs(120);
/// Time that a plugin or a link that was restarted by the change has to be there again.
const LOST: Duration = Duration::from_secs(10);
/// Time between the end of the watch and the way back of this node, if nobody confirms; the other one has it twice,
/// as it begins before.
const SLACK_S: u64 = 30;
const HERE: &str = "tree.spared.goes_back_in";
const THERE: &str = "tree.spared.goes_back_on_peer_in";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Push {
    pub dry_run: bool,
    /// Changes of the other node are lost.
    pub anyway: bool,
    /// Time after which nothing may be worse.
    pub watch: Duration,
}

type Rows = BTreeMap<String, Value>;

/// Prints each step; the exit code.
pub fn push(args: &Args, push: Push) -> u8 {
    match try_push(args, push) {
        Ok(()) => 0,
        Err(why) => {
            output::errors(&[why]);
            EXIT_FAILED
        }
    }
}

fn try_push(args: &Args, push: Push) -> Result<(), String> {
    if args.node.is_some() {
        return Err("run config push on the node whose files are to be sent".to_owned());
    }
    let before = status(args)?;
    let peer = before.peer.as_deref().filter(|it| it.up);
    let peer = peer.ok_or("the other node is not heard over the link")?;
    let (node, peer) = (before.node.as_str(), peer.node.as_str());
    let anyway = push.anyway.then_some("--anyway");
    if push.dry_run {
        say(&files(args, ["push", "spared", "--dry-run"])?);
        return Ok(());
    }
    say(&format!("{node}: {}", files(args, ["apply", "--check"])?));
    let words = ["push", "spared", "--check"];
    let there = files(args, words.into_iter().chain(anyway))?;
    let there = when_ended(args, there)?;
    say(&format!("{peer}: {there}"));
    let is_same = there.contains("both nodes have the same");
    // The other node first: what changes the link cuts it until both have it.
    if !is_same {
        let time = seconds(push.watch, 2 * SLACK_S);
        let words = ["push", "spared", "--confirm", &time];
        match change(args, THERE, words.into_iter().chain(anyway)) {
            Ok(_) => say(&format!("{peer}: the configuration is in force")),
            Err(why) if is_cut(args) => say(&format!("{why}: perhaps until this node has it, too")),
            Err(why) => return Err(why),
        }
    }
    let time = seconds(push.watch, SLACK_S);
    let goes_back = format!(
        "{peer} goes back by itself within {}",
        seconds(push.watch, 2 * SLACK_S)
    );
    let is_new = change(args, HERE, ["apply", "--confirm", &time])
        .map_err(|why| format!("{node}: {why}\n{goes_back}"))?;
    say(&format!("{node}: the configuration is in force"));
    if is_new || !is_same {
        let time = seconds(push.watch, 0);
        say(&format!(
            "watching links, groups and {peer} for {time}; without a confirmation both go back"
        ));
        sleep(push.watch);
        let worse = match status(args) {
            Ok(after) => worse(&before, &after),
            Err(why) => vec![why],
        };
        let worse = match worse.is_empty() && !have_same(args) {
            true => vec![format!("{peer} has not the same files")],
            false => worse,
        };
        if !worse.is_empty() {
            let (why, back) = (worse.join("; "), back(args, node, is_new));
            return Err(format!("worse than before: {why}\n{back}\n{goes_back}"));
        }
        confirm(args)?;
    }
    say("both nodes have the same configuration in force");
    Ok(())
}

/// The answer to a push, or how it ended if it lasted longer than an answer may.
fn when_ended(args: &Args, said: String) -> Result<String, String> {
    if !said.contains("still under way") {
        return Ok(said);
    }
    let until = Instant::now() + STEP;
    while Instant::now() < until {
        let rows = rows(args)?;
        if let (false, Some(Value::Text(last))) = (
            rows.contains_key("transfer.tree"),
            rows.get("tree.spared.last"),
        ) {
            let done = last.strip_prefix("pushed: ").map(str::to_owned);
            return done.ok_or_else(|| last.clone());
        }
        sleep(PAUSE);
    }
    Err(said)
}

/// Something that goes back unless it is confirmed, which a row tells then; false: nothing had to change.
fn change<'w>(
    args: &Args,
    row: &str,
    words: impl IntoIterator<Item = &'w str>,
) -> Result<bool, String> {
    let asked = files(args, words);
    if asked.as_ref().is_ok_and(|it| it.contains("already")) {
        return Ok(false);
    }
    // The reload may restart the very plugin that would have answered, and a check may last longer than an answer
    // may take: what the nodes say then counts.
    let begun = Instant::now();
    while begun.elapsed() < STEP {
        let rows = rows(args).unwrap_or_default();
        if rows.contains_key(row) {
            return Ok(true);
        }
        let is_told = |key: &str| {
            rows.get(key)
                .is_some_and(|it| *it != Value::Text("-".to_owned()))
        };
        let is_known = is_told("tree.spared.digest") && is_told("tree.spared.digest_of_peer");
        if let (Err(why), false) = (&asked, rows.contains_key("transfer.tree")) {
            if is_known || begun.elapsed() > LOST {
                return Err(why.clone());
            }
        }
        sleep(PAUSE);
    }
    Err(asked
        .err()
        .unwrap_or_else(|| "it did not end: see `sparectl files`".to_owned()))
}

fn seconds(watch: Duration, slack_s: u64) -> String {
    format!("{}s", watch.as_secs().saturating_add(slack_s))
}

fn is_cut(args: &Args) -> bool {
    let status = status(args);
    status.is_ok_and(|it| it.peer.is_none_or(|it| !it.up))
}

fn have_same(args: &Args) -> bool {
    let rows = rows(args).unwrap_or_default();
    let digest = rows.get("tree.spared.digest");
    digest.is_some() && digest == rows.get("tree.spared.digest_of_peer")
}

/// Takes this node back at once; a sentence.
fn back(args: &Args, node: &str, is_new: bool) -> String {
    if !is_new {
        return format!("{node}: nothing had changed");
    }
    match files(args, ["back", "spared"]) {
        Ok(text) => format!("{node}: {text}; the edit is a state: `sparectl files log spared`"),
        Err(why) => format!("{node} goes back by itself: {why}"),
    }
}

fn confirm(args: &Args) -> Result<(), String> {
    let mut last = String::new();
    for _ in 0..40 {
        let rows = rows(args)?;
        if !rows.contains_key(HERE) && !rows.contains_key(THERE) {
            return Ok(());
        }
        // this node first, then the other one; a node tells after its next look
        if let Err(why) = files(args, ["confirm"]) {
            last = why;
        }
        sleep(PAUSE);
    }
    Err(format!(
        "not confirmed on both nodes: {last}: see `sparectl files`"
    ))
}

/// What was good and is not, of links, groups and the other node.
fn worse(before: &Status, after: &Status) -> Vec<String> {
    let mut worse = Vec::new();
    // by number: the configuration may name other interfaces on purpose
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
        let (was, is) = (roles(before, name), roles(after, name));
        let actives = |roles: &[&str]| roles.iter().filter(|it| **it == "active").count();
        let faults = |roles: &[&str]| roles.iter().filter(|it| **it == "fault").count();
        // a group that is in no file any more was removed on purpose
        if is.is_empty() {
            continue;
        }
        if actives(&was) == 1 && actives(&is) != 1 {
            worse.push(format!("{name} is active on {} nodes", actives(&is)));
        } else if faults(&is) > faults(&was) {
            worse.push(format!("{name} is in fault on {} of 2 nodes", faults(&is)));
        }
    }
    worse
}

/// Roles of a group on both nodes.
fn roles<'s>(status: &'s Status, group: &str) -> Vec<&'s str> {
    let theirs = status.peer.as_deref().and_then(|it| it.status.as_deref());
    let nodes = [Some(status), theirs].into_iter().flatten();
    let groups = nodes.flat_map(|it| it.groups.iter());
    let meant = groups.filter(|it| it.name == group);
    meant.map(|it| it.role.as_str()).collect()
}

fn status(args: &Args) -> Result<Box<Status>, String> {
    match ask(args, &Request::Status) {
        Ok(Answer::Status(status)) => Ok(status),
        Ok(other) => Err(refusal(other)),
        Err(error) => Err(error.to_string()),
    }
}

fn rows(args: &Args) -> Result<Rows, String> {
    match ask(args, &request([])) {
        Ok(Answer::Rows { rows, .. }) => Ok(rows),
        Ok(other) => Err(refusal(other)),
        Err(error) => Err(error.to_string()),
    }
}

/// The lines that the plugin answers.
fn files<'w>(args: &Args, words: impl IntoIterator<Item = &'w str>) -> Result<String, String> {
    match ask(args, &request(words)) {
        Ok(Answer::Rows { rows, .. }) => {
            let lines = rows.values().filter_map(|it| match it {
                Value::Text(line) => Some(line.as_str()),
                _ => None,
            });
            Ok(lines.collect::<Vec<_>>().join("\n"))
        }
        Ok(other) => Err(refusal(other)),
        Err(error) => Err(error.to_string()),
    }
}

fn request<'w>(words: impl IntoIterator<Item = &'w str>) -> Request {
    Request::Plugin {
        name: "files".to_owned(),
        argv: words.into_iter().map(str::to_owned).collect(),
    }
}

fn refusal(answer: Answer) -> String {
    match answer {
        Answer::Error { lines, .. } => lines.join("\n"),
        _ => "the daemon answered something else".to_owned(),
    }
}

fn say(line: &str) {
    output::text(&format!("{}\n", output::harmless(line)));
}

#[cfg(test)]
mod tests {
    use spared_control::{GroupStatus, LinkStatus, PeerStatus};

    use super::*;

    fn node(role: &str) -> Status {
        let group = GroupStatus {
            name: "office".to_owned(),
            role: role.to_owned(),
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
                "office is in fault on 1 of 2 nodes",
            ),
        ] {
            assert_eq!(worse(&before, &pair(roles, link)), [expected]);
        }
        let mut after = before.clone();
        after.peer.as_mut().expect("a peer").status = None;
        assert_eq!(worse(&before, &after), ["r2 is not heard any more"]);
        // what was bad already is nobody's fault
        let bad = pair(["fault", "fault"], "down");
        assert_eq!(worse(&bad, &bad), [""; 0]);
    }
}
