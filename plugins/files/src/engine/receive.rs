//! Transfer of a tree of the peer to this node, on request or because the peer offers it.

use spared_tree::local::{ChangeOutcome, Finished, Request};
use spared_tree::{Change, Hash, Manifest};

use super::relation::Relation;
use super::root_half::Pending;
use super::scan::ACTIVE_AS_WELL;
use super::show::Shown;
use super::transfer::{Purpose, Stage, Transfer, changes, lines};
use super::{Action, AfterScan, Engine, TreeInfo};
use crate::wire::{How, Message};

/// Reason why an automatic offer is not taken: it is made again.
pub(super) const OVERTAKEN: &str = "it changed after it was offered";

impl Engine {
    /// Reason why no transfer or offer of this tree can begin now.
    pub(super) fn refusal(&self, name: &str) -> Option<String> {
        let relation = self.tree(name).map(TreeInfo::relation);
        self.is_busy().or_else(|| match relation {
            Some(Relation::ConfigDiffers) => Some(config_differs(name)),
            _ if !self.is_up() => Some(format!("{} is not connected", self.peer)),
            _ => None,
        })
    }

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
        let refusal = self.refusal(name);
        let transfer = Transfer::new(now_ns, ticket, name, purpose);
        self.end_show();
        if let Some(why) = refusal {
            if matches!(transfer.purpose, Purpose::Pull(_)) && !self.people.has_asker() {
                self.note(now_ns, name, &Err(why.clone()));
            }
            return self.answer(&transfer, Err(why));
        }
        self.transfer = Some(transfer);
        let tree = name.to_owned();
        self.send(&Message::Ask { ticket, tree });
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
        let refusal = match (self.refusal(name), self.tree(name)) {
            (Some(why), _) => Some(why),
            (None, None) => Some(format!("there is no such tree: {}", config_differs(name))),
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
