//! Requests to the root half, and its answers.

use std::sync::Arc;

use spared_sdk::Value;
use spared_tree::local::{Answer, Finished, Request, StateInfo};
use spared_tree::{MANIFEST_MAX, Manifest};

use super::root_half::{Asker, Pending};
use super::serve::Wanted;
use super::status::LastResult;
use super::transfer_end::reason_for_peer;
use super::tree::Digested;
use super::{Action, Engine, KNOWN_NS, Reply};

const BUSY: &str = "files-root is at work for something else: see `sparectl files`, and run the command again later";
const GONE: &str = "the plugin files-root has ended: see `sparectl events`";

impl Engine {
    pub fn handle_root_up(&mut self, now_ns: u64) {
        self.root.handle_up();
        for tree in &mut self.trees {
            tree.scan.due_ns = now_ns;
            tree.own_due_ns = Some(now_ns.saturating_add(KNOWN_NS));
        }
    }

    pub fn handle_root_down(&mut self, now_ns: u64) {
        let pending = self.root.handle_down(now_ns);
        for then in std::mem::take(&mut self.steps).into_all() {
            self.give_up(then, GONE);
        }
        self.trees.iter_mut().for_each(|it| it.scan.ticket = None);
        for pending in pending {
            match pending {
                Pending::Scan { .. } => {}
                Pending::Read(read) => {
                    let refusal = self.serving.handle_read(read, Err(GONE.to_owned()));
                    refusal.iter().for_each(|it| self.send(it));
                }
                Pending::Install => self.end_transfer(now_ns, Err(GONE.to_owned())),
                Pending::Confirm(by) => self.end_confirm(by, Err(GONE.to_owned())),
                Pending::Log(by) => self.refuse_caller(by, GONE),
                Pending::Back { by, .. } => self.end_asked(by, Err(GONE.to_owned())),
            }
        }
    }

    pub fn handle_answer(&mut self, now_ns: u64, answer: Answer) {
        match answer {
            Answer::Piece {
                ticket,
                bytes,
                is_last,
            } => self.handle_root_piece(now_ns, ticket, bytes, is_last),
            Answer::Unchanged { ticket } => {
                let Some(Pending::Scan { tree, .. }) = self.root.take(ticket) else {
                    return;
                };
                let own = self.tree(&tree).and_then(|it| it.own.clone());
                let missing = || Err("was not read".to_owned());
                self.handle_scanned(now_ns, &tree, own.unwrap_or_else(missing));
            }
            Answer::Done { ticket, result } => self.handle_done(now_ns, ticket, result),
            Answer::States { ticket, states } => {
                let Some(Pending::Log(by)) = self.root.take(ticket) else {
                    return;
                };
                if let Some(token) = by.token() {
                    let rows = states.iter().map(row).collect();
                    let answer = Reply {
                        rows,
                        ..Reply::default()
                    };
                    self.actions.push_back(Action::Answer { token, answer });
                }
            }
            Answer::Holding { tree, folders } => {
                if let Some(tree) = self.tree_mut(&tree) {
                    tree.holding = folders;
                }
            }
            Answer::Waits { tree, left_s } => self.handle_waits(&tree, left_s),
            Answer::Event { tree, text } => {
                self.scan(&tree);
                self.keep_result(&tree, LastResult::by_itself(now_ns, text));
            }
        }
    }

    fn handle_root_piece(&mut self, now_ns: u64, ticket: u64, bytes: Vec<u8>, is_last: bool) {
        match self.root.get_mut(ticket) {
            Some(Pending::Scan { bytes: all, .. }) => {
                all.extend_from_slice(&bytes);
                if all.len() > MANIFEST_MAX {
                    let why = format!("its list of files has more than {MANIFEST_MAX} bytes");
                    return self.handle_done(now_ns, ticket, Err(why));
                }
                if !is_last {
                    return;
                }
            }
            Some(Pending::Read(read)) => {
                let piece = self.serving.handle_read(*read, Ok((bytes, is_last)));
                self.root.take(ticket);
                piece.iter().for_each(|it| self.send(it));
                return;
            }
            _ => return,
        }
        if let Some(Pending::Scan { tree, bytes }) = self.root.take(ticket) {
            let own = Manifest::decode(&bytes).map(Arc::new).map(Digested::new);
            self.handle_scanned(now_ns, &tree, own);
        }
    }

