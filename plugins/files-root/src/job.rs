//! Requests of the other half, and what is configured and present on this node.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use spared_sdk::config::Config;
use spared_tree::builtin;
use spared_tree::config::{self, Settings, Tree};
use spared_tree::local::{Answer, Finished, PIECE, Request, StateInfo, without_output};
use spared_tree::own::Own;
use spared_tree::{Manifest, RootFolder, Scanner};

use crate::back::FailedReverts;
use crate::change::Change;
use crate::confirm::Ends;
use crate::contents::{Reading, Scanned};
use crate::link_switch::Sides;
use crate::put::Step;
use crate::store::{State, Store};

/// Maximum number of bytes of names in a message about folders that cannot be removed.
const HOLDING_MAX: usize = 16 << 10;

/// Paths of all files; tests have a root of their own.
#[derive(Clone, Debug)]
pub struct Places {
    pub root: PathBuf,
    /// Path of files.toml.
    pub config: PathBuf,
    /// Path of this half's own folder.
    pub state: PathBuf,
    /// Path of the folder in which the other half stages.
    pub stage: PathBuf,
    pub node: String,
    pub nodes: Vec<String>,
    /// True if this node takes spared's configuration from the peer.
    pub config_from_peer: bool,
}

pub struct Jobs<'j> {
    pub(crate) places: Places,
    pub(crate) root: RootFolder,
    pub(crate) store: Store,
    pub(crate) scanner: Scanner,
    /// Trees as of the last scan, by name.
    pub(crate) scanned: HashMap<String, Scanned>,
    /// Content that the peer fetches.
    pub(crate) reading: Option<Reading>,
    pub(crate) ends: Ends,
    pub(crate) failed_reverts: FailedReverts,
    /// Ticket of the change that was withdrawn last.
    pub(crate) withdrawn: Arc<AtomicU64>,
    pub(crate) stop: &'j AtomicBool,
    pub(crate) step: Step<'j>,
}

impl<'j> Jobs<'j> {
    /// # Errors
    /// A sentence with the reason.
    pub fn new(places: Places, stop: &'j AtomicBool, step: Step<'j>) -> Result<Self, String> {
        let root = &places.root;
        let shown = |error: io::Error| format!("{}: {error}", root.display());
        Ok(Self {
            root: RootFolder::new(root).map_err(shown)?,
            store: Store::open(&places.state)?,
            scanner: Scanner::default(),
            scanned: HashMap::new(),
            reading: None,
            ends: Ends::new(),
            failed_reverts: FailedReverts::new(),
            withdrawn: Arc::default(),
            places,
            stop,
            step,
        })
    }

    /// Changes the paths; the folders of state stay those of the process.
    pub fn move_to(&mut self, places: Places) {
        self.places = places;
    }

    /// Takes the place where another thread writes the ticket of a change that is withdrawn.
    pub fn watch(&mut self, withdrawn: &Arc<AtomicU64>) {
        self.withdrawn = Arc::clone(withdrawn);
    }

    /// Handles a request; the answer comes in one piece or more.
    pub fn handle(&mut self, request: &Request, answer: &mut dyn FnMut(Answer)) {
        // an open file prevents its file system from being unmounted
        if !matches!(request, Request::Read { .. }) {
            self.reading = None;
        }
        match request {
            Request::Scan {
                ticket,
                tree,
                known,
            } => {
                answer(self.waits(tree));
                let found = self.is_whole(tree).and_then(|()| self.tree(tree));
                let found = found.and_then(|it| Ok((self.present(&it)?, it)));
                if let Ok((_, tree)) = &found {
                    answer(self.holding(tree));
                }
                match found.map(|(present, _)| present) {
                    Ok(_) if known.is_some() && *known == self.digest(tree) => {
                        answer(Answer::Unchanged { ticket: *ticket });
                    }
                    Ok(present) => pieces(*ticket, &present.encode(), answer),
                    Err(why) => answer(done(*ticket, Err(why))),
                }
            }
            Request::Read {
                ticket,
                tree,
                hash,
                offset,
            } => answer(match self.read(tree, *hash, *offset) {
                Ok((bytes, is_last)) => Answer::Piece {
                    ticket: *ticket,
                    bytes,
                    is_last,
                },
                Err(why) => done(*ticket, Err(why)),
            }),
            request => answer(self.handle_change(request)),
        }
    }

