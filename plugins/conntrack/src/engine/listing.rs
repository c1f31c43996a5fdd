//! Lists the kernel's table with the state of each flow, for `sparectl conntrack flows` and
//! `stats`.
//!
//! The walk keeps the rows that fit into an answer, however many flows there are, and counts the
//! others.

use std::collections::BTreeMap;

use spared_sdk::Value;

use super::conflict::translated_to;
use super::table::{Entry, NOT_WAITING, flag};
use super::walk_queue::Due;
use super::{Action, Engine, Translation, seconds};
use crate::config::state_name;
use crate::filter::{Refusal, Selection};
use crate::flow::{Flow, address, protocol_name};

/// Limit of all rows in bytes, less than an answer has, so that its last line fits.
const BYTES_MAX: usize = 60_000;
/// Key of the last line. It sorts after the names of all protocols.
const MORE: &str = "yet more";

/// Rows of an answer.
pub type Listed = Vec<(String, Value)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListKind {
    /// A row for each flow.
    Flows,
    /// Numbers for each protocol.
    Stats,
}

#[derive(Debug)]
pub struct Listing {
    kind: ListKind,
    selection: Selection,
    rows: Vec<(String, String)>,
    bytes: usize,
    /// Number of flows without a row.
    more: u64,
    tallies: BTreeMap<u8, Tally>,
}

/// Numbers of one protocol.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    flows: u64,
    replicated: u64,
    copies: u64,
    waiting: u64,
    kept_here: u64,
    own_address: u64,
}

/// Replication state of a flow, apart from its translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Refused(Refusal),
    NoPeer,
    /// A rule hides it, or no event of it has come yet.
    Hidden,
    Untold,
    Young,
    Waiting,
    Replicated,
    Copy,
}

impl Engine {
    /// Begins a list; `Action::Listed` follows.
    ///
    /// # Errors
    /// A list is under way already.
    pub fn list(&mut self, kind: ListKind, selection: Selection) -> Result<(), &'static str> {
        if self.listing.is_some() {
            return Err("a list is already being made");
        }
        self.listing = Some(Listing {
            kind,
            selection,
            rows: Vec::new(),
            bytes: 0,
            more: 0,
            tallies: BTreeMap::new(),
        });
        self.walks.request(Due::List);
        Ok(())
    }

    /// Resets the list when a walk for it begins, perhaps again.
    pub(super) fn begin_list(&mut self) {
        if let Some(listing) = &mut self.listing {
            listing.rows.clear();
            listing.tallies.clear();
            (listing.bytes, listing.more) = (0, 0);
        }
    }

    /// Adds one flow of the kernel's table.
    pub(super) fn add_to_list(&mut self, now_ns: u64, flow: &Flow) {
        let Some(mut listing) = self.listing.take() else {
            return;
        };
        if listing.selection.has(flow) {
            let fate = self.fate(now_ns, flow);
            match listing.kind {
                ListKind::Flows => listing.add(flow, || self.words(flow, fate)),
                ListKind::Stats => {
                    let translation = self.entry(flow).map(|it| it.translation());
                    listing.count(flow, fate, translation.unwrap_or_default());
                }
            }
        }
        self.listing = Some(listing);
    }

    pub(super) fn end_list(&mut self, complete: bool) {
        if !complete {
            self.walks.request(Due::List);
        } else if let Some(listing) = self.listing.take() {
            self.actions.push_back(Action::Listed(listing.end()));
        }
    }

    fn entry(&self, flow: &Flow) -> Option<Entry> {
        let slot = self.table.find(self.table.hash(flow))?;
        Some(*self.table.get(slot))
    }

    fn fate(&mut self, now_ns: u64, flow: &Flow) -> Fate {
        if let Some(refusal) = self.filter.refusal(flow) {
            return Fate::Refused(refusal);
        }
        if self.peer.as_ref().is_none_or(|peer| peer.active.is_none()) {
            return Fate::NoPeer;
        }
        let Some(entry) = self.entry(flow) else {
            return if self.reports.hides {
                Fate::Hidden
            } else {
                Fate::Untold
            };
        };
        let now_s = seconds(now_ns);
        match entry.waiting() {
            NOT_WAITING if !entry.is_own(now_s) && entry.is_peers(now_s) => Fate::Copy,
            NOT_WAITING if entry.has(flag::KNOWN_TO_PEER) => Fate::Replicated,
            NOT_WAITING => Fate::Untold,
            number if self.channel.outbox.is_young(number) => Fate::Young,
            _ => Fate::Waiting,
        }
    }

    /// Text of a row: the flow's state, its translation, and its replication state.
    fn words(&self, flow: &Flow, fate: Fate) -> String {
        let mut words = Vec::new();
        let state = flow.state();
        let state = state.and_then(|state| state_name(flow.original.protocol, state));
        words.extend(state.map(str::to_owned));
        words.extend(translation(flow));
        words.push(self.sentence(fate));
        let how = self.entry(flow).map(|it| it.translation());
        match how.unwrap_or_default() {
            Translation::None => {}
            Translation::Own => {
                words.push("ends at a failover: translated to this node's own address".to_owned());
            }
            Translation::Dynamic => words.push("a failover drops it (dynamic_nat)".to_owned()),
            Translation::ToPeer => {
                words.push("answers come to the other node, which has that address".to_owned());
            }
        }
        words.join(", ")
    }

    fn sentence(&self, fate: Fate) -> String {
        let text = match fate {
            Fate::Refused(Refusal::Excluded(number)) => {
                let rule = self.filter.exclude.get(number);
                let keys = rule.map_or(String::new(), |rule| rule.keys().join(", "));
                return format!("not replicated: [[exclude]] {} ({keys})", number + 1);
            }
            Fate::Refused(Refusal::Unmarked(bit)) => {
                return format!("not replicated: bit {bit} of its mark is not set (mark_bit)");
            }
            Fate::Refused(Refusal::Local) => "not replicated: the router's own (local)",
            Fate::Refused(Refusal::Proxied) => "not replicated: ends at a proxy here (proxied)",
            Fate::Refused(Refusal::NotIncluded) => "not replicated: in no [[include]]",
            Fate::NoPeer => "not replicated: the peer is not connected",
            Fate::Hidden => "not replicated: a rule hides it (ct event), or it has just begun",
            Fate::Untold => "not replicated yet",
            Fate::Young => "not replicated yet: younger than min_age",
            Fate::Waiting => "not replicated yet: waits to be sent",
            Fate::Replicated => "replicated",
            Fate::Copy => "copy of the other node's",
        };
        text.to_owned()
    }
}

