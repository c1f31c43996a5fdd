//! `sparectl config push`: brings this node's /etc/spared to the other node, in force on both nodes or on none.
//!
//! The plugin files and its root half bring the files, check them, and have the daemon read them as by `sparectl reload
//! --confirm`: each daemon goes back by itself unless that is confirmed. This program confirms it if nothing is worse
//! after a while. If the program dies or the link breaks, nobody confirms.
//!
//! Another push, from the other node or from another terminal, may be under way. All that this one says and does is
//! about the files that it found at its begin: as soon as this node has others, it ends.

mod plugin;
mod worse;

use std::thread::sleep;
use std::time::{Duration, Instant};

use spared_message::control::{Answer, PeerStatus, Request, Status};

use crate::args::Args;
use crate::output::say;
use crate::refusal::Refusal;
use crate::{ask, output};
use plugin::{ChangeOutcome, CommandResult, ConfigTree, files, status};
use worse::worse;

const PAUSE: Duration = Duration::from_millis(500);
/// Maximum time for a check, for a reload, and for the nodes' exchange after it.
const STEP: Duration = Duration::from_secs(120);
/// Time in which a plugin or a link that the change restarted has to be back, and in which a role that changes at the
/// end of the watch has to arrive. Less than `SLACK_S`.
const LOST: Duration = Duration::from_secs(10);
/// Time in seconds between the end of the watch and the moment at which this node goes back without a confirmation. The
/// other node has twice the time, because it begins earlier.
const SLACK_S: u64 = 15;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Push {
    pub dry_run: bool,
    /// True if changes of the other node may be lost.
    pub anyway: bool,
    /// Time for which nothing may be worse.
    pub watch: Duration,
}

/// Prints each step, and returns the exit code.
pub fn push(args: &Args, push: Push) -> u8 {
    match try_push(args, push) {
        Ok(()) => 0,
        Err(refusal) => {
            output::errors(&[refusal.why]);
            refusal.code
        }
    }
}

fn try_push(args: &Args, push: Push) -> Result<(), Refusal> {
    heard(&*status(args)?)?;
    if push.dry_run {
        say(&files(args, ["push", "spared", "--dry-run"])?.text);
        return Ok(());
    }
    // both nodes read their files now; refused while another push is under way
    files(args, ["diff", "spared"])?;
    let found = ConfigTree::ask(args)?.digest;
    // after that: files that another push has just brought wait for its confirmation
    let before = status(args)?;
    let peer = heard(&before)?;
    for node in [Some(&*before), peer.status.as_deref()]
        .into_iter()
        .flatten()
    {
        may_begin(node)?;
    }
    let steps = Steps {
        args,
        push,
        node: &before.node,
        peer: &peer.node,
        files: found,
    };
    let is_same = steps.check()?;
    // The other node goes first: a change of the link cuts it until both nodes have it.
    let is_new_there = !is_same && steps.change_there()?;
    let is_new_here = steps.change_here(is_new_there)?;
    if is_new_here || is_new_there {
        steps.watch(&before, is_new_here, is_new_there)?;
    }
    say(&steps.result());
    Ok(())
}

/// The other node, if it is heard.
fn heard(status: &Status) -> Result<&PeerStatus, Refusal> {
    let peer = status.peer.as_deref().filter(|it| it.up);
    Ok(peer.ok_or("the other node is not heard over the link")?)
}

/// Checks that no earlier change waits on a node: it would be confirmed or taken back with this one.
fn may_begin(node: &Status) -> Result<(), Refusal> {
    match node.orders.unconfirmed_until {
        None => Ok(()),
        Some(_) => Err(format!(
            "{0}: the last reload is not confirmed: run `sparectl confirm`, or `sparectl reload --back` on {0}, first",
            node.node
        )
        .into()),
    }
}

/// Both nodes, and the options of the command.
struct Steps<'p> {
    args: &'p Args,
    push: Push,
    node: &'p str,
    peer: &'p str,
    /// Digest of the files that this push brings.
    files: Option<String>,
}

