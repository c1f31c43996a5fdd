//! What the peer asks for: manifests and contents of this node, one piece at a time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use spared_tree::local::PIECE;
use spared_tree::{Hash, Manifest};

use crate::wire::Message;

/// Manifests that the peer may fetch contents of.
const ASKS_MAX: usize = 4;
/// Contents that wait; the peer asks for fewer at a time.
const FETCHES_MAX: usize = 64;

#[derive(Debug, Default)]
pub struct Serving {
    asks: VecDeque<Ask>,
    fetches: VecDeque<(u64, Hash)>,
    /// Bytes of the first content that were sent.
    offset: u64,
    /// The root half was asked for a piece.
    pub is_reading: bool,
}

#[derive(Debug)]
struct Ask {
    ticket: u64,
    tree: String,
    manifest: Arc<Manifest>,
    contents: BTreeMap<Hash, u64>,
    /// The encoded manifest, as far as it was not sent.
    unsent: Option<(Vec<u8>, usize)>,
}

/// A piece that the root half is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub tree: String,
    pub hash: Hash,
    pub offset: u64,
}

impl Serving {
    pub fn ask(&mut self, ticket: u64, tree: &str, manifest: Arc<Manifest>) {
        if self.asks.len() >= ASKS_MAX {
            self.asks.pop_front();
        }
        self.asks.push_back(Ask {
            ticket,
            tree: tree.to_owned(),
            unsent: Some((manifest.encode(), 0)),
            contents: manifest.contents(),
            manifest,
        });
    }

    /// # Errors
    /// Why it is refused.
    pub fn fetch(&mut self, ticket: u64, hash: Hash) -> Result<(), String> {
        let ask = self.asks.iter().find(|it| it.ticket == ticket);
        let ask = ask.ok_or("the list of files is too old: try again")?;
        if !ask.contents.contains_key(&hash) {
            return Err("the list of files has no such content".to_owned());
        }
        if self.fetches.len() >= FETCHES_MAX {
            return Err(format!("more than {FETCHES_MAX} contents at a time"));
        }
        self.fetches.push_back((ticket, hash));
        Ok(())
    }

    /// The tree and the manifest that the peer has put in place; once.
    pub fn taken(&mut self, ticket: u64) -> Option<(String, Arc<Manifest>)> {
        let at = self.asks.iter().position(|it| it.ticket == ticket)?;
        let ask = self.asks.remove(at)?;
        Some((ask.tree, ask.manifest))
    }

    /// The next piece of a manifest.
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

    /// The next piece of a content to ask the root half for.
    pub fn poll_wanted(&mut self) -> Option<Wanted> {
        if self.is_reading {
            return None;
        }
        let (ticket, hash) = *self.fetches.front()?;
        let ask = self.asks.iter().find(|it| it.ticket == ticket);
        let Some(ask) = ask else {
            self.fetches.pop_front();
            return None;
        };
        self.is_reading = true;
        Some(Wanted {
            tree: ask.tree.clone(),
            hash,
            offset: self.offset,
        })
    }

    /// The root half's answer, for the peer.
    pub fn handle_read(&mut self, read: Result<(Vec<u8>, bool), String>) -> Option<Message> {
        self.is_reading = false;
        let (ticket, _) = *self.fetches.front()?;
        Some(match read {
            Ok((bytes, is_last)) => {
                self.offset = self.offset.saturating_add(bytes.len() as u64);
                if is_last {
                    self.offset = 0;
                    self.fetches.pop_front();
                }
                Message::Piece {
                    ticket,
                    bytes,
                    is_last,
                }
            }
            Err(why) => {
                self.offset = 0;
                self.fetches.retain(|(its, _)| *its != ticket);
                Message::Refuse { ticket, why }
            }
        })
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }
}
