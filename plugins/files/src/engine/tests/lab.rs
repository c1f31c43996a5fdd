//! Two engines with a tree each, a channel between them, and a root half in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use spared_sdk::config::Config;
use spared_sdk::{Engine as _, Role};
use spared_tree::config::{Settings, read};
use spared_tree::local::{Answer, ChangeOutcome, Finished, PIECE, Request};
use spared_tree::{Access, Entry, Hash, Kind, Manifest};

use super::super::relation::Relation;
use super::super::{Action, Command, Engine, Reply};

pub const S: u64 = 1_000_000_000;
const TOML: &str = "[[tree]]\nname = \"t\"\npaths = [\"/t\"]\n";

/// Names and contents of the files in `/t`.
pub type Tree = BTreeMap<String, String>;

pub struct Node {
    pub engine: Engine,
    pub tree: Tree,
    /// Reason why the root half refuses to put trees in place.
    pub refuses: Option<String>,
    /// Reason why the tree cannot be read.
    pub unreadable: Option<&'static str>,
    /// Folders that contain an excluded file.
    pub holding: Vec<(String, String)>,
    /// Tree that is restored unless the present one is confirmed.
    unconfirmed: Option<Tree>,
    pub copies: usize,
    pub events: Vec<String>,
    /// Number of requests to put a tree in place.
    pub installs: usize,
    has_root: bool,
    /// True if the root half does not answer yet.
    pub is_slow: bool,
    pub scans: usize,
    requests: VecDeque<Request>,
    /// Ticket of a request to put a tree in place that was withdrawn.
    withdrawn: Option<u64>,
    stage: HashMap<Hash, Vec<u8>>,
    part: Vec<u8>,
    pub bases: BTreeMap<String, Manifest>,
    saved_unconfirmed: Option<Hash>,
    /// True if nothing can be saved.
    pub is_full: bool,
    pub replies: BTreeMap<u64, Reply>,
    asked: BTreeSet<u64>,
    lives: u64,
    role: Option<Role>,
}

pub struct Lab {
    pub now_ns: u64,
    pub nodes: [Node; 2],
    pub wires: [VecDeque<Vec<u8>>; 2],
    pub is_linked: bool,
    /// Trees that each node had: a tree that the other node also had, at any time, may be replaced.
    pub had: [BTreeSet<Tree>; 2],
    /// True if commands may replace a tree that the other node never had.
    pub anyway: bool,
    tokens: u64,
    sync: &'static str,
}

pub fn tree(of: &[(&str, &str)]) -> Tree {
    let one = |(name, it): &(&str, &str)| ((*name).to_owned(), (*it).to_owned());
    of.iter().map(one).collect()
}

fn settings(sync: &str) -> Settings {
    let text = format!("{TOML}sync = \"{sync}\"\n");
    let config = Config::parse(&text, "r1", &[]).expect("TOML");
    read(&config).expect("no fault")
}

pub fn manifest(tree: &Tree) -> Manifest {
    let access = || Access {
        mode: 0o644,
        owner: "root".to_owned(),
        group: "root".to_owned(),
        xattrs: Vec::new(),
    };
    let entry = |path: String, kind| Entry {
        path,
        kind,
        access: access(),
        modified: (0, 0),
    };
    let mut entries = Vec::new();
    if !tree.is_empty() {
        entries.push(entry("/t".to_owned(), Kind::Folder));
    }
    for (name, content) in tree {
        let hash = Hash::of(content.as_bytes());
        let size = content.len() as u64;
        entries.push(entry(format!("/t/{name}"), Kind::File { size, hash }));
    }
    Manifest { entries }
}

/// Names of a node and its peer.
fn nodes(at: usize) -> [String; 2] {
    [at + 1, 2 - at].map(|it| format!("r{it}"))
}

impl Node {
    fn new(name: usize, tree: Tree, sync: &str) -> Self {
        Self {
            engine: Engine::new(S, 0, nodes(name), &settings(sync), BTreeMap::new()),
            tree,
            refuses: None,
            unreadable: None,
            holding: Vec::new(),
            unconfirmed: None,
            copies: 0,
            events: Vec::new(),
            installs: 0,
            has_root: false,
            is_slow: false,
            scans: 0,
            requests: VecDeque::new(),
            withdrawn: None,
            stage: HashMap::new(),
            part: Vec::new(),
            bases: BTreeMap::new(),
            saved_unconfirmed: None,
            is_full: false,
            replies: BTreeMap::new(),
            asked: BTreeSet::new(),
            lives: 0,
            role: None,
        }
    }