impl Steps<'_> {
    /// Returns true if both nodes have the same files.
    fn check(&self) -> Result<bool, Refusal> {
        let here = self.files(&["apply", "--check"])?;
        say(&format!("{}: {}", self.node, here.text));
        let there = self.files(&self.with_anyway(&["push", "spared", "--check"]))?;
        let there = self.when_ended(there)?;
        say(&format!("{}: {}", self.peer, there.text));
        Ok(there.outcome == Some(ChangeOutcome::Same))
    }

    /// Checks that this node still has the files that this push brings. A tree that is not known now may be the same.
    fn files_stay(&self, tree: &ConfigTree) -> Result<(), Refusal> {
        match (&self.files, &tree.digest) {
            (Some(files), Some(found)) if files != found => Err(format!(
                "the files of {} have changed since this push began, by an edit or by another push: see `sparectl files`, \
                 and run the command again",
                self.node
            )
            .into()),
            _ => Ok(()),
        }
    }

    /// Changes the other node. Returns true if another configuration is in force there now.
    fn change_there(&self) -> Result<bool, Refusal> {
        self.files_stay(&self.look())?;
        let time = self.seconds(2 * SLACK_S);
        let words = self.with_anyway(&["push", "spared", "--confirm", &time]);
        match self.change(&words, |it| it.waits_there) {
            Ok(is_new) => {
                say(&format!("{}: the configuration is in force", self.peer));
                Ok(is_new)
            }
            Err(why) if self.is_peer_unreachable() => {
                say(&format!(
                    "{why}: perhaps only until this node has the new configuration, too"
                ));
                Ok(true)
            }
            Err(why) => Err(why),
        }
    }

    /// Changes this node. Returns true if another configuration is in force here now. If this node refuses, the other
    /// node goes back.
    fn change_here(&self, is_new_there: bool) -> Result<bool, Refusal> {
        let time = self.seconds(SLACK_S);
        let words = self.with_anyway(&["apply", "--confirm", &time]);
        let changed = self
            .files_stay(&self.look())
            .and_then(|()| self.change(&words, |it| it.waits_here));
        let is_new = changed.map_err(|Refusal { why, code }| {
            let why = format!("{}: {why}", self.node);
            let why = if is_new_there {
                format!("{why}\n{}", self.revert_peer())
            } else {
                why
            };
            Refusal { why, code }
        })?;
        say(&format!("{}: the configuration is in force", self.node));
        Ok(is_new)
    }

    /// Begins a change that goes back unless it is confirmed, and waits until a row shows that. Returns false if
    /// nothing had to change.
    fn change(&self, words: &[&str], waits: fn(&ConfigTree) -> bool) -> Result<bool, Refusal> {
        let asked = self.files(words);
        if outcome(&asked) == Some(ChangeOutcome::Same) {
            return Ok(false);
        }
        // The reload may restart the very plugin that would have answered, and a check may last longer than a request
        // may. So the rows of the nodes decide.
        let begun = Instant::now();
        while begun.elapsed() < STEP {
            let tree = ConfigTree::ask(self.args).unwrap_or_default();
            self.files_stay(&tree)?;
            if waits(&tree) {
                return Ok(true);
            }
            let is_over = !tree.is_under_way && (tree.is_known() || self.has_timed_out(begun));
            // the last change is this one only if its end was not reported in the answer
            let ended = match &asked {
                Err(why) => Some(Err(why.clone())),
                Ok(it) if it.outcome == Some(ChangeOutcome::Later) => tree.last,
                Ok(_) => None,
            };
            match ended {
                Some(Err(why)) if is_over => return Err(why),
                Some(Ok(it)) if is_over && it.outcome == Some(ChangeOutcome::Same) => {
                    return Ok(false);
                }
                _ => sleep(PAUSE),
            }
        }
        Err(asked
            .err()
            .unwrap_or_else(|| "the change did not end in time: see `sparectl files`".into()))
    }

    /// Compares links and groups with their state before the change, and confirms the change or takes it back.
    fn watch(&self, before: &Status, is_new_here: bool, is_new_there: bool) -> Result<(), Refusal> {
        say(&format!(
            "watching links, groups and {} for {}; without a confirmation both nodes go back to the old configuration",
            self.peer,
            self.seconds(0)
        ));
        sleep(self.push.watch);
        let worse = self.worse(before);
        if worse.is_empty() {
            return self.confirm();
        }
        let mut lines = vec![format!("worse than before: {}", worse.join("; "))];
        // The other node first, while it can still be reached.
        if is_new_there {
            lines.push(self.revert_peer());
        }
        if is_new_here {
            lines.push(self.revert_here());
        }
        Err(lines.join("\n").into())
    }

    /// Finds what stays worse. It retries for a while, because roles may be changing and a daemon may be starting.
    fn worse(&self, before: &Status) -> Vec<String> {
        let begun = Instant::now();
        loop {
            let worse = match status(self.args) {
                Ok(after) => worse(before, &after),
                Err(refusal) => vec![refusal.why],
            };
            let tree = ConfigTree::ask(self.args).unwrap_or_default();
            let worse = match self.files_stay(&tree) {
                Ok(()) if worse.is_empty() && !tree.is_same() => {
                    vec![format!("{} does not have the same files", self.peer)]
                }
                Ok(()) => worse,
                Err(refusal) => return vec![refusal.why],
            };
            if worse.is_empty() || begun.elapsed() > LOST {
                return worse;
            }
            sleep(PAUSE);
        }
    }

    fn confirm(&self) -> Result<(), Refusal> {
        let mut last = Refusal::from(format!("{} has not answered", self.peer));
        let mut is_confirmed = false;
        for _ in 0..40 {
            match self.order(&Request::Confirm) {
                Ok(()) => is_confirmed = true,
                Err(why) if !is_confirmed => last = why,
                Err(_) => {}
            }
            let tree = self.look();
            self.files_stay(&tree)?;
            let waits = tree.waits_here || tree.waits_there;
            if is_confirmed && tree.is_same() && !waits {
                return Ok(());
            }
            sleep(PAUSE);
        }
        let why =
            format!("not confirmed on both nodes by this push: {last}: see `sparectl status`");
        Err(why.into())
    }

    /// Sentence about the configurations in force at the end. The other node may have had the files before, and not have
    /// read them.
    fn result(&self) -> String {
        const SAME: &str = "both nodes have the same configuration in force";
        let begun = Instant::now();
        loop {
            let status = status(self.args).unwrap_or_default();
            let peer = status.peer.as_deref();
            let digest = peer.and_then(|it| Some(&it.status.as_deref()?.run.config));
            let differs = peer.is_some_and(|it| !it.differences.is_empty());
            // two versions may tell other digests of the same keys
            match digest {
                Some(digest) if *digest == status.run.config => return SAME.to_owned(),
                _ if begun.elapsed() < LOST => sleep(PAUSE),
                Some(_) if !differs => return SAME.to_owned(),
                _ => {
                    return format!(
                        "both nodes have the same files, and not the same in force: `sparectl check --peer` names the keys, \
                         and `sparectl reload` on {} reads its files",
                        self.peer
                    );
                }
            }
        }
    }

    /// Takes the change of this node back at once, and returns a sentence about it.
    fn revert_here(&self) -> String {
        let node = self.node;
        match self.order(&Request::TakeBack) {
            Ok(()) => format!(
                "{node}: the old configuration is in force again; the edit is kept as a state: see `sparectl files log spared`"
            ),
            Err(why) => format!("{node}: not taken back at once: {why}"),
        }
    }

    /// Takes the change of the other node back if that node can be reached; otherwise it goes back by itself.
    fn revert_peer(&self) -> String {
        let peer = self.peer;
        let order = Request::Node {
            node: peer.to_owned(),
            request: Box::new(Request::TakeBack),
        };
        let by_itself = || {
            let time = self.seconds(2 * SLACK_S);
            format!("{peer} goes back to the old configuration by itself within {time}")
        };
        let begun = Instant::now();
        let mut asked = self.order(&order);
        while begun.elapsed() < STEP {
            let tree = self.look();
            let is_over = tree.is_known() && !tree.waits_there;
            let has_new = tree.digest_of_peer == self.files;
            match &asked {
                // also by a restart, after which nothing is left that could be asked for
                _ if is_over && !has_new => {
                    return format!("{peer}: the old configuration is in force again");
                }
                // files that cannot be put back are not in force either
                Ok(()) if is_over && begun.elapsed() > LOST => {
                    return format!("{peer}: the old configuration is in force again");
                }
                Err(why) if is_over => return format!("{peer}: not taken back: {why}"),
                Err(_) if self.is_peer_unreachable() => return by_itself(),
                _ if !tree.is_known() && self.has_timed_out(begun) => return by_itself(),
                _ => sleep(PAUSE),
            }
            if asked.is_err() {
                asked = self.order(&order);
            }
        }
        by_itself()
    }

    /// Has both nodes read their files now, and returns what they found.
    fn look(&self) -> ConfigTree {
        let _ = self.files(&["diff", "spared"]);
        ConfigTree::ask(self.args).unwrap_or_default()
    }

    fn order(&self, request: &Request) -> Result<(), Refusal> {
        match ask(self.args, request)? {
            Answer::Done { .. } => Ok(()),
            other => Err(other.into()),
        }
    }

    /// Result of the command: the answer or, if the command lasted longer than an answer may, the result in the rows.
    fn when_ended(&self, result: CommandResult) -> Result<CommandResult, Refusal> {
        let until = Instant::now() + STEP;
        let mut result = Ok(result);
        while outcome(&result) == Some(ChangeOutcome::Later) && Instant::now() < until {
            sleep(PAUSE);
            let tree = ConfigTree::ask(self.args)?;
            if let (false, Some(last)) = (tree.is_under_way, tree.last) {
                result = last;
            }
        }
        match outcome(&result) {
            Some(ChangeOutcome::Later) => result.and_then(|it| Err(it.text.into())),
            _ => result,
        }
    }

    /// Returns true if the other node has been cut off, or the daemon gone, for too long.
    fn has_timed_out(&self, since: Instant) -> bool {
        since.elapsed() > LOST && self.is_peer_unreachable()
    }

    fn is_peer_unreachable(&self) -> bool {
        let status = status(self.args).ok();
        let peer = status.as_ref().and_then(|it| it.peer.as_deref());
        peer.is_none_or(|it| !it.up)
    }

    fn with_anyway<'w>(&self, words: &[&'w str]) -> Vec<&'w str> {
        let anyway = self.push.anyway.then_some("--anyway");
        words.iter().copied().chain(anyway).collect()
    }

    fn files(&self, words: &[&str]) -> Result<CommandResult, Refusal> {
        files(self.args, words.iter().copied())
    }

    fn seconds(&self, slack_s: u64) -> String {
        format!("{}s", self.push.watch.as_secs().saturating_add(slack_s))
    }
}

fn outcome(result: &Result<CommandResult, Refusal>) -> Option<ChangeOutcome> {
    result.as_ref().ok().and_then(|it| it.outcome)
}
