//! spared's own configuration: a tree that contains commands, so that whoever may write it is root here.

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;

use spared_tree::builtin::{self, FOLDER, NAME};
use spared_tree::config::Tree;
use spared_tree::local::{ChangeOutcome, Finished, and_on_the_way_back};
use spared_tree::own::{Own, Split, split};
use spared_tree::{Access, Entry, Hash, Kind, Manifest};

use crate::job::Jobs;
use crate::store::{Journal, State};
use crate::{command, command::Failed};

/// File that the daemon writes next to the state of the plugins: the texts in force, by their path.
const LOADED: &str = "loaded";
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

    /// Checks the files as they are here, and makes the daemon read them; the configuration in force before can be
    /// restored.
    pub(crate) fn apply_own(
        &mut self,
        confirm_s: u32,
        only_check: bool,
        insists: bool,
    ) -> Result<Finished, String> {
        let tree = builtin::tree();
        self.take_back_interrupted()?;
        if self.store.unconfirmed()?.iter().any(|it| it.tree == NAME) {
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
        let loaded = self.loaded()?;
        let before = self.keep_loaded(&tree, &present, loaded.clone())?;
        let is_same = before.manifest.digest() == present.digest() && before.own == own;
        let journal = Journal {
            tree: NAME.to_owned(),
            state: before.number,
        };
        (self.step)("journal");
        self.store.begin(&journal)?;
        let applied = self.apply(&tree, insists).and_then(|()| {
            // without an earlier configuration to restore there is no reason to wait
            let waits = self.wait_for_confirmation(&journal, if is_same { 0 } else { confirm_s });
            waits.map_err(Failed::Why)
        });
        let ended = match applied {
            Ok(()) => {
                (self.step)("end of the journal");
                let (outcome, text) = if is_same {
                    (ChangeOutcome::Same, "is in force already")
                } else {
                    (ChangeOutcome::Changed, "is in force")
                };
                let text = format!("the configuration of this node {text}");
                self.store.end().map(|()| outcome.with(text))
            }
            Err(Failed::Stopped) => {
                Err("spared is stopping: the change is undone when it starts again".to_owned())
            }
            // the daemon accepted nothing: the edit stays, so that it can be corrected
            Err(Failed::Why(why)) if self.loaded().is_ok_and(|now| now == loaded) => {
                self.store.end().and(Err(why))
            }
            Err(Failed::Why(why)) => Err(match self.back_to(&journal) {
                Ok(()) => format!("the old state was put back: {why}"),
                Err(again) => and_on_the_way_back(&why, &again),
            }),
        };
        self.store.prune(NAME, tree.keep);
        ended
    }

    /// Reverts to the configuration in force before; the edit is kept as a state.
    fn back_to(&mut self, journal: &Journal) -> Result<(), String> {
        self.keep_present(NAME)?;
        self.take_back(journal)
    }

    /// Texts that are in force.
    fn loaded(&self) -> Result<Texts, String> {
        let path = self.places.state.with_file_name(LOADED);
        let shown = |error: String| format!("{}: {error}", path.display());
        let text = fs::read_to_string(&path).map_err(|error| shown(error.to_string()))?;
        serde_json::from_str(&text).map_err(|error| shown(error.to_string()))
    }

    /// Keeps the texts in force as a state.
    fn keep_loaded(
        &mut self,
        tree: &Tree,
        present: &Manifest,
        texts: Texts,
    ) -> Result<State, String> {
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
        self.store
            .keep(tree, "before `sparectl config push`", manifest, own)
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
