//! Exchanges data between the two hosts: facts about each node, digests and keys of its files, and requests of clients.
//! There is no input or output: the `handle_*` methods feed it, and [`Peer::poll_word`] drains it.
//!
//! Data from the peer is not trusted: it is only shown, compared, or weighed.

mod answer;
pub mod joining;
mod machine;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use spared_config::keys::{self, Keys};
use spared_message::control::Difference;
use spared_message::word::Word;
use spared_message::{clean, fingerprint};
use spared_process::token_bucket::TokenBucket;
use spared_verdict::{MachineDifference, MachineFacts, NodeFacts};

pub use answer::{answer, answer_line};
use machine::Machines;

/// Interval at which unchanged facts are sent again.
const FACTS_EVERY: Duration = Duration::from_secs(2);
/// Time without facts of the peer (three intervals) after which its daemon may hang. Its link process alone keeps the
/// session.
const FACTS_OLD: Duration = Duration::from_secs(6);
/// Time that facts may be on their way. Those that arrive so soon after a change of role here may have been sent before
/// it.
const FACTS_LATE: Duration = Duration::from_secs(1);
/// Maximum rate of facts that are sent, per second, and size of a burst. A plugin may change its checks all the time,
/// and the link's process must have time for plugins' messages.
const FACTS_PER_S: u32 = 10;
const FACTS_BURST: u32 = 30;
/// Maximum number of the peer's questions that are answered at the same time.
const SERVED_MAX: usize = 16;
/// Maximum number of pending questions to the peer.
const ASKED_MAX: usize = 64;
/// Maximum number of files that are compared.
const FILES_MAX: usize = 128;
const NAME_MAX: usize = 64;
const DIFFERENCES_MAX: usize = 128;

/// Configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum File {
    /// The plugin has not reported the scopes of its keys yet.
    Unknown,
    Keys(Keys),
}

/// State of the exchange with the peer.
#[derive(Debug, Default)]
pub struct Peer {
    up: bool,
    /// Last facts of the peer, and the time at which they arrived.
    facts: Option<(NodeFacts, Instant)>,
    /// Times at which this node last became active or ceased to be, by group.
    changed: BTreeMap<String, Instant>,
    /// Files of this node, by name.
    files: BTreeMap<String, File>,
    /// Digests of the peer's files, by name; None until it has sent them.
    digests: Option<BTreeMap<String, String>>,
    theirs: BTreeMap<String, Keys>,
    differences: Vec<Difference>,
    machines: Machines,
    sent_facts: Option<(NodeFacts, Instant)>,
    number: u64,
    asked: BTreeMap<u64, Asked>,
    /// Ids of the peer's questions that are not answered yet.
    questions_in_progress: BTreeSet<u64>,
    /// Orders of the peer that it has not yet confirmed, by their ids.
    unconfirmed_orders: BTreeMap<u64, String>,
    words: VecDeque<Word>,
    facts_left: Option<TokenBucket>,
}

/// A question to the peer.
#[derive(Debug)]
struct Asked {
    until: Instant,
    /// Time at which the question is sent again, and its text.
    again: Option<(Instant, String)>,
    /// Time that an order may take from its begin; None for a question.
    lasts: Option<Duration>,
}

impl Peer {
    /// Returns the next word to send.
    pub fn poll_word(&mut self) -> Option<Word> {
        self.words.pop_front()
    }

    pub fn is_up(&self) -> bool {
        self.up
    }

    /// Returns the facts that the peer reported; None while it is not heard.
    pub fn facts(&self) -> Option<&NodeFacts> {
        self.facts.as_ref().map(|(facts, _)| facts)
    }

    /// Returns the time since the peer reported its facts.
    pub fn facts_age(&self, now: Instant) -> Option<Duration> {
        let (_, told_at) = self.facts.as_ref()?;
        Some(now.saturating_duration_since(*told_at))
    }

    /// Returns the groups about which the peer's facts may be older than this node's last change.
    pub fn outdated_groups(&self) -> BTreeSet<String> {
        let Some((_, told_at)) = self.facts else {
            return BTreeSet::new();
        };
        let changed = self.changed.iter();
        let outdated = changed.filter(|(_, at)| told_at < **at + FACTS_LATE);
        outdated.map(|(group, _)| group.clone()).collect()
    }

    /// Returns the time since the peer reported its facts, if it is too long ago.
    pub fn silent(&self, now: Instant) -> Option<Duration> {
        self.facts_age(now).filter(|age| *age >= FACTS_OLD)
    }

    pub fn handle_up(&mut self) {
        self.handle_down();
        self.up = true;
        self.tell_digests();
        self.tell_machine();
    }

    /// Forgets everything that the peer has sent, as it may be outdated.
    pub fn handle_down(&mut self) {
        self.up = false;
        self.facts = None;
        self.digests = None;
        self.theirs.clear();
        self.differences.clear();
        self.machines.handle_down();
        self.sent_facts = None;
        self.questions_in_progress.clear();
        self.unconfirmed_orders.clear();
        self.words.clear();
    }

    // ---- facts

    pub fn handle_facts(&mut self, now: Instant, facts: NodeFacts) {
        self.facts = Some((clean::facts(facts), now));
    }

    /// Handles that this node became active in a group, or ceased to be.
    pub fn handle_change(&mut self, now: Instant, group: &str) {
        self.changed.insert(group.to_owned(), now);
    }

