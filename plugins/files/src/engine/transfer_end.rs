//! End of a transfer to this node: what is noted, and who is answered.

use spared_tree::builtin;
use spared_tree::local::{ChangeOutcome, Finished, Request, without_output};

use super::command::rows_of;
use super::receive::OVERTAKEN;
use super::scan::AfterScan;
use super::transfer::{Purpose, Transfer};
use super::tree::Digested;
use super::{Action, Engine, Reply, SILENCE_NS};
use crate::wire::Message;

impl Engine {
    pub(super) fn end_transfer(&mut self, now_ns: u64, result: Result<Finished, String>) {
        let Some(transfer) = self.transfer.take() else {
            return;
        };
        self.actions.push_back(Action::Unstage);
        let is_overtaken = result.as_ref().is_err_and(|it| it == OVERTAKEN);
        // the result of a check is for the command that waits for it
        let is_own = matches!(transfer.purpose, Purpose::Pull(_));
        let is_answered = !is_own || self.people.has_asker();
        let is_check = transfer.how().only_check && is_answered;
        if !transfer.purpose.is_list() && !is_overtaken && !is_check {
            let of_peer = |it: Finished| {
                let text = format!("files of {}: {}", self.peer, it.text());
                it.outcome.with(text)
            };
            let shown = result.clone().map(of_peer);
            self.note(now_ns, &transfer.tree, &shown);
        }
        let both = transfer.installed.clone();
        let both = both.filter(|_| result.is_ok() && !transfer.how().only_check);
        let both = both.map(Digested::new);
        if transfer.how().confirm_s > 0 {
            let tree = self.tree_mut(&transfer.tree).zip(both);
            if let Some((tree, both)) = tree {
                tree.unconfirmed = Some(both);
            }
        } else if let Some(both) = both {
            let ticket = transfer.ticket;
            self.send(&Message::Taken { ticket });
            self.set_base(&transfer.tree, both);
        }
        self.answer(&transfer, result);
        self.scan(&transfer.tree);
    }

    pub(super) fn answer(&mut self, transfer: &Transfer, result: Result<Finished, String>) {
        match transfer.purpose {
            Purpose::Offer { ticket, .. } => {
                let result = result.map_err(|why| for_peer(&transfer.tree, &why));
                self.send(&Message::Report { ticket, result });
            }
            Purpose::Diff => self.end_diff(result),
            Purpose::Show | Purpose::Pull(_) => self.end_asker(result),
        }
    }

    /// Ends a comparison. Its exit code also says whether there are differences.
    fn end_diff(&mut self, result: Result<Finished, String>) {
        match (self.people.take_asker(), result) {
            (Some(token), Ok(finished)) => {
                let answer = Reply {
                    rows: rows_of(Some(finished.outcome.word()), &finished.lines),
                    attention: finished.outcome == ChangeOutcome::Listed,
                    ..Reply::default()
                };
                self.actions.push_back(Action::Answer { token, answer });
            }
            (Some(token), Err(why)) => self.refuse(token, why),
            (None, _) => {}
        }
    }

    pub(super) fn end_asker(&mut self, result: Result<Finished, String>) {
        let Some(token) = self.people.take_asker() else {
            return;
        };
        match result {
            Ok(finished) => self.answer_finished(token, &finished),
            Err(why) => self.refuse(token, why),
        }
    }

    pub(super) fn handle_stop(&mut self, now_ns: u64, offer: u64) {
        let is_offered = |then: &AfterScan| matches!(then, AfterScan::Offered { ticket, .. } if *ticket == offer);
        self.stop_waiting(is_offered);
        let is_it =
            |it: &Transfer| matches!(it.purpose, Purpose::Offer { ticket, .. } if ticket == offer);
        if self.transfer.as_ref().is_some_and(is_it) {
            self.stop_transfer(now_ns, "stopped");
        }
    }

    /// Ends the transfer, or withdraws the request to the root half, which checks the files first.
    pub(super) fn stop_transfer(&mut self, now_ns: u64, why: &str) {
        match self.transfer.as_ref().and_then(Transfer::install) {
            Some(ticket) => {
                let request = Request::Withdraw { ticket };
                self.actions.push_back(Action::Request(request));
            }
            None => self.end_transfer(now_ns, Err(why.to_owned())),
        }
    }

    pub(super) fn check_silence(&mut self, now_ns: u64) {
        let transfer = self.transfer.as_ref().filter(|it| !it.is_installing());
        let until_ns = transfer.map(|it| it.moved_ns.saturating_add(SILENCE_NS));
        if until_ns.is_some_and(|it| it <= now_ns) {
            let why = format!(
                "{} sent nothing for {} s",
                self.peer,
                SILENCE_NS / 1_000_000_000
            );
            self.end_transfer(now_ns, Err(why));
        }
    }
}

/// Reason in the form that the peer may read. A program's output may quote files that the peer gave it, or led it to,
/// and is for this node's root: the peer decides over those files. Whoever may change spared's own configuration is
/// root here anyway.
pub(super) fn reason_for_peer<'w>(tree: &str, why: &'w str) -> &'w str {
    if tree == builtin::NAME {
        why
    } else {
        without_output(why)
    }
}

/// Reason in the form that the peer may read, with the place where the rest is shown.
fn for_peer(tree: &str, why: &str) -> String {
    let reason = reason_for_peer(tree, why);
    if reason.len() < why.len() {
        format!(
            "{reason} (on that node `sparectl files pull {tree} --check` shows what a check says, and `sparectl files pull \
             {tree} --confirm 2m` what applying does)"
        )
    } else {
        why.to_owned()
    }
}