    pub fn relation(&self) -> Relation {
        self.engine.trees[0].relation()
    }

    /// Content in the stage.
    pub fn staged(&self, hash: Hash) -> Option<&[u8]> {
        self.stage.get(&hash).map(Vec::as_slice)
    }

    /// Number of pieces that the root half is asked for.
    pub fn reads(&self) -> usize {
        let reads = self.requests.iter();
        reads
            .filter(|it| matches!(it, Request::Read { .. }))
            .count()
    }

    /// Answers a request as the root half; `may` says if the tree here may be replaced without `--anyway`.
    fn answer(&mut self, request: Request, may: impl Fn(&Tree) -> bool) -> Vec<Answer> {
        let done = |ticket, result: Result<Finished, String>| vec![Answer::Done { ticket, result }];
        match request {
            // for spared's own configuration, which this tree is not
            Request::Apply { ticket, .. } => done(ticket, Err("is another tree".to_owned())),
            Request::GoBack { ticket, .. } => match self.unconfirmed.take() {
                Some(old) => {
                    self.tree = old;
                    done(ticket, Ok(ChangeOutcome::Back.with("put back")))
                }
                None => done(ticket, Err("nothing waits".to_owned())),
            },
            Request::Scan {
                ticket,
                known,
                tree,
            } => {
                self.scans += 1;
                if let Some(why) = self.unreadable {
                    return done(ticket, Err(why.to_owned()));
                }
                let manifest = manifest(&self.tree);
                let left_s = self.unconfirmed.as_ref().map(|_| 60);
                let holding = Answer::Holding {
                    tree: tree.clone(),
                    folders: self.holding.clone(),
                };
                let mut answers = vec![Answer::Waits { tree, left_s }, holding];
                if known == Some(manifest.digest()) {
                    answers.push(Answer::Unchanged { ticket })
                } else {
                    answers.extend(pieces(ticket, &manifest.encode()))
                }
                answers
            }
            Request::Read {
                ticket,
                hash,
                offset,
                ..
            } => {
                let mut contents = self.tree.values().map(String::as_bytes);
                let Some(content) = contents.find(|it| Hash::of(it) == hash) else {
                    return done(ticket, Err("no such content".to_owned()));
                };
                let rest = &content[usize::try_from(offset).expect("small")..];
                let bytes = &rest[..rest.len().min(PIECE)];
                vec![Answer::Piece {
                    ticket,
                    bytes: bytes.to_vec(),
                    is_last: bytes.len() == rest.len(),
                }]
            }
            Request::Install {
                ticket,
                manifest: hash,
                expected,
                confirm_s,
                ..
            } => {
                self.installs += 1;
                if self.withdrawn == Some(ticket) {
                    return done(ticket, Err("stopped".to_owned()));
                }
                if self.unconfirmed.is_some() {
                    return done(ticket, Err("waits for a confirmation".to_owned()));
                }
                if manifest(&self.tree).digest() != expected {
                    return done(ticket, Err("has changed meanwhile".to_owned()));
                }
                if let Some(why) = &self.refuses {
                    return done(ticket, Err(why.clone()));
                }
                assert!(may(&self.tree), "lost: {:?}", self.tree);
                let new = Manifest::decode(&self.stage[&hash]).expect("a manifest");
                let old = std::mem::take(&mut self.tree);
                self.unconfirmed = (confirm_s > 0).then(|| old.clone());
                for entry in new.entries {
                    let Kind::File { hash, .. } = entry.kind else {
                        continue;
                    };
                    let kept = old.values().find(|it| Hash::of(it.as_bytes()) == hash);
                    let staged = || String::from_utf8(self.stage[&hash].clone()).expect("text");
                    let content = kept.cloned().unwrap_or_else(staged);
                    let name = entry.path.trim_start_matches("/t/").to_owned();
                    self.tree.insert(name, content);
                }
                done(ticket, Ok(ChangeOutcome::Changed.with("in place")))
            }
            Request::Confirm { ticket, .. } => match self.unconfirmed.take() {
                Some(_) => done(ticket, Ok(ChangeOutcome::Confirmed.with("confirmed: t"))),
                None => done(ticket, Err("nothing waits".to_owned())),
            },
            Request::Back { ticket, .. } => done(ticket, Err("no state".to_owned())),
            // handled at once
            Request::Withdraw { .. } => Vec::new(),
            Request::Log { ticket, .. } => {
                let states = Vec::new();
                vec![Answer::States { ticket, states }]
            }
        }
    }
}

