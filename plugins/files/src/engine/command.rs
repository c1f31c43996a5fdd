//! Commands of people.

use spared_sdk::Value;
use spared_sdk::config::parse_duration;
use spared_tree::builtin;
use spared_tree::local::{Finished, Request};

use super::people::Caller;
use super::root_half::{Asker, Pending};
use super::transfer::Purpose;
use super::{Action, AfterScan, Engine, Reply};
use crate::wire::{How, Message};

pub const USAGE: &str = "usage: files [status] | diff TREE | push TREE [OPTION...] | \
    pull TREE [OPTION...] | confirm [TREE] | log TREE | back TREE [STATE [--anyway] | --peer] | stop | \
    apply [OPTION...]; options: --dry-run, --check, --anyway, --confirm TIME (10s to 24h)";

/// Outcome of an answer that is sent before the command has ended.
const LATER: &str = "later";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Diff(String),
    /// Contents for `sparectl files diff`.
    Show(String),
    /// `sparectl files diff` has read the contents.
    EndShow,
    Push(String, How),
    Pull(String, How),
    Log(String),
    /// Restore of an earlier state.
    Back {
        tree: String,
        state: u64,
        anyway: bool,
    },
    /// Revert of a change that waits for a confirmation here.
    GoBack(String),
    /// Revert of a change that waits for a confirmation on the peer.
    GoBackOnPeer(String),
    /// Apply of spared's own configuration, as it is here.
    Apply(How),
    /// Tree to confirm; None: every tree that waits for a confirmation.
    Confirm(Option<String>),
    Stop,
}

/// Parses the arguments of a command; None if they are invalid.
pub fn parse(argv: &[&str]) -> Option<Command> {
    Some(match *argv {
        ["diff", tree] => Command::Diff(tree.to_owned()),
        ["show", "--end"] => Command::EndShow,
        ["show", tree] => Command::Show(tree.to_owned()),
        ["push", tree, ref options @ ..] => Command::Push(tree.to_owned(), how(options)?),
        ["pull", tree, ref options @ ..] => Command::Pull(tree.to_owned(), how(options)?),
        ["log", tree] => Command::Log(tree.to_owned()),
        ["back", tree] => Command::GoBack(tree.to_owned()),
        ["back", tree, "--peer"] => Command::GoBackOnPeer(tree.to_owned()),
        ["back", tree, state] => back(tree, state, false)?,
        ["back", tree, state, "--anyway"] => back(tree, state, true)?,
        ["apply", ref options @ ..] => Command::Apply(how(options)?),
        ["confirm"] => Command::Confirm(None),
        ["confirm", tree] => Command::Confirm(Some(tree.to_owned())),
        ["stop"] => Command::Stop,
        _ => return None,
    })
}

fn back(tree: &str, state: &str, anyway: bool) -> Option<Command> {
    Some(Command::Back {
        tree: tree.to_owned(),
        state: state.parse().ok()?,
        anyway,
    })
}

fn how(options: &[&str]) -> Option<How> {
    let mut how = How::default();
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match *option {
            "--dry-run" => how.is_dry = true,
            "--anyway" => how.anyway = true,
            "--check" => how.only_check = true,
            "--confirm" => how.confirm_s = confirm_s(options.next()?)?,
            _ => return None,
        }
    }
    Some(how)
}

fn confirm_s(text: &str) -> Option<u32> {
    let seconds = parse_duration(text)?.as_secs();
    let seconds = u32::try_from(seconds).ok()?;
    (10..=86_400).contains(&seconds).then_some(seconds)
}

impl Engine {
    /// Begins a command; its answer is an action with this token.
    pub fn handle_command(&mut self, now_ns: u64, token: u64, command: Command) {
        let tree = match &command {
            Command::Stop => return self.stop(now_ns, token),
            Command::Confirm(None) => return self.confirm(now_ns, token, None),
            Command::EndShow => {
                self.end_show();
                return self.answer_lines(token, None, &["removed".to_owned()]);
            }
            Command::Diff(tree)
            | Command::Show(tree)
            | Command::Push(tree, _)
            | Command::Pull(tree, _)
            | Command::Log(tree)
            | Command::Confirm(Some(tree))
            | Command::Back { tree, .. }
            | Command::GoBack(tree)
            | Command::GoBackOnPeer(tree) => tree.clone(),
            Command::Apply(_) => builtin::NAME.to_owned(),
        };
        if self.tree(&tree).is_none() {
            let names: Vec<&str> = self.trees.iter().map(|it| it.name()).collect();
            let names = names.join(", ");
            return self.refuse(token, format!("no tree \"{tree}\"; there are {names}"));
        }
        let is_answer = matches!(
            command,
            Command::Confirm(_) | Command::GoBack(_) | Command::GoBackOnPeer(_)
        );
        if is_answer && tree == builtin::NAME {
            return self.refuse(token, format!("tree \"{tree}\" {}", builtin::WAITS));
        }
        if let Command::GoBackOnPeer(tree) = command {
            return self.back_on_peer(now_ns, token, tree);
        }
        if matches!(command, Command::Confirm(_)) {
            return self.confirm(now_ns, token, Some(tree));
        }
        if !self.has_root() {
            let why = "the plugin files-root does not run: see `sparectl plugins`";
            return self.refuse(token, why);
        }
        if !matches!(command, Command::Log(_)) {
            if let Some(why) = self.is_busy() {
                return self.refuse(token, why);
            }
        }
        let by = Caller::new(now_ns, token);
        let receive = |purpose| AfterScan::Receive { by, purpose };
        match command {
            Command::Diff(_) => self.after_scan(&tree, receive(Purpose::Diff)),
            Command::Show(_) => self.after_scan(&tree, receive(Purpose::Show)),
            Command::Pull(_, how) => self.after_scan(&tree, receive(Purpose::Pull(how))),
            Command::Push(_, how) => {
                let ticket = self.ticket();
                // both nodes read at the same time
                let look = tree.clone();
                self.send(&Message::AnnounceOffer { ticket, tree: look });
                self.after_scan(&tree, AfterScan::Push { by, ticket, how });
            }
            Command::Log(_) => {
                let ticket = self.ticket();
                self.root.ask(ticket, Pending::Log(by));
                let request = Request::Log { ticket, tree };
                self.actions.push_back(Action::Request(request));
            }
            Command::Back { state, anyway, .. } => {
                let request = Request::Back {
                    ticket: self.root_changes(now_ns, Asker::Caller(by), &tree),
                    tree,
                    state,
                    insists: anyway,
                };
                self.actions.push_back(Action::Request(request));
            }
            Command::GoBack(_) => {
                let ticket = self.root_changes(now_ns, Asker::Caller(by), &tree);
                let request = Request::GoBack { ticket, tree };
                self.actions.push_back(Action::Request(request));
            }
            Command::Apply(how) => {
                let request = Request::Apply {
                    ticket: self.root_changes(now_ns, Asker::Caller(by), &tree),
                    confirm_s: how.confirm_s,
                    only_check: how.only_check,
                    insists: how.anyway,
                };
                self.actions.push_back(Action::Request(request));
            }
            Command::Stop | Command::EndShow | Command::Confirm(_) | Command::GoBackOnPeer(_) => {}
        }
    }

