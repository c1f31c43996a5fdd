//! Decides how the trees of both nodes relate, and copies them between the nodes on request; sans I/O.
//!
//! | from | methods |
//! |---|---|
//! | the peer | `handle_up`, `handle_message`, `handle_down` |
//! | the root half | `handle_root_up`, `handle_answer`, `handle_root_down` |
//! | people | `handle_command` |
//! | the daemon | `handle_role`, `handle_group_gone` |
//! | the disk | `handle_stored`, `handle_staged`, `handle_unsaved` |

mod auto_copy;
mod command;
mod confirm;
mod offer;
mod people;
mod receive;
mod relation;
mod root;
mod root_half;
mod scan;
mod serve;
mod session;
mod show;
mod status;
mod steps;
#[cfg(test)]
mod tests;
mod transfer;
mod transfer_end;
mod tree;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use spared_sdk::{Role, Trouble, Value};
use spared_tree::config::Settings;
use spared_tree::local::{Request, with_output};
use spared_tree::{Hash, Manifest};

pub use command::{Command, USAGE, parse};
use offer::Offer;
use people::{Caller, People};
use relation::Relation;
use root_half::RootHalf;
use scan::AfterScan;
use serve::Serving;
use session::Session;
use status::LastResult;
use steps::Steps;
pub use transfer::Piece;
use transfer::Transfer;
use tree::{Digested, TreeInfo};

use crate::wire::{Message, decode};

/// Maximum silence of the peer within a transfer, in ns.
const SILENCE_NS: u64 = 30_000_000_000;
/// Time in ns after which a waiting command is answered that it continues; the daemon waits 12 s.
const ANSWER_NS: u64 = 10_000_000_000;
/// Time that this node has for the first scan of its trees, in ns.
const KNOWN_NS: u64 = 30_000_000_000;

pub enum Action {
    /// Request to the root half.
    Request(Request),
    /// Piece of a content for the stage. `handle_stored` follows.
    Store(Piece),
    /// Manifest for the stage. `handle_staged` follows.
    Stage(Vec<u8>),
    /// Removal of the stage, which is not needed any more.
    Unstage,
    /// Manifest that both nodes have, saved for the next worker.
    Remember {
        tree: String,
        manifest: Arc<Manifest>,
    },
    /// Note for the next worker that a tree that is copied at intervals was copied.
    Copied(String),
    /// Digest that the peer reverts, or has reverted, because nobody confirms it; saved for the next worker.
    SaveUnconfirmed {
        tree: String,
        digest: Option<Hash>,
    },
    Event(String),
    Answer {
        token: u64,
        answer: Reply,
    },
}

/// Answer to a command.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply {
    pub rows: Vec<(String, Value)>,
    pub attention: bool,
    /// True if contents are in the stage for the command.
    pub is_staged: bool,
    /// Reason why the command was not carried out.
    pub refused: Option<String>,
}

pub struct Engine {
    /// Name of this node.
    node: String,
    /// Name of the peer.
    peer: String,
    trees: Vec<TreeInfo>,
    roles: auto_copy::Roles,
    session: Option<Session>,
    root: RootHalf,
    /// Number of the last ticket.
    tickets: u64,
    steps: Steps,
    transfer: Option<Transfer>,
    offer: Option<Offer>,
    people: People,
    serving: Serving,
    actions: VecDeque<Action>,
    /// Result of the last change of each tree, with its time.
    results: BTreeMap<String, LastResult>,
}

impl Engine {
    /// Creates an engine. `nodes` are this node and the peer. `bases` are the manifests that both nodes last had, by
    /// tree; `seed` differs in each run of this worker.
    pub fn new(
        now_ns: u64,
        seed: u64,
        [node, peer]: [String; 2],
        settings: &Settings,
        mut bases: BTreeMap<String, Manifest>,
    ) -> Self {
        let trees = settings.trees.iter();
        let trees = trees.map(|it| TreeInfo::new(it.clone(), bases.remove(&it.name)));
        Self {
            node,
            peer,
            trees: trees.collect(),
            roles: auto_copy::Roles::new(),
            session: None,
            root: RootHalf::new(now_ns),
            tickets: seed,
            steps: Steps::default(),
            transfer: None,
            offer: None,
            people: People::default(),
            serving: Serving::default(),
            actions: VecDeque::new(),
            results: BTreeMap::new(),
        }
    }

    fn ticket(&mut self) -> u64 {
        self.tickets = self.tickets.wrapping_add(1);
        self.tickets
    }