fn pieces(ticket: u64, bytes: &[u8]) -> Vec<Answer> {
    let count = bytes.chunks(PIECE).count();
    let piece = |(at, bytes): (usize, &[u8])| Answer::Piece {
        ticket,
        bytes: bytes.to_vec(),
        is_last: at + 1 == count,
    };
    bytes.chunks(PIECE).enumerate().map(piece).collect()
}

impl Lab {
    pub fn new(trees: [Tree; 2]) -> Self {
        Self::with_sync(trees, "ask")
    }

    pub fn with_sync(trees: [Tree; 2], sync: &'static str) -> Self {
        let [first, second] = trees;
        let mut lab = Self {
            now_ns: S,
            nodes: [Node::new(0, first, sync), Node::new(1, second, sync)],
            wires: [VecDeque::new(), VecDeque::new()],
            is_linked: false,
            had: [(); 2].map(|()| BTreeSet::from([Tree::new()])),
            anyway: false,
            tokens: 0,
            sync,
        };
        lab.start_root(0);
        lab.start_root(1);
        lab.link();
        lab.pass(S);
        lab
    }

    pub fn link(&mut self) {
        if !self.is_linked {
            self.is_linked = true;
            let now_ns = self.now_ns;
            self.nodes
                .iter_mut()
                .for_each(|it| it.engine.handle_up(now_ns, 1));
        }
    }

    pub fn cut(&mut self) {
        if self.is_linked {
            self.is_linked = false;
            self.wires.iter_mut().for_each(VecDeque::clear);
            let now_ns = self.now_ns;
            self.nodes
                .iter_mut()
                .for_each(|it| it.engine.handle_down(now_ns));
        }
    }

    pub fn start_root(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        if !node.has_root {
            node.has_root = true;
            node.engine.handle_root_up(self.now_ns);
        }
    }

    pub fn end_root(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        if node.has_root {
            node.has_root = false;
            node.requests.clear();
            node.engine.handle_root_down(self.now_ns);
        }
    }

    /// Reverts a change that nobody has confirmed.
    pub fn go_back(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let Some(old) = node.unconfirmed.take_if(|_| node.has_root) else {
            return;
        };
        node.tree = old;
        let (tree, text) = ("t".to_owned(), "went back".to_owned());
        node.engine
            .handle_answer(self.now_ns, Answer::Event { tree, text });
    }

    pub fn role(&mut self, at: usize, role: Role) {
        self.nodes[at].role = Some(role);
        self.nodes[at].engine.handle_role(self.now_ns, "g", role);
    }

    /// Kills the worker, and starts a new one.
    pub fn restart(&mut self, at: usize) {
        self.cut();
        let node = &mut self.nodes[at];
        node.lives += 1;
        let seed = node.lives << 32;
        let bases = node.bases.clone();
        node.engine = Engine::new(self.now_ns, seed, nodes(at), &settings(self.sync), bases);
        if let Some(digest) = node.saved_unconfirmed {
            node.engine.handle_saved_unconfirmed("t", digest);
        }
        if let Some(role) = node.role {
            node.engine.handle_role(self.now_ns, "g", role);
        }
        node.requests.clear();
        node.stage.clear();
        node.part.clear();
        node.asked.clear();
        if node.has_root {
            node.engine.handle_root_up(self.now_ns);
        }
    }

    pub fn ask(&mut self, at: usize, command: Command) -> u64 {
        self.tokens += 1;
        let node = &mut self.nodes[at];
        node.asked.insert(self.tokens);
        node.engine
            .handle_command(self.now_ns, self.tokens, command);
        self.tokens
    }

    /// Runs a command, lets everything happen, and returns the reply.
    pub fn done(&mut self, at: usize, command: Command) -> Reply {
        let token = self.ask(at, command);
        self.settle();
        let replies = &mut self.nodes[at].replies;
        replies.remove(&token).expect("an answer")
    }