    /// Creates a ticket for a change by the root half alone.
    pub(super) fn root_changes(&mut self, now_ns: u64, by: Asker, tree: &str) -> u64 {
        let ticket = self.ticket();
        let change = Pending::Back {
            by,
            tree: tree.to_owned(),
            began_ns: now_ns,
        };
        self.root.ask(ticket, change);
        ticket
    }

    fn stop(&mut self, now_ns: u64, token: u64) {
        if let Some(offer) = &self.offer {
            let ticket = offer.ticket;
            self.send(&Message::Stop { ticket });
            return self.answer_lines(token, None, &["asked the peer to stop".to_owned()]);
        }
        let has_waited = self.stop_waiting(AfterScan::can_be_stopped);
        match &self.transfer {
            None if has_waited => self.answer_lines(token, None, &["stopped".to_owned()]),
            None => self.refuse(token, "nothing is under way"),
            Some(it) if it.is_installing() => {
                self.refuse(
                    token,
                    "the files are being put in place: that ends by itself",
                );
            }
            Some(_) => {
                self.end_transfer(now_ns, Err("stopped".to_owned()));
                self.answer_lines(token, None, &["stopped".to_owned()]);
            }
        }
    }

    pub(super) fn answer_finished(&mut self, token: u64, finished: &Finished) {
        self.answer_lines(token, Some(finished.outcome.word()), &finished.lines);
    }

    fn answer_lines(&mut self, token: u64, outcome: Option<&str>, lines: &[String]) {
        let answer = Reply {
            rows: rows_of(outcome, lines),
            ..Reply::default()
        };
        self.actions.push_back(Action::Answer { token, answer });
    }

    pub(super) fn answer_later(&mut self, token: u64) {
        let text = "still under way: see `sparectl files`, and `sparectl files stop`".to_owned();
        self.answer_lines(token, Some(LATER), &[text]);
    }
}

/// Rows for the lines of a result, and a row with the outcome, by which programs decide.
pub(super) fn rows_of(outcome: Option<&str>, lines: &[String]) -> Vec<(String, Value)> {
    let row = |(at, line): (usize, &String)| {
        let key = match lines.len() {
            1 => "result".to_owned(),
            _ => format!("change.{}", at + 1),
        };
        (key, Value::Text(line.clone()))
    };
    let rows = lines.iter().enumerate().map(row);
    let outcome = outcome.map(|it| ("outcome".to_owned(), Value::Text(it.to_owned())));
    rows.chain(outcome).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_commands_or_nothing() {
        let how = How {
            is_dry: true,
            ..How::default()
        };
        let confirm = How {
            confirm_s: 120,
            ..How::default()
        };
        let command = Command::Pull("fw".to_owned(), confirm);
        assert_eq!(parse(&["pull", "fw", "--confirm", "2m"]), Some(command));
        let all = Command::Confirm(None);
        assert_eq!(parse(&["confirm"]), Some(all));
        let one = Command::Confirm(Some("fw".to_owned()));
        assert_eq!(parse(&["confirm", "fw"]), Some(one));
        let back = Command::GoBackOnPeer("fw".to_owned());
        assert_eq!(parse(&["back", "fw", "--peer"]), Some(back));
        let push = Command::Push("fw".to_owned(), how);
        assert_eq!(parse(&["push", "fw", "--dry-run"]), Some(push));
        let back = |anyway| Command::Back {
            tree: "fw".to_owned(),
            state: 3,
            anyway,
        };
        assert_eq!(parse(&["back", "fw", "3"]), Some(back(false)));
        assert_eq!(parse(&["back", "fw", "3", "--anyway"]), Some(back(true)));
        for words in [
            &["push"][..],
            &["push", "fw", "now"],
            &["back", "fw", "x"],
            &["back", "fw", "--anyway"],
            &["push", "fw", "--confirm"],
            &["push", "fw", "--confirm", "9s"],
            &["push", "fw", "--confirm", "25h"],
            &["stop", "x"],
            &["confirm", "fw", "x"],
        ] {
            assert_eq!(parse(words), None, "{words:?}");
        }
    }
}
