//! Scans of trees: when a tree is read, and what continues afterwards.

use spared_tree::Hash;
use spared_tree::config::Sync;
use spared_tree::local::Request;

use super::people::Caller;
use super::root_half::Pending;
use super::tree::{Digested, TreeInfo};
use super::{Action, Engine, auto_copy, receive, transfer};
use crate::wire::{How, Message};

/// Interval between two scans of a tree, in ns.
const SCAN_NS: u64 = 10_000_000_000;
/// Time in ns within which a tree is read again. The commands of a change in progress may take most of it.
const FRESH_NS: u64 = 300_000_000_000;

/// Step that continues after a tree was scanned.
#[derive(Clone, Copy, Debug)]
pub(super) enum AfterScan {
    /// Fetch of the peer's tree, to compare it or to put it in place, for a command here.
    Receive {
        by: Caller,
        purpose: transfer::Purpose,
    },
    /// Offer of this tree to the peer with this ticket, for a command here.
    Push { by: Caller, ticket: u64, how: How },
    /// Scan for an offer that the peer has announced with this ticket.
    Announced { ticket: u64 },
    /// Offer of the peer's tree, with this digest.
    Offered {
        ticket: u64,
        how: How,
        digest: Option<Hash>,
    },
    /// Request of the peer for the manifest.
    Asked { ticket: u64 },
}

/// Reason why an automatic offer is refused.
pub(super) const ACTIVE_AS_WELL: &str = "this node is active as well";

impl AfterScan {
    /// Command that waits for the step.
    pub(super) fn caller(&self) -> Option<Caller> {
        let mut step = *self;
        step.caller_mut().copied()
    }

    pub(super) fn caller_mut(&mut self) -> Option<&mut Caller> {
        match self {
            Self::Receive { by, .. } | Self::Push { by, .. } => Some(by),
            Self::Announced { .. } | Self::Offered { .. } | Self::Asked { .. } => None,
        }
    }

    /// True if the step may change a tree: its end is shown by `sparectl files`.
    pub(super) fn can_change(&self) -> bool {
        match self {
            Self::Receive { purpose, .. } => !purpose.is_list(),
            Self::Push { how, .. } => !how.is_dry,
            _ => true,
        }
    }

    /// True if the step may change a tree, or a command waits for it.
    pub(super) fn can_be_stopped(&self) -> bool {
        matches!(
            self,
            Self::Receive { .. } | Self::Push { .. } | Self::Offered { .. }
        )
    }
}

impl Engine {
    /// Scans a tree, and then continues with `then`.
    pub(super) fn after_scan(&mut self, name: &str, then: AfterScan) {
        if !self.has_root() {
            return self.give_up(then, "the plugin files-root does not run");
        }
        if self.steps.is_full() {
            return self.give_up(then, "too many requests are waiting already");
        }
        let is_read = self.tree(name).is_some_and(|it| it.scan.ticket.is_none());
        self.steps.push(name, is_read, then);
        self.scan(name);
    }

    /// Scans a tree, unless a scan is in progress.
    pub(super) fn scan(&mut self, name: &str) {
        if !self.has_root() {
            return;
        }
        let ticket = self.ticket();
        let Some(tree) = self.tree_mut(name) else {
            return;
        };
        if tree.scan.ticket.is_some() {
            return;
        }
        tree.scan.ticket = Some(ticket);
        let request = Request::Scan {
            ticket,
            tree: name.to_owned(),
            known: tree.digest(),
        };
        let scan = Pending::Scan {
            tree: name.to_owned(),
            bytes: Vec::new(),
        };
        self.root.ask(ticket, scan);
        self.actions.push_back(Action::Request(request));
    }

    /// Handles the result of a scan.
    pub(super) fn handle_scanned(
        &mut self,
        now_ns: u64,
        name: &str,
        own: Result<Digested, String>,
    ) {
        let is_installing = self.is_installing(name);
        let Some(tree) = self.tree_mut(name) else {
            return;
        };
        tree.scan.ticket = None;
        let interval_ns = match tree.settings.sync {
            Sync::Change => auto_copy::CHANGE_SCAN_NS,
            Sync::Ask | Sync::Every(_) => SCAN_NS,
        };
        tree.scan.due_ns = now_ns.saturating_add(interval_ns);
        tree.own_due_ns = Some(now_ns.saturating_add(FRESH_NS));
        let waits = (tree.own_waits_s, tree.scan.waits_s);
        tree.own_waits_s = tree.scan.waits_s;
        let changes = tree.moved(&own);
        let is_news = tree.set_own(now_ns, own);
        tree.auto_copy.handle_scan(now_ns, is_news, &changes);
        let was_outdated = std::mem::replace(&mut tree.scan.is_outdated, is_installing);
        let was_told_unread = std::mem::take(&mut tree.scan.is_told_unread);
        if is_news || waits.0 != waits.1 || was_outdated || was_told_unread {
            self.tell(name);
        }
        if let Some(confirmed) = self.tree_mut(name).and_then(TreeInfo::take_confirmed) {
            self.set_base(name, confirmed);
        }
        self.note_common(name);
        for then in self.steps.handle_scanned(name) {
            self.go_on(now_ns, name, then);
        }
        if self.steps.wait_for(name) {
            self.scan(name);
        }
        self.offer_due_tree(now_ns);
    }

