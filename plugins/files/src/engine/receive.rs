//! Transfer of a tree of the peer to this node, and offer of a tree to the peer.

use spared_tree::local::{ChangeOutcome, Finished, Request, without_output};
use spared_tree::{Change, Hash, Manifest, builtin};

use super::command::rows_of;
use super::people::Caller;
use super::root_half::Pending;
use super::scan::ACTIVE_AS_WELL;
use super::show::Shown;
use super::status::LastResult;
use super::transfer::{Purpose, Stage, Transfer, changes, lines};
use super::tree::{Digested, Relation};
use super::{Action, AfterScan, Engine, Offer, Reply, SILENCE_NS};
use crate::wire::{How, Message};

/// Reason why an automatic offer is not taken: it is made again.
const OVERTAKEN: &str = "it changed after it was offered";

impl Engine {
    /// Reason why no transfer or offer can begin now.
    pub(super) fn is_busy(&self) -> Option<String> {
        let transfer = self.transfer.as_ref().map(|it| &it.tree);
        let tree = transfer.or(self.offer.as_ref().map(|it| &it.tree))?;
        Some(format!(
            "tree \"{tree}\" is under way: wait, or `sparectl files stop`"
        ))
    }

    /// Requests the peer's tree.
    pub(super) fn receive(&mut self, now_ns: u64, name: &str, purpose: Purpose) {
        let ticket = self.ticket();
        let refusal = match (self.is_busy(), self.relation_of(name)) {
            (Some(why), _) => Some(why),
            (None, Some(Relation::ConfigDiffers)) => Some(config_differs(name)),
            (None, _) if !self.is_up() => Some(format!("{} is not connected", self.peer)),
            (None, _) => None,
        };
        let transfer = Transfer::new(now_ns, ticket, name, purpose);
        self.end_show();
        if let Some(why) = refusal {
            if matches!(transfer.purpose, Purpose::Pull(_)) && !self.people.has_asker() {
                self.note(now_ns, name, &Err(why.clone()));
            }
            return self.answer(now_ns, &transfer, Err(why));
        }
        self.transfer = Some(transfer);
        let tree = name.to_owned();
        self.send(&Message::Ask { ticket, tree });
    }

    /// Asks the peer to fetch this node's tree.
    pub(super) fn push(&mut self, now_ns: u64, name: &str, by: Caller, ticket: u64, how: How) {
        if let Some(why) = self.is_busy() {
            return self.refuse_step(now_ns, name, by, why);
        }
        match self.relation_of(name) {
            Some(Relation::ConfigDiffers) => {
                return self.refuse_step(now_ns, name, by, config_differs(name));
            }
            _ if !self.is_up() => {
                let why = format!("{} is not connected", self.peer);
                return self.refuse_step(now_ns, name, by, why);
            }
            _ => {}
        }
        let is_change = !how.is_dry && !how.only_check;
        let mut unconfirmed = None;
        if let Some(tree) = self.tree_mut(name).filter(|_| is_change) {
            // a change with a deadline may be refused, and then counts as requested no more than before
            match how.confirm_s {
                0 => tree.auto_copy.handle_wanted(),
                _ => unconfirmed = tree.digest(),
            }
        }
        self.offer = Some(Offer {
            ticket,
            tree: name.to_owned(),
            began_ns: now_ns,
            digest: self.tree(name).and_then(super::TreeInfo::digest),
            is_automatic: false,
            is_change,
            unconfirmed,
        });
        self.people.handle_asked(by);
        self.offer_now(ticket, name, how);
    }

    /// Offers a tree as of the last scan.
    pub(super) fn offer_now(&mut self, ticket: u64, name: &str, how: How) {
        let digest = self.tree(name).and_then(super::TreeInfo::digest);
        let tree = name.to_owned();
        self.send(&Message::Offer {
            ticket,
            tree,
            how,
            digest,
        });
    }

    /// Scans a tree that the peer is about to offer, while the peer scans its own.
    pub(super) fn handle_announced(&mut self, ticket: u64, name: &str) {
        // one at a time, so that a peer that announces without end does not fill the memory
        self.steps.forget_announced();
        if self.tree(name).is_some() && self.is_busy().is_none() {
            self.after_scan(name, AfterScan::Announced { ticket });
        }
    }

    pub(super) fn handle_offer(
        &mut self,
        now_ns: u64,
        ticket: u64,
        name: &str,
        how: How,
        digest: Option<Hash>,
    ) {
        let refusal = match (self.is_busy(), self.relation_of(name)) {
            (Some(why), _) => Some(why),
            (None, None) => Some(format!("there is no such tree: {}", config_differs(name))),
            (None, Some(Relation::ConfigDiffers)) => Some(config_differs(name)),
            (None, _) if !self.has_root() => Some("the plugin files-root does not run".to_owned()),
            (None, _) if self.sends_itself(name, how) => Some(ACTIVE_AS_WELL.to_owned()),
            (None, _) => None,
        };
        match refusal {
            Some(why) => {
                let result = Err(why);
                self.send(&Message::Report { ticket, result });
            }
            None => {
                let then = AfterScan::Offered {
                    ticket,
                    how,
                    digest,
                };
                self.after_announced(now_ns, ticket, name, then);
            }
        }
    }