    /// Sends the facts of this node, if they changed or were last sent `FACTS_EVERY` ago. Returns false if that has to
    /// wait.
    pub fn update(&mut self, now: Instant, facts: NodeFacts) -> bool {
        let fresh = self.sent_facts.as_ref().is_some_and(|(said, at)| {
            *said == facts && now.saturating_duration_since(*at) < FACTS_EVERY
        });
        if !self.up || fresh {
            return true;
        }
        let limit = || TokenBucket::new(FACTS_PER_S, FACTS_BURST, now);
        if !self.facts_left.get_or_insert_with(limit).take(now) {
            return false;
        }
        self.words.push_back(Word::Status(Box::new(facts.clone())));
        self.sent_facts = Some((facts, now));
        true
    }

    // ---- configuration

    pub fn differences(&self) -> &[Difference] {
        &self.differences
    }

    /// Returns true if the peer has sent everything that is compared.
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

    /// Returns a digest of all compared keys of this node's files, as eight hex digits. It is the same on both nodes if
    /// there is no difference. None if nothing is compared.
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
        // Keys of another digest are outdated: the file may differ again in other keys, or not at all.
        let is_of = |digest: &String, keys: &Keys| *digest == keys::digest(keys);
        self.theirs
            .retain(|name, keys| files.get(name).is_some_and(|digest| is_of(digest, keys)));
        self.digests = Some(files);
        self.want_keys();
        self.compare();
    }

    // Requests the keys of all files that differ, as keys sent before may be outdated.
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

    /// Sends the keys of files. Each file is sent once, however often a word names it.
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
                (None, _) => found.push(keys::one_sided_file(name, true)),
                (Some(digest), _) if digest.is_empty() || *digest == keys::digest(here) => {}
                // The keys were requested, and have not arrived.
                (Some(_), None) => {}
                (Some(_), Some(there)) => found.extend(keys::differences(name, here, there)),
            }
        }
        let lone = digests
            .keys()
            .filter(|name| !self.files.contains_key(*name));
        found.extend(lone.map(|name| keys::one_sided_file(name, false)));
        found.truncate(DIFFERENCES_MAX);
        self.differences = found;
    }

    // ---- the machines

    /// Sets the values of this machine that must be equal on both.
    pub fn set_machine(&mut self, now: Instant, facts: MachineFacts) {
        if self.machines.set_own(now, facts) {
            self.tell_machine();
        }
    }

    /// Sets the names of values that may differ.
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

    /// Returns the differences between the machines that have lasted for `after`.
    pub fn machine_differences(&self, now: Instant, after: Duration) -> Vec<MachineDifference> {
        self.machines.lasting(now, after)
    }

    // ---- questions

    /// Asks the peer. Returns the number under which the question is answered or times out; None if the peer is not
    /// heard or too many questions are pending. `again` is the time at which an unanswered question is sent again. It
    /// must be None if the question must not be answered twice.
    pub fn ask(&mut self, until: Instant, again: Option<Instant>, request: String) -> Option<u64> {
        let again = again.map(|at| (at, request.clone()));
        let asked = Asked {
            until,
            again,
            lasts: None,
        };
        self.open(request, asked)
    }

    /// Sends the peer an order, a request that changes something. Before the peer begins it, it asks if the order is
    /// still wanted. It has the time `lasts` from then on.
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

    /// Handles the peer's question if it may begin an order.
    pub fn handle_may_begin(&mut self, now: Instant, id: u64) {
        let asked = self.asked.get_mut(&id);
        let is_wanted = asked.is_some_and(|asked| {
            let lasts = asked.lasts.take();
            asked.until = lasts.map_or(asked.until, |lasts| now + lasts);
            lasts.is_some()
        });
        self.words.push_back(Word::Begin { id, is_wanted });
    }

    /// Holds an order until the peer confirms it. The order may have arrived while this daemon was suspended, so that
    /// nobody waits for it any longer.
    pub fn hold(&mut self, id: u64, request: String) {
        if self.unconfirmed_orders.len() >= SERVED_MAX {
            // the oldest order is dropped: the peer's confirmation was lost
            self.unconfirmed_orders.pop_first();
        }
        self.unconfirmed_orders.insert(id, request);
        self.words.push_back(Word::MayBegin { id });
    }

    /// Takes an order that was held.
    pub fn take_held(&mut self, id: u64) -> Option<String> {
        self.unconfirmed_orders.remove(&id)
    }

    /// Handles an answer of the peer. Returns true if a client still waits for it.
    pub fn handle_answer(&mut self, id: u64) -> bool {
        self.asked.remove(&id).is_some()
    }

    /// Returns true if this question of the peer is already being answered: it was sent again.
    pub fn is_serving(&self, id: u64) -> bool {
        self.questions_in_progress.contains(&id)
    }

    /// Accepts a question of the peer. Returns false if too many are pending.
    pub fn handle_ask(&mut self, id: u64) -> bool {
        self.questions_in_progress.len() < SERVED_MAX && self.questions_in_progress.insert(id)
    }

    pub fn answer(&mut self, id: u64, answer: String) {
        if self.questions_in_progress.remove(&id) && self.up {
            self.words.push_back(Word::Answer { id, answer });
        }
    }

    /// Ends and returns the questions that have timed out. Sends others again.
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

    /// Ends and returns all pending questions.
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
    // Returns the digest of a file; empty if it cannot be compared yet.
    fn digest(&self) -> String {
        match self {
            Self::Unknown => String::new(),
            Self::Keys(keys) => keys::digest(keys),
        }
    }
}
