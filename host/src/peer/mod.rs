//! What the two hosts tell each other: how fit they are, how they are configured, and questions of
//! people. No input or output: `handle_*` feed it, [`Peer::poll_word`] drains it.
//!
//! Nothing that the other node says is trusted further than to be shown, compared, or weighed.

pub mod clean;
pub mod joining;
pub mod keys;
pub mod scopes;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use spared_control::Difference;
use spared_link::word::Word;
use spared_pair::NodeFacts;

use keys::Keys;

/// The facts are said again that often, although nothing changed.
const FACTS_EVERY: Duration = Duration::from_secs(10);
/// Questions of the other node that are answered at the same time.
const SERVED_MAX: usize = 16;
/// Questions to the other node at the same time.
const ASKED_MAX: usize = 64;
/// Files that are compared.
const FILES_MAX: usize = 128;
const NAME_MAX: usize = 64;
const DIFFERENCES_MAX: usize = 128;

/// One file of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum File {
    /// Its plugin has not said yet which of its keys are of the pair.
    Unknown,
    Keys(Keys),
}

/// The other node, as far as it is heard.
#[derive(Debug, Default)]
pub struct Peer {
    up: bool,
    facts: Option<NodeFacts>,
    /// This node's, by the name of the file.
    files: BTreeMap<String, File>,
    /// The other's; None until it has said.
    digests: Option<BTreeMap<String, String>>,
    theirs: BTreeMap<String, Keys>,
    differences: Vec<Difference>,
    said: Option<(NodeFacts, Instant)>,
    number: u64,
    /// Questions to the other node, and until when they wait.
    asked: BTreeMap<u64, Instant>,
    /// Questions of the other node.
    served: BTreeSet<u64>,
    words: VecDeque<Word>,
}

impl Peer {
    /// What is to be said next.
    pub fn poll_word(&mut self) -> Option<Word> {
        self.words.pop_front()
    }

    pub fn is_up(&self) -> bool {
        self.up
    }

    /// What it says of itself; None while it is not heard.
    pub fn facts(&self) -> Option<&NodeFacts> {
        self.facts.as_ref()
    }

    pub fn handle_up(&mut self) {
        self.handle_down();
        self.up = true;
        self.tell_digests();
    }

    /// Whatever was known of it may be wrong by now.
    pub fn handle_down(&mut self) {
        self.up = false;
        self.facts = None;
        self.digests = None;
        self.theirs.clear();
        self.differences.clear();
        self.said = None;
        self.served.clear();
        self.words.clear();
    }

    // ---- how both are

    pub fn handle_facts(&mut self, facts: NodeFacts) {
        self.facts = Some(clean::facts(facts));
    }

    /// Tells the other node how this one is, if that is news or was long ago.
    pub fn update(&mut self, now: Instant, facts: NodeFacts) {
        let fresh = self.said.as_ref().is_some_and(|(said, at)| {
            *said == facts && now.saturating_duration_since(*at) < FACTS_EVERY
        });
        if !self.up || fresh {
            return;
        }
        self.words.push_back(Word::Status(Box::new(facts.clone())));
        self.said = Some((facts, now));
    }

    // ---- how both are configured

    pub fn differences(&self) -> &[Difference] {
        &self.differences
    }

    /// The other node has said all that there is to compare.
    pub fn is_compared(&self) -> bool {
        let known = |(name, digest): (&String, &String)| {
            !self.is_worth_asking(name, digest) || self.theirs.contains_key(name)
        };
        let digests = self.digests.as_ref();
        digests.is_some_and(|digests| digests.iter().all(known))
    }

    /// This node's files, at the start, after a reload, and when a plugin has said its scopes.
    pub fn set_files(&mut self, files: BTreeMap<String, File>) {
        if self.files == files {
            return;
        }
        self.files = files;
        self.tell_digests();
        self.want_keys();
        self.compare();
    }

    fn tell_digests(&mut self) {
        if self.up {
            let files = self.files.iter().take(FILES_MAX);
            let files = files.map(|(name, file)| (name.clone(), file.digest()));
            self.words.push_back(Word::Digests {
                files: files.collect(),
            });
        }
    }

