//! Status of the trees.

use std::time::Duration;

use spared_sdk::{Trouble, Value};
use spared_tree::config::Sync;
use spared_tree::local::{ChangeOutcome, Finished, without_output};

use super::relation::Relation;
use super::session::Session;
use super::tree::TreeInfo;
use super::{Engine, short};

/// Result of the last change of a tree.
#[derive(Debug)]
pub(super) struct LastResult {
    at_ns: u64,
    /// Outcome; None: the change failed, or nobody requested it.
    outcome: Option<ChangeOutcome>,
    is_failure: bool,
    pub(super) text: String,
}

impl LastResult {
    /// True if a change was refused or failed.
    fn is_failure(&self) -> bool {
        self.is_failure
    }

    pub(super) fn of(at_ns: u64, result: &Result<Finished, String>) -> Self {
        Self {
            at_ns,
            outcome: result.as_ref().ok().map(|it| it.outcome),
            is_failure: result.is_err(),
            text: match result {
                Ok(finished) => finished.text(),
                // the group spared may read the text
                Err(why) => without_output(why).to_owned(),
            },
        }
    }

    pub(super) fn by_itself(at_ns: u64, text: String) -> Self {
        Self {
            at_ns,
            outcome: None,
            is_failure: false,
            text,
        }
    }
}

impl Engine {
    /// Line in `sparectl status`.
    pub fn summary(&self) -> String {
        let of = |it: &TreeInfo| (it.name().to_owned(), it.relation());
        // the daemon compares spared's own configuration key by key
        let trees = self.trees.iter().filter(|it| !it.settings.is_builtin());
        let all: Vec<_> = trees.map(of).collect();
        let same = all.iter().filter(|(_, it)| *it == Relation::Same).count();
        let other = all.iter().filter(|(_, it)| *it != Relation::Same);
        let other: Vec<String> = other
            .take(3)
            .map(|(name, it)| format!("{name}: {}", word(it)))
            .collect();
        match other.as_slice() {
            [] if all.is_empty() => "no trees but spared's own".to_owned(),
            [] => format!("{same} of {same} trees synchronized"),
            other => format!(
                "{same} of {} trees synchronized; {}",
                all.len(),
                other.join(", ")
            ),
        }
    }

    /// Keeps how the last change of a tree ended.
    pub(super) fn keep_result(&mut self, tree: &str, last: LastResult) {
        self.results.insert(tree.to_owned(), last);
    }

    pub fn rows(&self, now_ns: u64) -> Vec<(String, Value)> {
        let mut rows = Vec::new();
        for tree in &self.trees {
            let mut row = |key: &str, value: Value| {
                rows.push((format!("tree.{}.{key}", tree.name()), value));
            };
            let text = |text: &str| Value::Text(text.to_owned());
            row("state", Value::Text(self.sentence(tree)));
            row("sync", Value::Text(self.sync_text(now_ns, tree)));
            if let Some(own) = tree.manifest() {
                row("files", Value::Number(own.files() as u64));
                row("size", Value::Bytes(own.bytes()));
                row("digest", Value::Text(short(tree.digest())));
            }
            let theirs = tree.peer.as_ref().and_then(|it| it.digest.as_ref().ok());
            row("digest_of_peer", Value::Text(short(theirs.copied())));
            if let Some(changed_ns) = tree.changed_ns {
                let age = Duration::from_nanos(now_ns.saturating_sub(changed_ns));
                row("changed_ago", Value::Time(age));
            }
            let wait = |seconds: u32| Value::Time(Duration::from_secs(seconds.into()));
            if let Some(left_s) = tree.own_waits_s {
                row("goes_back_in", wait(left_s));
            }
            if let Some(left_s) = tree.peer.as_ref().and_then(|it| it.waits_s) {
                row("goes_back_on_peer_in", wait(left_s));
            }
            // a refusal is over once both nodes have the same; spared's own configuration may still not be in force
            let is_over = |it: &&LastResult| {
                it.is_failure() && !tree.settings.is_builtin() && tree.relation() == Relation::Same
            };
            let result = self.results.get(tree.name()).filter(|it| !is_over(it));
            row("last", text(result.map_or("-", |it| &it.text)));
            if let Some(outcome) = result.and_then(|it| it.outcome) {
                row("last_outcome", text(outcome.word()));
            }
            if let Some(it) = result {
                let age = Duration::from_nanos(now_ns.saturating_sub(it.at_ns));
                row("last_ago", Value::Time(age));
            }
        }
        rows.extend(self.progress(now_ns));
        rows
    }

