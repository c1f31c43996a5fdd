//! Change of a tree, from the staged files to the end of `apply`, or its revert.
//!
//! | step | after a crash in it |
//! |---|---|
//! | the staged files are copied and hashed | nothing has changed |
//! | the present state is kept | nothing has changed |
//! | `check` | nothing has changed |
//! | journal, files, `apply` | the next start restores the kept state and applies it |
//! | a deadline, if it is to be confirmed | as above: the next start restores the kept state |
//! | journal removed | the new state is in place; if nobody confirms it, it is reverted at its deadline |

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use rustix::fs::StatVfsMountFlags;
use spared_sdk::config::Config;
use spared_tree::builtin;
use spared_tree::config::{self, Settings, Tree};
use spared_tree::local::{
    Answer, ChangeOutcome, Finished, PIECE, Request, StateInfo, and_on_the_way_back, without_output,
};
use spared_tree::own::Own;
use spared_tree::{Hash, Manifest, RootFolder, Scanner, validate};

use crate::back::FailedReverts;
use crate::command::{self, Failed};
use crate::confirm::Ends;
use crate::contents::{Reading, Scanned, with_earlier};
use crate::link::Sides;
use crate::put::{Put, Step};
use crate::staged_check;
use crate::store::{Journal, State, Store};

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

/// Options of a change.
#[derive(Clone, Copy)]
struct Change<'c> {
    /// Digest that the tree must have.
    expected: Option<Hash>,
    why: &'c str,
    /// Seconds after which the change is reverted unless it is confirmed; 0: it stays.
    confirm_s: u32,
    only_check: bool,
    insists: bool,
}

