//! What the two hosts exchange: facts about each node, digests and keys of its files, and requests of
//! clients. No input or output: the `handle_*` methods feed it, [`Peer::poll_word`] drains it.
//!
//! What the peer sends is not trusted: it is only shown, compared, or weighed.

#![forbid(unsafe_code)]

mod answer;
pub mod joining;
pub mod keys;
mod machine;
pub mod scopes;
pub mod secret;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use spared_control::Difference;
use spared_message::word::Word;
use spared_message::{clean, fingerprint};
use spared_pair::{MachineDifference, MachineFacts, NodeFacts};
use spared_process::limit::Limit;

pub use answer::{answer, fit};
use keys::Keys;
use machine::Machines;

/// Interval at which unchanged facts are sent again.
const FACTS_EVERY: Duration = Duration::from_secs(2);
/// Time without the peer's facts, three of them, after which its daemon may hang: its link's process alone keeps the
/// session.
const FACTS_OLD: Duration = Duration::from_secs(6);
/// Changes of facts that are sent a second, and at once. A plugin may change its checks all the time,
/// and the link's process must have time for plugins' messages.
const FACTS_PER_S: u32 = 10;
const FACTS_BURST: u32 = 30;
/// Questions of the peer that are answered at the same time.
const SERVED_MAX: usize = 16;
/// Questions to the peer at the same time.
const ASKED_MAX: usize = 64;
/// Files that are compared.
const FILES_MAX: usize = 128;
const NAME_MAX: usize = 64;
const DIFFERENCES_MAX: usize = 128;

/// One file of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum File {
    /// The plugin has not reported the scopes of its keys yet.
    Unknown,
    Keys(Keys),
}

/// The peer, as far as it is heard.
#[derive(Debug, Default)]
pub struct Peer {
    up: bool,
    /// Its last report, and when that came.
    facts: Option<(NodeFacts, Instant)>,
    /// Files of this node, by name.
    files: BTreeMap<String, File>,
    /// Digests of the peer's files, by name. None until it has sent them.
    digests: Option<BTreeMap<String, String>>,
    theirs: BTreeMap<String, Keys>,
    differences: Vec<Difference>,
    machines: Machines,
    said: Option<(NodeFacts, Instant)>,
    number: u64,
    asked: BTreeMap<u64, Asked>,
    /// Questions of the peer that are not answered yet.
    served: BTreeSet<u64>,
    /// Orders of the peer that it has not said to begin, by their ids.
    held: BTreeMap<u64, String>,
    words: VecDeque<Word>,
    facts_left: Option<Limit>,
}

/// A question to the peer.
#[derive(Debug)]
struct Asked {
    until: Instant,
    /// When it is asked once more, and its text.
    again: Option<(Instant, String)>,
    /// The time that an order has from when it is begun.
    lasts: Option<Duration>,
}

impl Peer {
    /// The next word to send.
    pub fn poll_word(&mut self) -> Option<Word> {
        self.words.pop_front()
    }

    pub fn is_up(&self) -> bool {
        self.up
    }

    /// Facts that the peer reported. None while it is not heard.
    pub fn facts(&self) -> Option<&NodeFacts> {
        self.facts.as_ref().map(|(facts, _)| facts)
    }

    /// Time since the peer reported them.
    pub fn facts_age(&self, now: Instant) -> Option<Duration> {
        let (_, told_at) = self.facts.as_ref()?;
        Some(now.saturating_duration_since(*told_at))
    }

    /// The same, if that is long ago.
    pub fn silent(&self, now: Instant) -> Option<Duration> {
        self.facts_age(now).filter(|age| *age >= FACTS_OLD)
    }

    pub fn handle_up(&mut self) {
        self.handle_down();
        self.up = true;
        self.tell_digests();
        self.tell_machine();
    }