    /// Tells the peer of trees that have not been read for too long, or that nobody reads: it would call them
    /// synchronized.
    pub(super) fn check_unread(&mut self, now_ns: u64) {
        let is_nobody = !self.has_root() && self.root.is_due();
        let is_over = |it: &TreeInfo| it.own_due_ns.is_some_and(|due| is_nobody || due <= now_ns);
        let over = self.trees.iter_mut().filter(|it| is_over(it));
        let mut unread = Vec::new();
        for tree in over {
            tree.own_due_ns = None;
            tree.scan.is_told_unread = true;
            unread.push(tree.name().to_owned());
        }
        unread.iter().for_each(|name| self.tell(name));
    }

    /// Reason why a tree has not been read for too long.
    pub(super) fn unread_reason(&self) -> &'static str {
        if self.has_root() {
            "files-root has not read it for minutes"
        } else {
            "files-root does not run"
        }
    }

    /// Ends steps that wait for a scan; true if there were any.
    pub(super) fn stop_waiting(&mut self, which: impl Fn(&AfterScan) -> bool) -> bool {
        let stopped = self.steps.take(which);
        let is_any = !stopped.is_empty();
        for then in stopped {
            self.give_up(then, "stopped");
        }
        is_any
    }

    pub(super) fn give_up(&mut self, then: AfterScan, why: &str) {
        let why = why.to_owned();
        match then {
            AfterScan::Receive { by, .. } | AfterScan::Push { by, .. } => {
                self.refuse_caller(by, why)
            }
            AfterScan::Offered { ticket, .. } => {
                let result = Err(why);
                self.send(&Message::Report { ticket, result });
            }
            AfterScan::Asked { ticket } => self.send(&Message::Refuse { ticket, why }),
            // the offer is refused when it arrives
            AfterScan::Announced { .. } => {}
        }
    }

    pub(super) fn go_on(&mut self, now_ns: u64, name: &str, then: AfterScan) {
        let own = self.tree(name).and_then(|it| it.own.clone());
        let own = own.unwrap_or_else(|| Err("was not read".to_owned()));
        match (then, own) {
            (AfterScan::Receive { by, purpose }, Ok(_)) => {
                // another transfer may have begun meanwhile, and a command waits for it
                if let Some(why) = self.is_busy() {
                    return self.refuse_step(now_ns, name, by, why);
                }
                self.people.handle_asked(by);
                self.receive(now_ns, name, purpose);
            }
            (AfterScan::Push { by, ticket, how }, Ok(_)) => {
                self.push(now_ns, name, by, ticket, how);
            }
            (AfterScan::Announced { ticket }, Ok(_)) => {
                self.steps.handle_ahead(ticket, name);
            }
            (AfterScan::Offered { ticket, digest, .. }, Ok(_)) if self.has(name, digest) => {
                let result = Ok(receive::nothing());
                self.send(&Message::Report { ticket, result });
            }
            (then @ AfterScan::Offered { how, .. }, Ok(_)) if self.sends_itself(name, how) => {
                self.give_up(then, ACTIVE_AS_WELL);
            }
            (
                AfterScan::Offered {
                    ticket,
                    how,
                    digest,
                },
                Ok(_),
            ) => {
                let purpose = transfer::Purpose::Offer {
                    ticket,
                    how,
                    digest,
                };
                self.receive(now_ns, name, purpose);
            }
            (AfterScan::Asked { ticket }, Ok(own)) => self.serving.ask(ticket, name, own),
            (then, Err(why)) => match then.caller() {
                Some(by) => self.refuse_step(now_ns, name, by, why),
                None => self.give_up(then, &why),
            },
        }
    }

    /// Refuses a command; notes the reason if it was already answered that it continues.
    pub(super) fn refuse_step(&mut self, now_ns: u64, name: &str, by: Caller, why: String) {
        match by.token() {
            Some(token) => self.refuse(token, why),
            None => self.note(now_ns, name, &Err(why)),
        }
    }
}