impl Change<'_> {
    fn outcome(&self) -> ChangeOutcome {
        match self.expected {
            Some(_) => ChangeOutcome::Changed,
            None => ChangeOutcome::Back,
        }
    }
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
            places,
            stop,
            step,
        })
    }

    /// Changes the paths; the folders of state stay those of the process.
    pub fn move_to(&mut self, places: Places) {
        self.places = places;
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
            Request::Scan { ticket, .. } | Request::Read { ticket, .. } => {
                (*ticket, Err("is no change".to_owned()))
            }
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

    fn change(
        &mut self,
        name: &str,
        change: Change<'_>,
        find: impl FnOnce(&mut Self, &Tree) -> Result<(Manifest, Own), String>,
    ) -> Result<Finished, String> {
        let tree = self.tree(name)?;
        // before any command runs: the peer that sends this tree receives its output
        if change.expected.is_some() {
            self.may_take(&tree)?;
        }
        self.take_back_interrupted()?;
        let is_unconfirmed = self.store.unconfirmed()?.iter().any(|it| it.tree == name);
        // the daemon alone takes its configuration back
        let waits_for_daemon = tree.is_builtin() && self.daemon_waits_s().is_some();
        if is_unconfirmed && change.expected.is_some() || waits_for_daemon {
            return Err(self.waits_already(name));
        }
        let changed = self.change_tree(&tree, change, find);
        // a state that is already in place decides nothing about the waiting change
        let is_another = |it: &Finished| it.outcome != ChangeOutcome::Same;
        if is_unconfirmed && changed.as_ref().is_ok_and(is_another) {
            self.forget_unconfirmed(|it| it.tree == name)?;
        }
        // also contents of a refused change: a peer may offer without end
        self.store.prune(name, tree.keep);
        changed
    }

    fn change_tree(
        &mut self,
        tree: &Tree,
        change: Change<'_>,
        find: impl FnOnce(&mut Self, &Tree) -> Result<(Manifest, Own), String>,
    ) -> Result<Finished, String> {
        let name = tree.name.as_str();
        let present = self.present(tree)?;
        if change.expected.is_some_and(|it| it != present.digest()) {
            return Err(format!(
                "tree \"{name}\" has changed on this node meanwhile"
            ));
        }
        let (new, was_own) = find(self, tree)?;
        if new.digest() == present.digest() {
            return Ok(ChangeOutcome::Same.with("nothing to change"));
        }
        validate(&new, tree).map_err(|refused| refused.to_string())?;
        Put::accounts_exist(&new)?;
        self.writable(tree)?;
        self.take_present(tree, &present)?;
        let taken = self.take_staged(&new)?;
        let present_own = self.scanner.own(tree);
        let own = with_earlier(present_own.clone(), was_own);
        self.own_is_complete(&present, &new, &own)?;
        if tree.is_builtin() && change.expected.is_some() {
            self.local_keys_stay(&new, &own)?;
        }
        let root = self.files_of(tree)?;
        let checked = staged_check::check(&root, &self.store, tree, &new, &own, self.stop);
        checked.map_err(|failed| match failed {
            Failed::Why(why) => format!("the check refused it, nothing was changed: {why}"),
            Failed::Stopped => "spared is stopping: nothing was changed".to_owned(),
        })?;
        if change.only_check {
            return Ok(ChangeOutcome::Checked.with("the check accepts the files"));
        }
        let kept = self.keep_before(tree, change.why, (present, present_own), (&new, &own))?;
        let journal = Journal {
            tree: name.to_owned(),
            state: kept.number,
        };
        (self.step)("journal");
        self.store.begin(&journal)?;
        let changed = self.put(tree, &new, &own, &taken).map_err(Failed::Why);
        let applied = changed.and_then(|count| {
            let applied = self.apply(tree, change.insists, change.confirm_s);
            applied.map(|()| count)
        });
        let applied = applied.and_then(|count| {
            let waits = self.wait_for_confirmation(&journal, change.confirm_s);
            waits.map(|()| count).map_err(Failed::Why)
        });
        match applied {
            Ok(count) => {
                (self.step)("end of the journal");
                self.store.end()?;
                if tree.is_builtin() && change.confirm_s > 0 && self.daemon_waits_s().is_none() {
                    let text =
                        "the files are in place, and the configuration in force stays the same";
                    return Ok(ChangeOutcome::Same.with(text));
                }
                Ok(change.outcome().with(match count {
                    1 => "1 change is in place".to_owned(),
                    count => format!("{count} changes are in place"),
                }))
            }
            // the next start reverts the change
            Err(Failed::Stopped) => {
                Err("spared is stopping: the change is undone when it starts again".to_owned())
            }
            Err(Failed::Why(why)) => Err(match self.take_back(&journal) {
                Ok(()) => format!("the old state was put back: {why}"),
                Err(again) => and_on_the_way_back(&why, &again),
            }),
        }
    }

    /// Checks that this process may write the tree: spared's unit has a read-only view of most folders.
    fn writable(&self, tree: &Tree) -> Result<(), String> {
        // for a link, the folder that contains it
        let folder = |top: &str| {
            if tree.by_link {
                Err(io::ErrorKind::NotADirectory.into())
            } else {
                self.root.folder(top)
            }
        };
        for top in &tree.paths {
            let parent = top.rsplit_once('/').map_or("", |(parent, _)| parent);
            let own = folder(top);
            let (path, folder) = match own {
                Ok(folder) => (top.as_str(), Ok(folder)),
                Err(_) => (parent, self.root.folder(parent)),
            };
            let about = folder.and_then(|it| Ok(rustix::fs::fstatvfs(&it)?));
            let about = about.map_err(|error| format!("{path}: {error}"))?;
            if about.f_flag.contains(StatVfsMountFlags::RDONLY) {
                return Err(format!(
                    "{path} is read-only for spared: run `systemctl edit spared-starter`, add the lines [Service] and \
                     ReadWritePaths={path}, then restart spared"
                ));
            }
        }
        Ok(())
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

    /// Makes a tree equal to the manifest; `taken` are contents that were hashed in this change.
    fn put(
        &mut self,
        tree: &Tree,
        new: &Manifest,
        own: &Own,
        taken: &BTreeSet<Hash>,
    ) -> Result<usize, String> {
        if tree.by_link {
            let sides = Sides::of(&self.root, tree)?;
            let (step, scanner) = (self.step, &mut self.scanner);
            return sides.put(&self.root, &self.store, own, step, scanner, new);
        }
        let put = Put {
            root: &self.root,
            store: &self.store,
            tree,
            own,
            movable: self.store.movable(taken, new),
            step: self.step,
        };
        put.run(&mut self.scanner, new)
    }

    pub(crate) fn apply(&self, tree: &Tree, insists: bool, confirm_s: u32) -> Result<(), Failed> {
        (self.step)("apply");
        match tree.apply_words(insists, confirm_s).as_slice() {
            [] => Ok(()),
            argv => command::run(argv, self.stop),
        }
    }

    pub(crate) fn take_back(&mut self, journal: &Journal) -> Result<(), String> {
        if self.settings()?.tree(&journal.tree).is_none() {
            // nobody has configured its paths any more, so they are not touched
            self.store.end()?;
            return Err("it is not configured any more".to_owned());
        }
        let tree = self.tree(&journal.tree)?;
        let state = self.store.state(&journal.tree, journal.state)?;
        if !state.is_of(&tree) {
            let name = &tree.name;
            log::warn!(
                "tree \"{name}\" has other paths or another exclude than before the change: only what is and was part \
                 of it is put back"
            );
        }
        let (part, manifest) = state.of(&tree)?;
        self.present(&tree)?;
        let own = with_earlier(self.scanner.own(&tree), state.own);
        if !part.paths.is_empty() {
            self.put(&part, &manifest, &own, &BTreeSet::new())?;
        }
        match self.apply_back(&tree) {
            Ok(()) => {}
            Err(Failed::Stopped) => return Err("spared is stopping".to_owned()),
            Err(Failed::Why(why)) => {
                // the old files are back: a retry would change nothing
                self.store.end()?;
                return Err(format!("its files are back, but {why}"));
            }
        }
        (self.step)("end of the journal");
        self.store.end()
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