    /// Forgets what the peer has sent, which may be wrong by now.
    pub fn handle_down(&mut self) {
        self.up = false;
        self.facts = None;
        self.digests = None;
        self.theirs.clear();
        self.differences.clear();
        self.machines.handle_down();
        self.said = None;
        self.served.clear();
        self.held.clear();
        self.words.clear();
    }

    // ---- facts

    pub fn handle_facts(&mut self, now: Instant, facts: NodeFacts) {
        self.facts = Some((clean::facts(facts), now));
    }

    /// Sends the facts of this node, if they changed or were last sent `FACTS_EVERY` ago. False if
    /// that has to wait.
    pub fn update(&mut self, now: Instant, facts: NodeFacts) -> bool {
        let fresh = self.said.as_ref().is_some_and(|(said, at)| {
            *said == facts && now.saturating_duration_since(*at) < FACTS_EVERY
        });
        if !self.up || fresh {
            return true;
        }
        let limit = || Limit::new(FACTS_PER_S, FACTS_BURST, now);
        if !self.facts_left.get_or_insert_with(limit).take(now) {
            return false;
        }
        self.words.push_back(Word::Status(Box::new(facts.clone())));
        self.said = Some((facts, now));
        true
    }

    // ---- configuration

    pub fn differences(&self) -> &[Difference] {
        &self.differences
    }

    /// True if the peer has sent all that there is to compare.
    pub fn is_compared(&self) -> bool {
        let known = |(name, digest): (&String, &String)| {
            !self.is_worth_asking(name, digest) || self.theirs.contains_key(name)
        };
        let digests = self.digests.as_ref();
        digests.is_some_and(|digests| digests.iter().all(known))
    }

    /// Sets this node's files: at the start, after a reload, and when a plugin has reported its scopes.
    pub fn set_files(&mut self, files: BTreeMap<String, File>) {
        if self.files == files {
            return;
        }
        self.files = files;
        self.tell_digests();
        self.want_keys();
        self.compare();
    }