    fn handle_change(&mut self, request: &Request) -> Answer {
        let (ticket, result) = match request {
            Request::Scan { ticket, .. }
            | Request::Read { ticket, .. }
            | Request::Withdraw { ticket } => (*ticket, Err("is no change".to_owned())),
            Request::Install {
                ticket,
                tree,
                manifest,
                expected,
                origin,
                confirm_s,
                only_check,
                insists,
            } => {
                let change = Change {
                    ticket: *ticket,
                    expected: Some(*expected),
                    why: &format!("files of {origin}"),
                    confirm_s: *confirm_s,
                    only_check: *only_check,
                    insists: *insists,
                };
                let staged = |it: &mut Self, _: &Tree| Ok((it.staged(*manifest)?, Own::new()));
                (*ticket, self.change(tree, change, staged))
            }
            Request::Confirm { ticket, tree } => (*ticket, self.confirm(tree.as_deref())),
            Request::Back {
                ticket,
                tree,
                state,
                insists,
            } => {
                let change = Change {
                    ticket: *ticket,
                    expected: None,
                    why: &format!("state {state}"),
                    confirm_s: 0,
                    only_check: false,
                    insists: *insists,
                };
                let kept = |it: &mut Self, tree: &Tree| {
                    let state = it.store.state(&tree.name, *state)?;
                    if state.is_of(tree) {
                        Ok((state.manifest, state.own))
                    } else {
                        Err(of_another_scope(&state, tree))
                    }
                };
                (*ticket, self.change(tree, change, kept))
            }
            Request::Apply {
                ticket,
                confirm_s,
                only_check,
                insists,
            } => (*ticket, self.apply_own(*confirm_s, *only_check, *insists)),
            Request::GoBack { ticket, tree } => (*ticket, self.go_back_now(tree)),
            Request::Log { ticket, tree } => {
                let ticket = *ticket;
                return match self.log(tree) {
                    Ok(states) => Answer::States { ticket, states },
                    Err(why) => done(ticket, Err(why)),
                };
            }
        };
        done(ticket, result)
    }

    fn log(&mut self, name: &str) -> Result<Vec<StateInfo>, String> {
        let tree = self.tree(name)?;
        let present = self.present(&tree)?.digest();
        Ok(self.store.states(name, Some(present)))
    }

    /// Opens the place where the files of a tree are.
    pub(crate) fn files_of(&self, tree: &Tree) -> Result<RootFolder, String> {
        let shown = |error: io::Error| format!("tree \"{}\": {error}", tree.name);
        if tree.by_link {
            Sides::of(&self.root, tree)?
                .present(&self.root)
                .map_err(shown)
        } else {
            self.root.try_clone().map_err(shown)
        }
    }

    /// Folders that cannot be removed. A tree that is switched by a link has none: excluded files are copied to the
    /// other side.
    fn holding(&self, tree: &Tree) -> Answer {
        let mut left = HOLDING_MAX;
        let mut folders = if tree.by_link {
            Vec::new()
        } else {
            self.scanner.holding(tree)
        };
        folders.retain(|(folder, name)| {
            let bytes = folder.len() + name.len();
            let is_room = bytes <= left;
            left = left.saturating_sub(bytes);
            is_room
        });
        Answer::Holding {
            tree: tree.name.clone(),
            folders,
        }
    }

    /// Tree as configured now, from the file that only root may write.
    pub(crate) fn tree(&self, name: &str) -> Result<Tree, String> {
        let settings = self.settings()?;
        let file = self.places.config.display();
        settings
            .tree(name)
            .cloned()
            .ok_or_else(|| format!("{file} has no tree \"{name}\""))
    }

    /// # Errors
    /// A sentence with the reason.
    pub fn settings(&self) -> Result<Settings, String> {
        let path = self.places.config.as_path();
        let shown = path.display();
        let text = std::fs::read_to_string(path).map_err(|error| format!("{shown}: {error}"))?;
        let config = Config::parse(&text, &self.places.node, &self.places.nodes);
        let config = config.map_err(|error| format!("{shown}: {error}"))?;
        let settings = config::read(&config);
        match (settings, config.finish()) {
            (Some(mut settings), Ok(())) => {
                settings.trees.push(builtin::tree());
                Ok(settings)
            }
            (_, faults) => {
                let faults = faults.err().unwrap_or_default();
                let first = faults.first().map(|it| format!("{}: {}", it.key, it.why));
                Err(format!("{shown}: {}", first.unwrap_or_default()))
            }
        }
    }

    pub(crate) fn present(&mut self, tree: &Tree) -> Result<Manifest, String> {
        let root = self.files_of(tree)?;
        let scanned = self.scanner.scan(&root, tree, self.stop);
        let manifest = scanned.map_err(|fault| fault.to_string())?;
        let known = self.scanned.get(&tree.name);
        if known.is_none_or(|it| !it.is(tree, &manifest)) {
            let scanned = Scanned::new(tree.clone(), manifest.clone());
            self.scanned.insert(tree.name.clone(), scanned);
        }
        Ok(manifest)
    }
}

fn of_another_scope(state: &State, tree: &Tree) -> String {
    let (number, name) = (state.number, &tree.name);
    format!(
        "state {number} was kept when tree \"{name}\" had other paths or another exclude: files of this node would be \
         lost; first set both in files.toml as they were then"
    )
}

fn pieces(ticket: u64, bytes: &[u8], answer: &mut dyn FnMut(Answer)) {
    let count = bytes.chunks(PIECE).count();
    for (at, piece) in bytes.chunks(PIECE).enumerate() {
        answer(Answer::Piece {
            ticket,
            bytes: piece.to_vec(),
            is_last: at + 1 == count,
        });
    }
}

fn done(ticket: u64, result: Result<Finished, String>) -> Answer {
    Answer::Done { ticket, result }
}

/// Event about a tree, without output of programs, because everybody may read it.
pub(crate) fn event(tree: &str, text: &str) -> Answer {
    Answer::Event {
        tree: tree.to_owned(),
        text: without_output(text).to_owned(),
    }
}