    pub fn handle_digests(&mut self, files: BTreeMap<String, String>) {
        let named = |name: &String| name.len() <= NAME_MAX && !name.chars().any(char::is_control);
        let files: BTreeMap<String, String> = files
            .into_iter()
            .filter(|(name, _)| named(name))
            .take(FILES_MAX)
            .collect();
        self.theirs.retain(|name, _| files.contains_key(name));
        self.digests = Some(files);
        self.want_keys();
        self.compare();
    }

    // Of the files that differ: what was told of them before may be old.
    fn want_keys(&mut self) {
        let digests = self.digests.iter().flatten();
        let files: Vec<String> = digests
            .filter(|(name, digest)| self.is_worth_asking(name, digest))
            .map(|(name, _)| name.clone())
            .collect();
        if !files.is_empty() {
            self.words.push_back(Word::WantKeys { files });
        }
    }

    fn is_worth_asking(&self, name: &str, digest: &str) -> bool {
        match self.files.get(name) {
            Some(File::Keys(keys)) => !digest.is_empty() && keys::digest(keys) != digest,
            Some(File::Unknown) | None => false,
        }
    }

    pub fn handle_want_keys(&mut self, files: Vec<String>) {
        for file in files.into_iter().take(FILES_MAX) {
            if let Some(File::Keys(keys)) = self.files.get(&file) {
                let keys = keys.clone();
                self.words.push_back(Word::Keys { file, keys });
            }
        }
    }

    pub fn handle_keys(&mut self, file: String, keys: Keys) {
        if self.files.contains_key(&file) {
            self.theirs.insert(file, keys::clean(keys));
            self.compare();
        }
    }

    fn compare(&mut self) {
        let mut found = Vec::new();
        let Some(digests) = &self.digests else {
            return self.differences.clear();
        };
        for (name, file) in &self.files {
            let (File::Keys(here), digest) = (file, digests.get(name)) else {
                continue;
            };
            match (digest, self.theirs.get(name)) {
                (None, _) => found.push(keys::lone_file(name, true)),
                (Some(digest), _) if digest.is_empty() || *digest == keys::digest(here) => {}
                // Its keys are on their way.
                (Some(_), None) => {}
                (Some(_), Some(there)) => found.extend(keys::differences(name, here, there)),
            }
        }
        let lone = digests
            .keys()
            .filter(|name| !self.files.contains_key(*name));
        found.extend(lone.map(|name| keys::lone_file(name, false)));
        found.truncate(DIFFERENCES_MAX);
        self.differences = found;
    }

    // ---- questions

    /// Asks the other node; answered under this number, or it runs out. None: it is not heard, or
    /// too much is asked already.
    pub fn ask(&mut self, until: Instant, request: String) -> Option<u64> {
        if !self.up || self.asked.len() >= ASKED_MAX {
            return None;
        }
        self.number += 1;
        let id = self.number;
        self.asked.insert(id, until);
        self.words.push_back(Word::Ask { id, request });
        Some(id)
    }

    /// Whether somebody still waits for it.
    pub fn handle_answer(&mut self, id: u64) -> bool {
        self.asked.remove(&id).is_some()
    }

    /// The other node asks; false where it asks too much.
    pub fn handle_ask(&mut self, id: u64) -> bool {
        self.served.len() < SERVED_MAX && self.served.insert(id)
    }

    pub fn answer(&mut self, id: u64, answer: String) {
        if self.served.remove(&id) && self.up {
            self.words.push_back(Word::Answer { id, answer });
        }
    }

    /// The questions that nobody answered in time.
    pub fn handle_timeout(&mut self, now: Instant) -> Vec<u64> {
        let due = |(id, until): (&u64, &Instant)| (now >= *until).then_some(*id);
        let due: Vec<u64> = self.asked.iter().filter_map(due).collect();
        for id in &due {
            self.asked.remove(id);
        }
        due
    }

    /// Nobody will answer: the questions that waited.
    pub fn give_up(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.asked).into_keys().collect()
    }

    pub fn next_timeout(&self) -> Option<Instant> {
        self.asked.values().min().copied()
    }
}

impl File {
    // Empty: it is there, and cannot be compared yet.
    fn digest(&self) -> String {
        match self {
            Self::Unknown => String::new(),
            Self::Keys(keys) => keys::digest(keys),
        }
    }
}