    /// Digest of all that is compared of this node's files, eight hex digits: the same on a node without a difference.
    /// None if nothing is compared.
    pub fn digest(&self) -> Option<String> {
        let texts = self.files.iter();
        let texts = texts.flat_map(|(name, file)| [name.clone(), file.digest()]);
        let texts: Vec<String> = texts.collect();
        let mixed = fingerprint(texts.iter().map(String::as_str));
        (!texts.is_empty()).then(|| format!("{:08x}", mixed & 0xffff_ffff))
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

    // Asks for the keys of all files that differ, as keys sent before may be old.
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

    /// Each file is told once, however often a word names it.
    pub fn handle_want_keys(&mut self, files: Vec<String>) {
        let files: BTreeSet<String> = files.into_iter().collect();
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
                // The keys were asked for.
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

    // ---- the machines

    /// Sets what must be equal on both machines, as this one has it.
    pub fn set_machine(&mut self, now: Instant, facts: MachineFacts) {
        if self.machines.set_own(now, facts) {
            self.tell_machine();
        }
    }

    /// Sets what of it may differ.
    pub fn set_ignored(&mut self, now: Instant, ignored: Vec<String>) {
        self.machines.set_ignored(now, ignored);
    }

    fn tell_machine(&mut self) {
        if let Some(own) = self.machines.own().filter(|_| self.up) {
            self.words.push_back(Word::Machine(Box::new(own.clone())));
        }
    }

    pub fn handle_machine(&mut self, now: Instant, facts: MachineFacts) {
        self.machines.handle_theirs(now, facts);
    }

    /// What has differed between the machines for `after`.
    pub fn machine_differences(&self, now: Instant, after: Duration) -> Vec<MachineDifference> {
        self.machines.lasting(now, after)
    }

    // ---- questions

    /// Asks the peer. The question is answered under this number, or times out. None: the peer is not heard,
    /// or too many questions are open. `again` is when it is asked once more, unless it has been answered: only
    /// for what may be answered twice.
    pub fn ask(&mut self, until: Instant, again: Option<Instant>, request: String) -> Option<u64> {
        let again = again.map(|at| (at, request.clone()));
        let asked = Asked {
            until,
            again,
            lasts: None,
        };
        self.open(request, asked)
    }

    /// The same for what changes something: the peer asks, before it begins that, whether it is still wanted, and has
    /// `lasts` from then on.
    pub fn order(&mut self, until: Instant, lasts: Duration, request: String) -> Option<u64> {
        let asked = Asked {
            until,
            again: None,
            lasts: Some(lasts),
        };
        self.open(request, asked)
    }

    fn open(&mut self, request: String, asked: Asked) -> Option<u64> {
        if !self.up || self.asked.len() >= ASKED_MAX {
            return None;
        }
        self.number += 1;
        let (id, is_order) = (self.number, asked.lasts.is_some());
        self.asked.insert(id, asked);
        self.words.push_back(Word::Ask {
            id,
            request,
            is_order,
        });
        Some(id)
    }

    /// Handles that the peer would begin an order.
    pub fn handle_may_begin(&mut self, now: Instant, id: u64) {
        let asked = self.asked.get_mut(&id);
        let is_wanted = asked.is_some_and(|asked| {
            let lasts = asked.lasts.take();
            asked.until = lasts.map_or(asked.until, |lasts| now + lasts);
            lasts.is_some()
        });
        self.words.push_back(Word::Begin { id, is_wanted });
    }

    /// Holds an order of the peer until that says to begin: it may have come while this daemon was stopped, so that nobody waits
    /// for it any more.
    pub fn hold(&mut self, id: u64, request: String) {
        if self.held.len() >= SERVED_MAX {
            // the oldest: what the peer said of it was lost
            self.held.pop_first();
        }
        self.held.insert(id, request);
        self.words.push_back(Word::MayBegin { id });
    }

    /// An order that was held.
    pub fn take_held(&mut self, id: u64) -> Option<String> {
        self.held.remove(&id)
    }

    /// True if a client still waits for the answer.
    pub fn handle_answer(&mut self, id: u64) -> bool {
        self.asked.remove(&id).is_some()
    }

    /// Whether this question of the peer is being answered: it was asked once more.
    pub fn is_serving(&self, id: u64) -> bool {
        self.served.contains(&id)
    }

    /// Takes a question of the peer; false if it has too many open.
    pub fn handle_ask(&mut self, id: u64) -> bool {
        self.served.len() < SERVED_MAX && self.served.insert(id)
    }

    pub fn answer(&mut self, id: u64, answer: String) {
        if self.served.remove(&id) && self.up {
            self.words.push_back(Word::Answer { id, answer });
        }
    }

    /// Ends and returns the questions that have timed out. Asks others once more.
    pub fn handle_timeout(&mut self, now: Instant) -> Vec<u64> {
        let due = |(id, asked): (&u64, &Asked)| (now >= asked.until).then_some(*id);
        let due: Vec<u64> = self.asked.iter().filter_map(due).collect();
        for id in &due {
            self.asked.remove(id);
        }
        for (id, asked) in &mut self.asked {
            if let Some((_, request)) = asked.again.take_if(|(at, _)| now >= *at) {
                self.words.push_back(Word::Ask {
                    id: *id,
                    request,
                    is_order: false,
                });
            }
        }
        due
    }

    /// Ends and returns all open questions.
    pub fn give_up(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.asked).into_keys().collect()
    }

    pub fn next_timeout(&self) -> Option<Instant> {
        let next = |asked: &Asked| {
            let again = asked.again.as_ref().map(|(at, _)| *at);
            again.map_or(asked.until, |at| at.min(asked.until))
        };
        self.asked.values().map(next).min()
    }
}

impl File {
    // Empty for a file that cannot be compared yet.
    fn digest(&self) -> String {
        match self {
            Self::Unknown => String::new(),
            Self::Keys(keys) => keys::digest(keys),
        }
    }
}