    fn progress(&self, now_ns: u64) -> Vec<(String, Value)> {
        let row = |key: &str, value| (format!("transfer.{key}"), value);
        let age =
            |began_ns: u64| Value::Time(Duration::from_nanos(now_ns.saturating_sub(began_ns)));
        if let Some(it) = &self.transfer {
            let what = if it.is_installing() {
                "being put in place"
            } else {
                "being received"
            };
            return vec![
                row("tree", Value::Text(it.tree.clone())),
                row("state", Value::Text(what.to_owned())),
                row("files", Value::Number(it.files.0 as u64)),
                row("files_in_all", Value::Number(it.files.1 as u64)),
                row("size", Value::Bytes(it.bytes.0)),
                row("size_in_all", Value::Bytes(it.bytes.1)),
                row("time", age(it.began_ns)),
            ];
        }
        match &self.offer {
            Some(it) => vec![
                row("tree", Value::Text(it.tree.clone())),
                row("state", Value::Text(format!("{} receives it", self.peer))),
                row("time", age(it.began_ns)),
            ],
            None => match self.root.changed() {
                Some((tree, began_ns)) => vec![
                    row("tree", Value::Text(tree.to_owned())),
                    row("state", Value::Text("being put in place".to_owned())),
                    row("time", age(began_ns)),
                ],
                None => match self.steps.waiting_change() {
                    Some(tree) => vec![
                        row("tree", Value::Text(tree.to_owned())),
                        row("state", Value::Text("waiting until it is read".to_owned())),
                    ],
                    None => Vec::new(),
                },
            },
        }
    }

    /// Sentence about the state of a tree.
    fn sentence(&self, tree: &TreeInfo) -> String {
        let (name, peer) = (tree.name(), &self.peer);
        match tree.relation() {
            Relation::Unread if self.has_root() && tree.own.is_none() => {
                "not known: not read yet".to_owned()
            }
            Relation::Unread => format!("not known: {}", self.unread_reason()),
            Relation::Untold if self.is_up() => {
                format!("not known: {peer} has not reported its files")
            }
            Relation::Untold => format!("not known: {peer} is not connected"),
            Relation::Fault(why) => format!("error: {why}"),
            Relation::PeerFault(why) => format!("error on {peer}: {why}"),
            Relation::ConfigDiffers => {
                format!("error: paths or exclude differ on {peer}: compare files.toml")
            }
            Relation::Same => match (tree.own_waits_s, tree.waits_s()) {
                (_, None) => "synchronized".to_owned(),
                (Some(left_s), _) => unconfirmed(tree, "this node", left_s),
                (None, Some(left_s)) => unconfirmed(tree, peer, left_s),
            },
            Relation::Ours => {
                let what = self.ours(tree);
                if let Some(why) = self.changing_reason(tree) {
                    return format!("pending: {what} changed here, and is not copied: {why}");
                }
                if let Some(why) = &tree.auto_copy.failed {
                    return format!("pending: {what} changed here, and was not copied: {why}");
                }
                if self.is_held_back(tree) {
                    return format!(
                        "pending: {what} changed here, and went back on {peer} as nobody confirmed it: sparectl files push {name}"
                    );
                }
                if self.is_copied_from_here(tree) {
                    return format!("pending: {what} changed here, and will be copied");
                }
                format!("pending: {what} changed here, not on {peer}: sparectl files push {name}")
            }
            Relation::Theirs => {
                let what = theirs(tree);
                format!("pending: {what} changed on {peer}, not here: sparectl files pull {name}")
            }
            Relation::Conflict => match (&tree.base, tree.common()) {
                (Some(_), Some(_)) => {
                    let (ours, theirs) = (self.ours(tree), theirs(tree));
                    format!(
                        "conflict: {ours} changed here, {theirs} on {peer}: sparectl files diff {name}"
                    )
                }
                (Some(_), None) => format!(
                    "conflict: differs from {peer}, and the nodes do not agree on what both last had: \
                     sparectl files diff {name}"
                ),
                (None, _) => format!(
                    "conflict: differs from {peer} and never was the same: sparectl files diff {name}"
                ),
            },
        }
    }

    fn is_copied_from_here(&self, tree: &TreeInfo) -> bool {
        tree.settings.sync != Sync::Ask && self.leads(tree.name())
    }

    /// True if a tree would be copied from here if the peer had not reverted it.
    fn is_held_back(&self, tree: &TreeInfo) -> bool {
        self.is_copied_from_here(tree) && tree.auto_copy.is_reverted(tree.digest())
    }

    fn is_copy_stuck(&self, tree: &TreeInfo) -> bool {
        let auto_copy = &tree.auto_copy;
        let is_stuck = auto_copy.keeps_changing || auto_copy.failed.is_some();
        self.is_held_back(tree) || (is_stuck && self.is_copied_from_here(tree))
    }

