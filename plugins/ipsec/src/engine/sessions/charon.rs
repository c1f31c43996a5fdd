//! Knowledge of the charon that runs here: what it said at its start that it has, and its messages since.

use std::collections::{BTreeMap, BTreeSet};

use crate::sa::Body;
use crate::sessions::message::{self, Kind, Message};
use crate::sessions::{IkeSpis, RunningIke};

#[derive(Debug, Default)]
pub(super) struct Charon {
    /// IKE SAs that it has.
    has: BTreeMap<IkeSpis, RunningIke>,
    /// IKE SAs that it has, and whose address has left.
    left: BTreeMap<IkeSpis, RunningIke>,
    /// The kernel has its plugin's socket.
    pub is_there: bool,
    /// It had sessions when this run of the plugin began, on the active node. What the peer's records have beyond these
    /// has ended meanwhile, once all records are here.
    pub is_older: bool,
    /// Version of its messages, by its release or by those that it has sent.
    pub version: Option<u8>,
}

impl Charon {
    /// Notes the IKE SAs that it has at its start, or when its control socket answers again.
    pub fn note_running(&mut self, ikes: BTreeMap<IkeSpis, RunningIke>) {
        self.has.extend(ikes);
    }

    /// Notes a message that it has sent.
    pub fn note_message(&mut self, message: &Message) {
        self.version = Some(message.version);
        self.note(message);
        if let (Kind::IkeDelete, Some(ike)) = (message.kind, message.ike) {
            self.has.remove(&ike);
            self.left.remove(&ike);
        }
    }

    /// Notes a message that it was told. It gives up an IKE SA in whose place it gets another.
    pub fn note_told(&mut self, message: &Message) {
        if let (Kind::IkeAdd, Some(replaced)) = (message.kind, message.rekeyed) {
            self.has.remove(&replaced);
        }
        self.note(message);
    }

    fn note(&mut self, message: &Message) {
        let Some(ike) = message.ike else {
            return;
        };
        match message.kind {
            Kind::IkeAdd => drop(self.has.entry(ike).or_insert(RunningIke::of(message))),
            Kind::IkeUpdate => {
                if let Some(it) = self.has.get_mut(&ike) {
                    it.end = message.local_address.or(it.end);
                }
            }
            _ => {}
        }
    }

    /// True for an IKE SA that it has, and whose address has not left.
    pub fn has(&self, ike: &IkeSpis) -> bool {
        self.has.contains_key(ike)
    }

    pub fn ikes(&self) -> impl Iterator<Item = (&IkeSpis, &RunningIke)> {
        self.has.iter()
    }

    /// IKE SAs that it still has from before their address left.
    pub fn left(&self) -> impl Iterator<Item = (&IkeSpis, &RunningIke)> {
        self.left.iter()
    }

    /// Notes that the addresses of these IKE SAs have left.
    pub fn note_left(&mut self, ikes: &BTreeSet<IkeSpis>) {
        let left = ikes.iter().filter_map(|it| self.has.remove_entry(it));
        self.left.extend(left);
    }

    /// Messages that end the IKE SAs whose addresses have left.
    pub fn take_ends(&mut self, version: u8) -> Vec<Body> {
        let left = std::mem::take(&mut self.left).into_iter();
        let ends = left.map(|(ike, it)| Body::new(message::end_of_ike(version, ike, it)));
        ends.collect()
    }
}