impl Listing {
    fn add(&mut self, flow: &Flow, words: impl FnOnce() -> String) {
        let zone = match flow.zone.id {
            0 => String::new(),
            zone => format!(" zone {zone}"),
        };
        let row = (format!("{}{zone}", flow.original), words());
        let bytes = row.0.len() + row.1.len();
        if self.bytes + bytes <= BYTES_MAX {
            self.bytes += bytes;
            self.rows.push(row);
        } else {
            // no later row either, or a short one would appear to be the next

            self.bytes = BYTES_MAX;
            self.more += 1;
        }
    }

    fn count(&mut self, flow: &Flow, fate: Fate, how: Translation) {
        let tally = self.tallies.entry(flow.original.protocol).or_default();
        tally.flows += 1;
        *match fate {
            Fate::Replicated => &mut tally.replicated,
            Fate::Copy => &mut tally.copies,
            Fate::Young | Fate::Waiting | Fate::Untold => &mut tally.waiting,
            Fate::Refused(_) | Fate::NoPeer | Fate::Hidden => &mut tally.kept_here,
        } += 1;
        tally.own_address += u64::from(matches!(how, Translation::Own | Translation::Dynamic));
    }

    fn end(self) -> Listed {
        let rows = self.rows.into_iter();
        let mut rows: Listed = rows.map(|(key, text)| (key, Value::Text(text))).collect();
        for (protocol, tally) in self.tallies {
            let name = protocol_name(protocol);
            let name = name.map_or_else(|| format!("protocol_{protocol}"), str::to_owned);
            let numbers = [
                ("flows", tally.flows),
                ("replicated", tally.replicated),
                ("copies", tally.copies),
                ("waiting", tally.waiting),
                ("kept_here", tally.kept_here),
                ("own_address", tally.own_address),
            ];
            let numbers = numbers.map(|(key, number)| (format!("{name}.{key}"), number.into()));
            rows.extend(numbers);
        }
        if self.more > 0 {
            let text = format!("{} flows: name fewer, as by --src or --dport", self.more);
            rows.push((MORE.to_owned(), Value::Text(text)));
        }
        rows
    }
}

/// Text of the address and port that each translated end has.
fn translation(flow: &Flow) -> Option<String> {
    translated_to(flow)?;
    let reply = &flow.reply;
    let shown = |bytes: &[u8; 16], port: u16| {
        let address = address(reply.is_ipv6, bytes);
        match (reply.has_ports(), address.is_ipv6()) {
            (false, _) => address.to_string(),
            (true, false) => format!("{address}:{port}"),
            (true, true) => format!("[{address}]:{port}"),
        }
    };
    let (from, to) = reply.ports();
    let source = flow.is_source_translated();
    let source = source.then(|| format!("source {}", shown(&reply.destination, to)));
    let destination = flow.is_destination_translated();
    let destination = destination.then(|| format!("destination {}", shown(&reply.source, from)));
    let ends: Vec<String> = source.into_iter().chain(destination).collect();
    Some(ends.join(", "))
}