    /// Continues with a tree that was scanned since its offer was announced; otherwise scans it.
    fn after_announced(&mut self, now_ns: u64, ticket: u64, name: &str, then: AfterScan) {
        if self.steps.take_ahead(ticket, name) {
            return self.go_on(now_ns, name, then);
        }
        if !self.steps.replace_announced(ticket, name, then) {
            self.after_scan(name, then);
        }
    }

    pub(super) fn handle_piece(&mut self, now_ns: u64, ticket: u64, bytes: Vec<u8>, is_last: bool) {
        let Some(transfer) = self.transfer.as_mut().filter(|it| it.ticket == ticket) else {
            return;
        };
        transfer.moved_ns = now_ns;
        if !matches!(transfer.stage, Stage::Manifest(_)) {
            match transfer.take_content(bytes, is_last) {
                Ok(piece) => self.actions.push_back(Action::Store(piece)),
                Err(why) => self.end_transfer(now_ns, Err(why)),
            }
            return;
        }
        let tree = self.trees.iter().find(|it| it.name() == transfer.tree);
        let Some(tree) = tree else {
            return self.end_transfer(now_ns, Err("the tree is gone".to_owned()));
        };
        match transfer.take_manifest(&tree.settings, &bytes, is_last) {
            Ok(None) => {}
            Ok(Some(manifest)) => self.handle_manifest(now_ns, manifest),
            Err(why) => {
                let why = format!("the files of {} are refused: {why}", self.peer);
                self.end_transfer(now_ns, Err(why));
            }
        }
    }

    fn handle_manifest(&mut self, now_ns: u64, new: Manifest) {
        let Some(transfer) = &mut self.transfer else {
            return;
        };
        let tree = self.trees.iter().find(|it| it.name() == transfer.tree);
        let Some((tree, own)) = tree.and_then(|it| Some((it, it.manifest()?))) else {
            return self.end_transfer(now_ns, Err("the tree cannot be read".to_owned()));
        };
        let changes = changes(own, &new);
        let how = transfer.how();
        if changes.is_empty() {
            return self.end_transfer(now_ns, Ok(nothing()));
        }
        if !transfer.is_offered(&new) {
            return self.end_transfer(now_ns, Err(OVERTAKEN.to_owned()));
        }
        if transfer.purpose == Purpose::Diff {
            return self.end_transfer(now_ns, Ok(listed(&changes)));
        }
        // a list of changes is refused for the same reasons as the changes
        let hindrance = tree
            .hindrance(&changes)
            .filter(|_| transfer.purpose != Purpose::Show);
        if let Some(why) = hindrance {
            return self.end_transfer(now_ns, Err(why));
        }
        if how.is_dry {
            return self.end_transfer(now_ns, Ok(listed(&changes)));
        }
        if transfer.purpose == Purpose::Show {
            transfer.fetch_shown(Shown::new(&changes, &new), new);
            return self.fetch(now_ns);
        }
        if !tree.is_replaceable() && !how.anyway {
            let why = format!(
                "tree \"{}\" was changed on the node that would receive it, or never was the same on both: \
                 see `sparectl files diff {0}`, and --anyway replaces it",
                transfer.tree
            );
            return self.end_transfer(now_ns, Err(why));
        }
        transfer.fetch(own, new);
        self.fetch(now_ns);
    }

    /// Requests contents, and has the whole tree put in place once all have arrived.
    fn fetch(&mut self, now_ns: u64) {
        let Some(transfer) = &mut self.transfer else {
            return;
        };
        let ticket = transfer.ticket;
        let mut wanted = Vec::new();
        while let Some(hash) = transfer.poll_fetch() {
            wanted.push(hash);
        }
        let complete = transfer.complete();
        if complete.is_some() && transfer.purpose == Purpose::Show {
            return self.show(now_ns);
        }
        if let Some(manifest) = complete {
            self.actions.push_back(Action::Stage(manifest.encode()));
            transfer.installed = Some(manifest);
        }
        for hash in wanted {
            self.send(&Message::Fetch { ticket, hash });
        }
    }

    /// Handles that a piece is in the stage.
    pub fn handle_stored(&mut self, now_ns: u64, is_last: bool, result: Result<(), String>) {
        match result {
            Err(why) => self.end_transfer(now_ns, Err(why)),
            Ok(()) if is_last => self.fetch(now_ns),
            Ok(()) => {}
        }
    }

