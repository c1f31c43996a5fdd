//! spared's own configuration: a tree that contains commands, so that whoever may write it is root here.

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;

use spared_file::starter::{LOADED, TERM, UNCONFIRMED};
use spared_records::boot;
use spared_tree::builtin::{self, FOLDER, NAME};
use spared_tree::config::Tree;
use spared_tree::local::{ChangeOutcome, Finished, and_on_the_way_back};
use spared_tree::own::{Own, Split, split};
use spared_tree::{Access, Entry, Hash, Kind, Manifest};

use crate::job::Jobs;
use crate::store::State;
use crate::{command, command::Failed};

/// Keys of spared.toml that belong to one node.
const LOCAL: [&[&str]; 6] = [
    &["node", "name"],
    &["secret_file"],
    &["firewall", "chain"],
    &["log", "level"],
    &["realtime"],
    &["fence"],
];

/// Texts by path below the folder of spared.toml.
type Texts = BTreeMap<String, String>;

impl Jobs<'_> {
    /// Checks that this node takes the tree from the peer.
    pub(crate) fn may_take(&self, tree: &Tree) -> Result<(), String> {
        if tree.is_builtin() && !self.places.config_from_peer {
            Err(
                "this node does not take its configuration from the peer, as that would give the peer's root control of this node: \
                 set `config_from_peer = true` in /etc/spared/plugins/files-root.toml here, and `sparectl reload`"
                    .to_owned(),
            )
        } else {
            Ok(())
        }
    }

    /// Checks that the keys that belong to this node do not change.
    pub(crate) fn local_keys_stay(&self, new: &Manifest, own: &Own) -> Result<(), String> {
        let path = format!("{FOLDER}/spared.toml");
        let text = match new.find(&path).map(|it| &it.kind) {
            Some(Kind::File { hash, .. }) => self.store.text(*hash, own.get(&path))?,
            _ => String::new(),
        };
        let table = |text: &str| text.parse::<toml::Table>().unwrap_or_default();
        let present = self.root.file(&path).and_then(std::io::read_to_string);
        let (old, new) = (table(&present.unwrap_or_default()), table(&text));
        for key in LOCAL {
            if value(&old, key) != value(&new, key) {
                let key = key.join(".");
                return Err(format!(
                    "{path}: {key} belongs to each node, and would change: write the line \"# spared: own {key}\" above \
                     it on both nodes"
                ));
            }
        }
        Ok(())
    }

    /// Checks the files as they are here, and makes the daemon read them. The daemon takes them back unless somebody
    /// confirms; what was in force before, and the edit, are kept as states.
    pub(crate) fn apply_own(
        &mut self,
        confirm_s: u32,
        only_check: bool,
        insists: bool,
    ) -> Result<Finished, String> {
        let tree = builtin::tree();
        self.take_back_interrupted()?;
        if self.daemon_waits_s().is_some() {
            return Err(self.waits_already(NAME));
        }
        let present = self.present(&tree)?;
        let own = self.scanner.own(&tree);
        self.take_present(&tree, &present)?;
        let checked = command::run(&tree.check, self.stop);
        checked.map_err(|failed| match failed {
            Failed::Why(why) => format!("the check refused the files of this node: {why}"),
            Failed::Stopped => "spared is stopping".to_owned(),
        })?;
        if only_check {
            return Ok(ChangeOutcome::Checked.with("the check accepts the files of this node"));
        }
        let before = self.keep_loaded(&tree, &present)?;
        let is_same = before.manifest.digest() == present.digest() && before.own == own;
        self.keep_once(&tree, "files of this node", present, own)?;
        let applied = self.apply(&tree, insists, confirm_s);
        self.store.prune(NAME, tree.keep);
        match applied {
            Ok(()) if is_same => {
                let text = "the configuration of this node is in force already";
                Ok(ChangeOutcome::Same.with(text))
            }
            Ok(()) => Ok(ChangeOutcome::Changed.with("the configuration of this node is in force")),
            Err(Failed::Stopped) => {
                Err("spared is stopping: see `sparectl files` later".to_owned())
            }
            // the daemon accepted nothing: the edit stays, so that it can be corrected
            Err(Failed::Why(why)) if self.daemon_waits_s().is_none() => Err(why),
            Err(Failed::Why(why)) => Err(match command::run(&Tree::back_words(), self.stop) {
                Ok(()) => format!("the old state was put back: {why}"),
                Err(Failed::Why(again)) => and_on_the_way_back(&why, &again),
                Err(Failed::Stopped) => format!("it goes back at its time: {why}"),
            }),
        }
    }

    /// Seconds after which the daemon takes its configuration back unless somebody confirms it; None if nothing waits
    /// that was put in force by this plugin.
    pub(crate) fn daemon_waits_s(&self) -> Option<u32> {
        let [kept, term] = [UNCONFIRMED, TERM].map(|name| self.places.state.with_file_name(name));
        if !kept.exists() {
            return None;
        }
        let left = boot::left(&fs::read_to_string(term).ok()?)?;
        let left_s = left.as_nanos().div_ceil(1_000_000_000);
        Some(u32::try_from(left_s).unwrap_or(u32::MAX))
    }

    /// Applies the files from before a change that was interrupted or failed.
    pub(crate) fn apply_back(&self, tree: &Tree) -> Result<(), Failed> {
        if tree.is_builtin() && self.daemon_waits_s().is_some() {
            (self.step)("apply");
            return command::run(&Tree::back_words(), self.stop);
        }
        // addresses that the change added may be removed with it
        self.apply(tree, true, 0)
    }

    /// Keeps the present state before a change, and of spared's own configuration also the new one, which the daemon
    /// may take back.
    pub(crate) fn keep_before(
        &mut self,
        tree: &Tree,
        why: &str,
        (present, present_own): (Manifest, Own),
        (new, own): (&Manifest, &Own),
    ) -> Result<State, String> {
        let before = format!("before {why}");
        if !tree.is_builtin() {
            return self.store.keep(tree, &before, present, present_own);
        }
        let kept = self.keep_once(tree, &before, present, present_own)?;
        self.keep_once(tree, why, new.clone(), own.clone())?;
        Ok(kept)
    }

    /// Keeps a state, unless it is the newest one that is kept.
    fn keep_once(
        &mut self,
        tree: &Tree,
        why: &str,
        manifest: Manifest,
        own: Own,
    ) -> Result<State, String> {
        match self.store.newest(&tree.name) {
            Some(newest) if newest.manifest.digest() == manifest.digest() && newest.own == own => {
                Ok(newest)
            }
            _ => self.store.keep(tree, why, manifest, own),
        }
    }

    /// Texts that are in force.
    fn loaded(&self) -> Result<Texts, String> {
        let path = self.places.state.with_file_name(LOADED);
        let shown = |error: String| format!("{}: {error}", path.display());
        let text = fs::read_to_string(&path).map_err(|error| shown(error.to_string()))?;
        serde_json::from_str(&text).map_err(|error| shown(error.to_string()))
    }

    /// Keeps the texts in force as a state.
    fn keep_loaded(&mut self, tree: &Tree, present: &Manifest) -> Result<State, String> {
        let texts = self.loaded()?;
        let is_folder = |it: &&Entry| it.kind == Kind::Folder;
        let mut entries: Vec<Entry> = present.entries.iter().filter(is_folder).cloned().collect();
        let mut own = Own::new();
        for (name, text) in texts {
            let path = format!("{FOLDER}/{name}");
            // a missing file counts as an empty one
            if tree.excludes(&path) || text.is_empty() && present.find(&path).is_none() {
                continue;
            }
            let (both, lines) = match split(text.as_bytes())? {
                Some(Split { both, own }) => (both, own),
                None => (text.into_bytes(), Vec::new()),
            };
            let (hash, size) = (Hash::of(&both), both.len() as u64);
            self.store
                .store_content(hash, size, || Ok(Cursor::new(both)))?;
            if !lines.is_empty() {
                own.insert(path.clone(), lines);
            }
            let access = present
                .find(&path)
                .map_or_else(plain, |it| it.access.clone());
            entries.push(Entry {
                path,
                kind: Kind::File { size, hash },
                access,
                modified: (0, 0),
            });
        }
        entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        let manifest = Manifest { entries };
        self.keep_once(tree, "before `sparectl config push`", manifest, own)
    }
}

fn plain() -> Access {
    Access {
        mode: 0o600,
        owner: "root".to_owned(),
        group: "root".to_owned(),
        xattrs: Vec::new(),
    }
}

fn value<'t>(table: &'t toml::Table, key: &[&str]) -> Option<&'t toml::Value> {
    let (last, folders) = key.split_last()?;
    let mut table = table;
    for name in folders {
        table = table.get(*name)?.as_table()?;
    }
    table.get(*last)
}
