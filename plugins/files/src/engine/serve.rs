//! Answers the peer's requests for manifests and contents of this node, one piece at a time.

use std::collections::{BTreeMap, VecDeque};

use spared_tree::Hash;
use spared_tree::local::PIECE;

use super::tree::Digested;
use crate::wire::Message;

/// Maximum number of manifests whose contents the peer may fetch.
const ASKS_MAX: usize = 4;
/// Maximum number of waiting contents; the peer requests fewer at a time.
const FETCHES_MAX: usize = 64;
/// Maximum number of pieces requested from the root half at a time, so that it reads while others are sent.
const READS_MAX: usize = 8;

#[derive(Debug, Default)]
pub struct Serving {
    asks: VecDeque<Ask>,
    fetches: VecDeque<Fetch>,
    /// Number of the last fetch, counted also over lost connections.
    fetched: u64,
    /// Number of pieces that the root half was asked for and has not answered, also for fetches that are gone.
    reads: usize,
}

#[derive(Debug)]
struct Fetch {
    number: u64,
    ticket: u64,
    hash: Hash,
    size: u64,
    /// Bytes requested from the root half; None: not even the first.
    asked: Option<u64>,
}

/// Piece that the root half was asked for: number of its fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read(u64);

#[derive(Debug)]
struct Ask {
    ticket: u64,
    tree: String,
    manifest: Digested,
    contents: BTreeMap<Hash, u64>,
    /// Encoded manifest, and the number of bytes that were sent.
    unsent: Option<(Vec<u8>, usize)>,
}

/// Piece to request from the root half.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub read: Read,
    pub tree: String,
    pub hash: Hash,
    pub offset: u64,
}

impl Serving {
    pub fn ask(&mut self, ticket: u64, tree: &str, own: Digested) {
        if self.asks.len() >= ASKS_MAX {
            self.asks.pop_front();
        }
        self.asks.push_back(Ask {
            ticket,
            tree: tree.to_owned(),
            unsent: Some((own.manifest.encode(), 0)),
            contents: own.manifest.contents(),
            manifest: own,
        });
    }

    /// # Errors
    /// The reason of the refusal.
    pub fn fetch(&mut self, ticket: u64, hash: Hash) -> Result<(), String> {
        let ask = self.asks.iter().find(|it| it.ticket == ticket);
        let ask = ask.ok_or("the list of files is too old: try again")?;
        let size = ask.contents.get(&hash).copied();
        let size = size.ok_or("the list of files has no such content")?;
        if self.fetches.len() >= FETCHES_MAX {
            return Err(format!("more than {FETCHES_MAX} contents at a time"));
        }
        self.fetched = self.fetched.wrapping_add(1);
        self.fetches.push_back(Fetch {
            number: self.fetched,
            ticket,
            hash,
            size,
            asked: None,
        });
        Ok(())
    }

    /// Tree and manifest that the peer has put in place; returned once.
    pub fn taken(&mut self, ticket: u64) -> Option<(String, Digested)> {
        let at = self.asks.iter().position(|it| it.ticket == ticket)?;
        let ask = self.asks.remove(at)?;
        Some((ask.tree, ask.manifest))
    }

    /// Manifest of a tree that the peer has asked for and that has this digest.
    pub fn find(&self, tree: &str, digest: Hash) -> Option<&Digested> {
        let mut of_tree = self.asks.iter().filter(|it| it.tree == tree);
        of_tree.find_map(|it| Some(&it.manifest).filter(|it| it.is(digest)))
    }

    /// Next piece of a manifest.
    pub fn poll_manifest(&mut self) -> Option<Message> {
        let ask = self.asks.iter_mut().find(|it| it.unsent.is_some())?;
        let (bytes, sent) = ask.unsent.as_mut()?;
        let rest = bytes.get(*sent..).unwrap_or_default();
        let piece = rest.get(..PIECE).unwrap_or(rest).to_vec();
        *sent = sent.saturating_add(piece.len());
        let is_last = *sent >= bytes.len();
        if is_last {
            ask.unsent = None;
        }
        Some(Message::Piece {
            ticket: ask.ticket,
            bytes: piece,
            is_last,
        })
    }

    /// Next piece of a content to request from the root half.
    pub fn poll_wanted(&mut self) -> Option<Wanted> {
        if self.reads >= READS_MAX {
            return None;
        }
        let asks = &self.asks;
        self.fetches
            .retain(|it| asks.iter().any(|ask| ask.ticket == it.ticket));
        let fetch = self.fetches.iter_mut().find(|it| it.is_unasked())?;
        let ask = asks.iter().find(|ask| ask.ticket == fetch.ticket)?;
        let offset = fetch.asked.unwrap_or(0);
        fetch.asked = Some(offset.saturating_add(PIECE as u64));
        self.reads = self.reads.saturating_add(1);
        Some(Wanted {
            read: Read(fetch.number),
            tree: ask.tree.clone(),
            hash: fetch.hash,
            offset,
        })
    }

    /// Handles the root half's answer, for the peer. Answers come in the order of the requests. The rest of a content
    /// that has become shorter, or of which a piece could not be read, is dropped.
    pub fn handle_read(
        &mut self,
        read: Read,
        result: Result<(Vec<u8>, bool), String>,
    ) -> Option<Message> {
        self.reads = self.reads.saturating_sub(1);
        let fetch = self.fetches.front().filter(|it| it.number == read.0)?;
        let ticket = fetch.ticket;
        Some(match result {
            Ok((bytes, is_last)) => {
                if is_last {
                    self.fetches.pop_front();
                }
                Message::Piece {
                    ticket,
                    bytes,
                    is_last,
                }
            }
            Err(why) => {
                self.fetches.retain(|it| it.ticket != ticket);
                Message::Refuse { ticket, why }
            }
        })
    }

    /// Forgets the peer's requests.
    pub fn clear(&mut self) {
        self.asks.clear();
        self.fetches.clear();
    }
}

impl Fetch {
    fn is_unasked(&self) -> bool {
        self.asked.is_none_or(|it| it < self.size)
    }
}