    /// Handles that the manifest is in the stage, under this hash.
    pub fn handle_staged(&mut self, now_ns: u64, result: Result<spared_tree::Hash, String>) {
        let manifest = match result {
            Ok(hash) => hash,
            Err(why) => return self.end_transfer(now_ns, Err(why)),
        };
        let ticket = self.ticket();
        let Some(transfer) = &mut self.transfer else {
            return;
        };
        let (Some(expected), true) = (transfer.expected, self.root.is_running()) else {
            let why = "the plugin files-root does not run".to_owned();
            return self.end_transfer(now_ns, Err(why));
        };
        transfer.stage = Stage::Install(ticket);
        let name = transfer.tree.clone();
        let request = Request::Install {
            ticket,
            tree: transfer.tree.clone(),
            manifest,
            expected,
            origin: self.peer.clone(),
            confirm_s: transfer.how().confirm_s,
            only_check: transfer.how().only_check,
            insists: transfer.how().anyway,
        };
        self.root.ask(ticket, Pending::Install);
        self.actions.push_back(Action::Request(request));
        if let Some(tree) = self.tree_mut(&name) {
            tree.scan.is_outdated = true;
        }
    }

    /// True if the root half is putting this tree in place.
    pub(super) fn is_installing(&self, name: &str) -> bool {
        let transfer = self.transfer.as_ref();
        transfer.is_some_and(|it| it.tree == name && it.is_installing())
    }

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
        self.answer(now_ns, &transfer, result);
        self.scan(&transfer.tree);
    }

    fn answer(&mut self, now_ns: u64, transfer: &Transfer, result: Result<Finished, String>) {
        match transfer.purpose {
            Purpose::Offer { ticket, .. } => {
                let result = result.map_err(|why| for_peer(&transfer.tree, &why));
                self.send(&Message::Report { ticket, result });
            }
            Purpose::Diff => self.end_diff(result),
            Purpose::Show | Purpose::Pull(_) => self.end_asker(now_ns, result),
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

    fn end_asker(&mut self, _now_ns: u64, result: Result<Finished, String>) {
        let Some(token) = self.people.take_asker() else {
            return;
        };
        match result {
            Ok(finished) => self.answer_finished(token, &finished),
            Err(why) => self.refuse(token, why),
        }
    }

    pub(super) fn handle_report(
        &mut self,
        now_ns: u64,
        ticket: u64,
        result: Result<Finished, String>,
    ) {
        if self.offer.as_ref().is_some_and(|it| it.ticket == ticket) {
            let shown = |why| format!("{}: {why}", self.peer);
            self.end_offer(now_ns, result.map_err(shown));
        } else if self.people.confirming() == Some(ticket) {
            self.end_confirming(result);
        }
    }

    pub(super) fn end_offer(&mut self, now_ns: u64, result: Result<Finished, String>) {
        let offer = self.offer.take();
        self.note_unconfirmed(offer.as_ref(), &result);
        match offer {
            Some(offer) if offer.is_automatic => self.end_auto_copy(now_ns, &offer, result),
            Some(offer) => {
                // only the waiting command gets a list
                if offer.is_change || !self.people.has_asker() {
                    self.note_push(now_ns, &offer.tree, result.clone());
                }
                self.end_asker(now_ns, result);
            }
            None => {}
        }
    }

    fn note_push(&mut self, now_ns: u64, tree: &str, result: Result<Finished, String>) {
        let pushed = |it: Finished| it.outcome.with(format!("pushed: {}", it.text()));
        let shown = result.map(pushed);
        let shown = shown.map_err(|why| format!("not pushed: {why}"));
        self.keep_result(tree, LastResult::of(now_ns, &shown));
    }

    /// Reports on the pushing node that nobody confirmed the tree in time.
    pub(super) fn note_back(&mut self, now_ns: u64, tree: &str) {
        let peer = &self.peer;
        let text = format!(
            "{peer} put its previous files back, because nobody confirmed those of this node"
        );
        let event = format!("tree \"{tree}\": {text}");
        let last = LastResult::by_itself(now_ns, text);
        self.keep_result(tree, last);
        self.actions.push_back(Action::Event(event));
    }

    /// Remembers the digest that the peer may revert. The change itself may have cut the link before the peer reported.
    fn note_unconfirmed(&mut self, offer: Option<&Offer>, result: &Result<Finished, String>) {
        let is_there = match result {
            Ok(finished) => finished.outcome == ChangeOutcome::Changed,
            Err(_) => !self.is_up(),
        };
        let offer = offer.filter(|_| is_there);
        let noted = offer.and_then(|it| Some((it.unconfirmed?, self.tree_mut(&it.tree)?)));
        if let Some((digest, tree)) = noted {
            tree.auto_copy.handle_unconfirmed(digest);
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

    fn relation_of(&self, name: &str) -> Option<Relation> {
        self.tree(name).map(super::TreeInfo::relation)
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

pub(super) fn listed(changes: &[Change]) -> Finished {
    Finished {
        outcome: ChangeOutcome::Listed,
        lines: lines(changes),
    }
}

pub(super) fn nothing() -> Finished {
    ChangeOutcome::Same.with("both nodes have the same files")
}

fn config_differs(name: &str) -> String {
    format!("paths and exclude of tree \"{name}\" differ between the nodes: compare files.toml")
}