    /// True if a failover now would lose changes of this node. A change that waits for the end of an interval is as
    /// configured.
    fn is_pending(&self, tree: &TreeInfo) -> bool {
        let is_ours = tree.relation() == Relation::Ours && !tree.settings.is_builtin();
        let waits = matches!(tree.settings.sync, Sync::Every(_)) && self.is_copied_from_here(tree);
        is_ours && !waits
    }

    /// Sentence about an unconfirmed tree. On a node that the new configuration cut off, a confirmation would keep that
    /// configuration.
    fn unconfirmed_here(&self, tree: &TreeInfo) -> String {
        let (name, peer) = (tree.name(), &self.peer);
        if self.is_up() {
            "not confirmed: the old files come back unless you run sparectl files confirm"
                .to_owned()
        } else {
            format!(
                "not confirmed, and {peer} is not connected: the old files come back by themselves, at once by \
                 sparectl files back {name}"
            )
        }
    }

    fn changing_reason(&self, tree: &TreeInfo) -> Option<String> {
        let why = tree.auto_copy.changing_reason();
        why.filter(|_| self.is_copied_from_here(tree))
    }

    fn ours(&self, tree: &TreeInfo) -> String {
        let changes = tree.changes().unwrap_or_default();
        let names: Vec<&str> = changes.iter().map(|it| it.path.as_str()).collect();
        count(changes.len(), names.first().copied())
    }
}

/// Findings about trees. A change on the peer alone is the peer's to report.
pub fn troubles(engine: &Engine) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    if !engine.has_root() {
        let why = "the plugin files-root does not run: see `sparectl plugins`, and whether files-root.toml is next to files.toml";
        let is_known = engine.root.is_due();
        let trouble = Trouble::new("files-root", why);
        troubles.push(Trouble {
            is_known,
            ..trouble
        });
    }
    for tree in &engine.trees {
        let is_ours = match tree.relation() {
            Relation::Fault(_) => true,
            Relation::Unread => engine.has_root() && tree.own_due_ns.is_none(),
            Relation::Untold => engine.session.as_ref().is_some_and(Session::is_told_due),
            _ if tree.settings.is_builtin() => false,
            Relation::ConfigDiffers => true,
            // both nodes know of it: the first one reports it
            Relation::Conflict => engine.node < engine.peer,
            Relation::Ours => engine.is_copy_stuck(tree),
            Relation::Same => tree.own_waits_s.is_some(),
            _ => false,
        };
        let missing = engine.group_is_missing(tree);
        // the daemon has a finding of its own about its configuration
        let is_unconfirmed = tree.own_waits_s.is_some() && !tree.settings.is_builtin();
        if is_unconfirmed && (!engine.is_up() || tree.relation() == Relation::Same) {
            // without the seconds, which would make it another finding at each scan
            troubles.push(Trouble::new(tree.name(), engine.unconfirmed_here(tree)));
        } else if is_ours {
            troubles.push(Trouble::new(tree.name(), engine.sentence(tree)));
        } else if engine.is_pending(tree) {
            let (name, what) = (tree.name(), engine.sentence(tree));
            troubles.push(Trouble::loss(name, format!("tree \"{name}\" is {what}")));
        } else if let Some(why) = missing {
            troubles.push(Trouble::new(tree.name(), why));
        }
    }
    troubles
}

fn unconfirmed(tree: &TreeInfo, node: &str, left_s: u32) -> String {
    let command = if tree.settings.is_builtin() {
        "sparectl confirm"
    } else {
        "sparectl files confirm"
    };
    format!("synchronized, but {node} goes back in {left_s} s unless you run {command}")
}

fn theirs(tree: &TreeInfo) -> String {
    let peer = tree.peer.as_ref();
    let number = peer.and_then(|it| it.changes).unwrap_or(0);
    let name = peer.and_then(|it| it.names.first().map(String::as_str));
    count(usize::try_from(number).unwrap_or(usize::MAX), name)
}

fn count(number: usize, first: Option<&str>) -> String {
    match (number, first) {
        (0, _) | (_, None) => "something".to_owned(),
        (1, Some(first)) => first.to_owned(),
        (number, Some(first)) => format!("{number} files ({first}, ...)"),
    }
}

fn word(relation: &Relation) -> &'static str {
    match relation {
        Relation::Unread | Relation::Untold => "not known",
        Relation::Fault(_) | Relation::PeerFault(_) | Relation::ConfigDiffers => "error",
        Relation::Same => "synchronized",
        Relation::Ours | Relation::Theirs => "pending",
        Relation::Conflict => "conflict",
    }
}