    fn send(&mut self, message: &Message) {
        if let Some(session) = &mut self.session {
            session.send(message);
        }
    }

    fn tree(&self, name: &str) -> Option<&TreeInfo> {
        self.trees.iter().find(|it| it.name() == name)
    }

    fn tree_mut(&mut self, name: &str) -> Option<&mut TreeInfo> {
        self.trees.iter_mut().find(|it| it.name() == name)
    }

    /// Sends the state of a tree here to the peer.
    fn tell(&mut self, name: &str) {
        let unread = self.unread_reason();
        if let Some(state) = self.tree(name).and_then(|it| it.state(unread)) {
            self.send(&Message::State(state));
        }
    }

    /// Remembers the manifest that both nodes have, once they are the same.
    fn note_common(&mut self, name: &str) {
        let tree = self.tree(name);
        // a change that is reverted unless it is confirmed counts once it is confirmed
        let tree = tree.filter(|it| it.relation() == Relation::Same && it.waits_s().is_none());
        if let Some(both) = tree.and_then(TreeInfo::own).cloned() {
            self.set_base(name, both);
        }
    }

    /// Remembers that both nodes had this manifest at the same time.
    fn set_base(&mut self, name: &str, both: Digested) {
        let manifest = Arc::clone(&both.manifest);
        if self.tree_mut(name).is_some_and(|it| it.set_base(both)) {
            let tree = name.to_owned();
            self.actions.push_back(Action::Remember { tree, manifest });
            // the number of differences from it has changed
            self.tell(name);
        }
    }

    fn handle(&mut self, now_ns: u64, message: Message) {
        match message {
            Message::State(state) => {
                let name = state.tree.clone();
                if let Some(tree) = self.tree_mut(&name) {
                    let went_back = tree.handle_peer(state);
                    self.note_unconfirmed_on_peer(&name);
                    self.note_common(&name);
                    if went_back {
                        self.note_back(now_ns, &name);
                    }
                }
            }
            Message::Ask { ticket, tree } => {
                if self.tree(&tree).is_some() {
                    self.after_scan(&tree, AfterScan::Asked { ticket })
                } else {
                    self.refuse_peer(ticket, &tree)
                }
            }
            Message::Fetch { ticket, hash } => {
                if let Err(why) = self.serving.fetch(ticket, hash) {
                    self.send(&Message::Refuse { ticket, why });
                }
            }
            Message::Piece {
                ticket,
                bytes,
                is_last,
            } => self.handle_piece(now_ns, ticket, bytes, is_last),
            Message::Refuse { ticket, why } => {
                if self.transfer.as_ref().is_some_and(|it| it.ticket == ticket) {
                    let why = format!("{}: {why}", self.peer);
                    self.end_transfer(now_ns, Err(why));
                }
            }
            Message::Offer {
                ticket,
                tree,
                how,
                digest,
            } => self.handle_offer(now_ns, ticket, &tree, how, digest),
            Message::AnnounceOffer { ticket, tree } => self.handle_announced(ticket, &tree),
            Message::Report { ticket, result } => self.handle_report(now_ns, ticket, result),
            Message::Stop { ticket } => self.handle_stop(now_ns, ticket),
            Message::Confirm { ticket, tree } => self.handle_peer_confirm(ticket, tree),
            Message::GoBack { ticket, tree } => self.handle_peer_back(now_ns, ticket, &tree),
            Message::Taken { ticket } => {
                if let Some((tree, manifest)) = self.serving.taken(ticket) {
                    self.set_base(&tree, manifest);
                }
            }
        }
    }

    fn refuse_peer(&mut self, ticket: u64, tree: &str) {
        let name: String = tree.chars().filter(|c| !c.is_control()).take(40).collect();
        let why = format!("there is no tree \"{name}\": compare files.toml of both nodes");
        self.send(&Message::Refuse { ticket, why });
    }

    fn refuse(&mut self, token: u64, why: impl Into<String>) {
        let refused = Some(with_output(&why.into()));
        let answer = Reply {
            refused,
            ..Reply::default()
        };
        self.actions.push_back(Action::Answer { token, answer });
    }

    /// Refuses a command, unless it was already answered that it continues.
    fn refuse_caller(&mut self, by: Caller, why: impl Into<String>) {
        if let Some(token) = by.token() {
            self.refuse(token, why);
        }
    }

    fn has(&self, name: &str, digest: Option<Hash>) -> bool {
        digest.is_some() && self.tree(name).and_then(TreeInfo::digest) == digest
    }