    /// Lets one thing happen; false if there is nothing to do at this moment.
    pub fn step(&mut self) -> bool {
        self.look();
        let is_done = (0..2).any(|at| self.act(at)) || (0..2).any(|at| self.deliver(at));
        self.look();
        is_done
    }

    fn look(&mut self) {
        for (had, node) in self.had.iter_mut().zip(&self.nodes) {
            had.insert(node.tree.clone());
        }
    }

    /// Lets everything happen that does not wait for a time.
    pub fn settle(&mut self) {
        for turns in 0.. {
            if !self.step() {
                return;
            }
            assert!(turns < 100_000, "something turns in a circle");
        }
    }

    /// Lets time pass.
    pub fn pass(&mut self, span_ns: u64) {
        let end_ns = self.now_ns + span_ns;
        let mut before_ns = None;
        loop {
            self.settle();
            let due = |it: &Node| it.engine.next_timeout(self.now_ns);
            let due_ns = self.nodes.iter().filter_map(due).min();
            let Some(due_ns) = due_ns.filter(|it| *it <= end_ns) else {
                break;
            };
            assert!(before_ns < Some(due_ns), "a timeout that stays due");
            before_ns = Some(due_ns);
            self.now_ns = due_ns.max(self.now_ns);
            let now_ns = self.now_ns;
            self.nodes
                .iter_mut()
                .for_each(|it| it.engine.handle_timeout(now_ns));
        }
        self.now_ns = end_ns;
    }

    fn act(&mut self, at: usize) -> bool {
        let (now_ns, theirs, anyway) = (self.now_ns, &self.had[1 - at], self.anyway);
        let node = &mut self.nodes[at];
        if node.has_root && !node.is_slow {
            if let Some(request) = node.requests.pop_front() {
                let answers = node.answer(request, |it| anyway || theirs.contains(it));
                for answer in answers {
                    node.engine.handle_answer(now_ns, answer);
                }
                return true;
            }
        }
        let Some(action) = node.engine.poll_action(now_ns) else {
            return false;
        };
        match action {
            Action::Request(Request::Withdraw { ticket }) => node.withdrawn = Some(ticket),
            Action::Request(request) if node.has_root => node.requests.push_back(request),
            Action::Request(_) => {}
            Action::Event(text) => node.events.push(text),
            Action::Copied(_) => node.copies += 1,
            Action::SaveUnconfirmed { tree, .. } if node.is_full => {
                node.engine.handle_unsaved(now_ns, &tree);
            }
            Action::SaveUnconfirmed { digest, .. } => node.saved_unconfirmed = digest,
            Action::Store(piece) => {
                node.part.extend_from_slice(&piece.bytes);
                let mut result = Ok(());
                if piece.is_last {
                    let part = std::mem::take(&mut node.part);
                    if Hash::of(&part) == piece.hash {
                        node.stage.insert(piece.hash, part);
                    } else {
                        result = Err("is not what was announced".to_owned());
                    }
                }
                node.engine.handle_stored(now_ns, piece.is_last, result);
            }
            Action::Stage(bytes) => {
                let hash = Hash::of(&bytes);
                node.stage.insert(hash, bytes);
                node.engine.handle_staged(now_ns, Ok(hash));
            }
            Action::Unstage => {
                node.stage.clear();
                node.part.clear();
            }
            Action::Remember { tree, manifest } => {
                node.bases.insert(tree, (*manifest).clone());
            }
            Action::Answer { token, answer } => {
                assert!(node.asked.remove(&token), "answered twice: {answer:?}");
                node.replies.insert(token, answer);
            }
        }
        true
    }

    fn deliver(&mut self, at: usize) -> bool {
        let node = &mut self.nodes[at];
        if let Some(message) = node.engine.poll_message(self.now_ns) {
            if self.is_linked {
                self.wires[at].push_back(message.to_vec());
            }
            node.engine.message_sent(self.now_ns);
            return true;
        }
        let Some(message) = self.wires[at].pop_front() else {
            return false;
        };
        let other = &mut self.nodes[1 - at].engine;
        other
            .handle_message(self.now_ns, &message)
            .expect("a message");
        true
    }

    /// Checks that no command waits any more.
    pub fn assert_answered(&self) {
        for node in &self.nodes {
            assert!(node.asked.is_empty(), "{:?}", node.asked);
        }
    }
}