    fn handle_done(&mut self, now_ns: u64, ticket: u64, result: Result<Finished, String>) {
        let Some(pending) = self.root.take(ticket) else {
            return;
        };
        match pending {
            Pending::Scan { tree, .. } => {
                let why = result.err().unwrap_or_else(|| "was not read".to_owned());
                self.handle_scanned(now_ns, &tree, Err(why));
            }
            Pending::Read(read) => {
                let why = result.err().unwrap_or_else(|| "was not read".to_owned());
                let refusal = self.serving.handle_read(read, Err(why));
                refusal.iter().for_each(|it| self.send(it));
            }
            Pending::Install => self.end_transfer(now_ns, result),
            Pending::Confirm(by) => self.end_confirm(by, result),
            Pending::Log(by) => self.refuse_caller(by, result.err().unwrap_or_default()),
            Pending::Back { by, tree, .. } => {
                self.note(now_ns, &tree, &result);
                match by {
                    Asker::Ticket(_) => {
                        let why = |why: String| reason_for_peer(&tree, &why).to_owned();
                        self.end_asked(by, result.map_err(why));
                    }
                    Asker::Caller(_) => self.end_asked(by, result),
                }
                self.scan(&tree);
            }
        }
    }

    /// Requests a piece of a content from the root half, for the peer.
    pub(super) fn read(&mut self, wanted: Wanted) -> Action {
        let ticket = self.ticket();
        self.root.ask(ticket, Pending::Read(wanted.read));
        Action::Request(Request::Read {
            ticket,
            tree: wanted.tree,
            hash: wanted.hash,
            offset: wanted.offset,
        })
    }

    /// Answers commands that wait too long for the root half that they continue. Otherwise the daemon would report that
    /// the plugin does not answer.
    pub(super) fn answer_late_commands(&mut self, now_ns: u64) {
        let mut late = self.root.take_late_commands(now_ns);
        late.extend(self.steps.take_late_commands(now_ns));
        for (token, goes_on) in late {
            if goes_on {
                self.answer_later(token);
            } else {
                self.refuse(token, BUSY);
            }
        }
    }

    /// Answers a command that waits too long for the peer or the root half. A list is given up, as nobody gets it later.
    pub(super) fn answer_late_asker(&mut self, now_ns: u64, token: u64) {
        if !self
            .transfer
            .as_ref()
            .is_some_and(|it| it.purpose.is_list())
        {
            return self.answer_later(token);
        }
        let why = format!(
            "{} does not answer: it may be at work for something else: see `sparectl files` there, and run the command \
             again later",
            self.peer
        );
        self.refuse(token, why.clone());
        self.end_transfer(now_ns, Err(why));
    }

    /// Notes how a change of a tree ended, and makes an event of it.
    pub(super) fn note(&mut self, now_ns: u64, tree: &str, result: &Result<Finished, String>) {
        let last = LastResult::of(now_ns, result);
        let event = format!("tree \"{tree}\": {}", last.text);
        self.keep_result(tree, last);
        self.actions.push_back(Action::Event(event));
    }
}

fn row(state: &StateInfo) -> (String, Value) {
    let present = if state.is_present { ", as now" } else { "" };
    let text = format!(
        "{} at {}, {}, {} files{present}",
        state.digest,
        date(state.kept_s),
        state.why,
        state.files
    );
    (format!("state.{}", state.number), Value::Text(text))
}

/// Text such as "2026-11-22 19:12:18 UTC".
fn date(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // days since 0000-03-01, so that a leap day is the last day of a year
    let z = days.saturating_add(719_468);
    let (era, day) = (z / 146_097, z % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year + era * 400 + u64::from(month <= 2);
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(date(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(date(1_795_374_738), "2026-11-22 19:12:18 UTC");
    }
}