    /// True if the root half runs; without it nothing can be done.
    fn has_root(&self) -> bool {
        self.root.is_running()
    }

    fn is_up(&self) -> bool {
        self.session.is_some()
    }
}

impl spared_sdk::Engine for Engine {
    type Action = Action;

    fn handle_timeout(&mut self, now_ns: u64) {
        let due = self.trees.iter().filter(|it| it.scan.due_ns <= now_ns);
        let due: Vec<String> = due.map(|it| it.name().to_owned()).collect();
        due.iter().for_each(|name| self.scan(name));
        self.check_silence(now_ns);
        self.check_confirming(now_ns);
        self.answer_late_commands(now_ns);
        self.check_show(now_ns);
        self.root.handle_timeout(now_ns);
        if let Some(session) = &mut self.session {
            session.handle_timeout(now_ns);
        }
        self.check_unread(now_ns);
        if let Some(token) = self.people.take_late_asker(now_ns) {
            self.answer_late_asker(now_ns, token);
        }
    }

    fn next_timeout(&self, _now_ns: u64) -> Option<u64> {
        let scans = self.trees.iter().filter(|it| it.scan.ticket.is_none());
        let scans = scans.filter(|_| self.has_root()).map(|it| it.scan.due_ns);
        let transfer = self.transfer.as_ref().filter(|it| !it.is_installing());
        let silence = transfer.map(|it| it.moved_ns.saturating_add(SILENCE_NS));
        let unread = self.trees.iter().filter_map(|it| it.own_due_ns);
        let told = self.session.as_ref().and_then(Session::told_due_ns);
        let unknown = unread.chain(told);
        let people = self.people.due_ns().into_iter();
        let people = people.chain(self.root.answer_due_ns());
        let people = people.chain(self.steps.due_ns());
        let waits = scans.chain(silence).chain(people);
        waits.chain(self.root.due_ns()).chain(unknown).min()
    }

    fn poll_action(&mut self, now_ns: u64) -> Option<Action> {
        if let Some(action) = self.actions.pop_front() {
            return Some(action);
        }
        if let Some(action) = self.poll_unconfirmed(now_ns) {
            return Some(action);
        }
        if self.session.as_ref().is_none_or(Session::has_room) {
            if let Some(message) = self.serving.poll_manifest() {
                self.send(&message);
            } else if let Some(wanted) = self.serving.poll_wanted() {
                return Some(self.read(wanted));
            }
        }
        None
    }

    fn handle_role(&mut self, now_ns: u64, group: &str, role: Role) {
        self.roles.insert(group.to_owned(), role == Role::Active);
        self.handle_roles(now_ns);
    }

    fn handle_up(&mut self, now_ns: u64, _wire: u32) {
        self.session = Some(Session::new(now_ns));
        let names: Vec<String> = self.trees.iter().map(|it| it.name().to_owned()).collect();
        names.iter().for_each(|name| self.tell(name));
    }

    fn handle_down(&mut self, now_ns: u64) {
        self.session = None;
        self.serving.clear();
        self.trees.iter_mut().for_each(|it| it.peer = None);
        self.steps.handle_down();
        let lost = format!("the connection to {} was lost", self.peer);
        if self.transfer.as_ref().is_some_and(|it| !it.is_installing()) {
            self.end_transfer(now_ns, Err(lost.clone()));
        }
        self.end_confirming(Err(lost));
        if self.offer.is_some() {
            let why = format!(
                "the connection to {} was lost: see `sparectl files` there",
                self.peer
            );
            self.end_offer(now_ns, Err(why));
        }
    }

    fn handle_message(&mut self, now_ns: u64, message: &[u8]) -> Result<(), String> {
        self.handle(now_ns, decode(message)?);
        Ok(())
    }

    fn poll_message(&mut self, _now_ns: u64) -> Option<&[u8]> {
        self.session.as_ref()?.next_message()
    }

    fn message_sent(&mut self, _now_ns: u64) {
        if let Some(session) = &mut self.session {
            session.handle_sent();
        }
    }

    fn in_sync(&self) -> Option<Result<(), String>> {
        // a failover loses no file that was put in place; a file that was not is a finding
        Some(Ok(()))
    }

    fn troubles(&self) -> Vec<Trouble> {
        status::troubles(self)
    }
}

/// Digest that people may compare by eye.
fn short(digest: Option<Hash>) -> String {
    digest.map_or_else(|| "-".to_owned(), |it| it.to_string())
}
