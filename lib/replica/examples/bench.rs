//! `make bench-replica`: cost of the protocol for each record, compared with a plain loop that writes records into
//! messages of the same channel and reads them into the same store.
//!
//! Prints a table and writes target/bench/replica.json. `--quick` takes a tenth of the records. Both nodes run on one
//! thread, and the store is an array, so that the crate is measured and not a table. Times are by node: 0 decides, 1
//! follows, and neither waits for anything. Each row is the median of its rounds.

use std::collections::VecDeque;
use std::fmt::Write;
use std::fs;
use std::time::Instant;

use spared_replica::toy::Number;
use spared_replica::wire::{MESSAGE_MAX, Malformed, Reader};
use spared_replica::{
    Applied, Change, Config, Replica, Sink, Stamp, Step, Store, Table, Tag, Token, ValueWriter,
};

/// Limit of the protocol's time for each record and node, in ns.
const ALLOWED_NS: f64 = 1_000.0;
/// Maximum number of messages in a channel.
const DEPTH: usize = 4;
const ROUNDS: usize = 5;

/// Function that picks one measure of a round, by node.
type Pick = fn(&Round) -> [u64; 2];

fn main() -> std::io::Result<()> {
    let quick = std::env::args().any(|word| word == "--quick");
    let count = if quick { 100_000 } else { 1_000_000 };
    let mut rows = Vec::new();
    let rounds: Vec<Round> = (0..ROUNDS).map(|_| Round::run(count)).collect();
    let take = |pick: Pick| {
        [0, 1].map(|side| {
            let mut times: Vec<u64> = rounds.iter().map(|round| pick(round)[side]).collect();
            times.sort_unstable();
            times[ROUNDS / 2] as f64 / f64::from(count)
        })
    };
    let plain = take(|round| round.plain);
    let cases: [(&str, Pick); 4] = [
        ("from nothing to in sync", |round| round.fill),
        ("resync of unchanged records", |round| round.resync),
        ("live changes", |round| round.changes),
        ("offer after a restart of the follower", |round| round.offer),
    ];
    println!("{count} records of 4 bytes key, 8 bytes value; ns of a record and side");
    println!(
        "{:<40}{:>9}{:>9}{:>9}{:>9}{:>12}",
        "case", "decider", "follower", "plain 0", "plain 1", "records/s"
    );
    for (case, pick) in cases {
        let ours = take(pick);
        let rate = 1e9 / (ours[0] + ours[1]);
        let late = if ours.iter().any(|ns| *ns > ALLOWED_NS) {
            " MISSED"
        } else {
            ""
        };
        println!(
            "{case:<40}{:>9.1}{:>9.1}{:>9.1}{:>9.1}{rate:>12.0}{late}",
            ours[0], ours[1], plain[0], plain[1]
        );
        for side in [0, 1] {
            let name = ["decider", "follower"][side];
            rows.push((
                format!("{case}: ns of a record, {name}"),
                ours[side],
                plain[side],
                Some(ALLOWED_NS),
            ));
        }
        rows.push((
            format!("{case}: records/s, both on one core"),
            rate,
            1e9 / (plain[0] + plain[1]),
            None,
        ));
    }
    let memory = rounds[0].memory as f64 / f64::from(count) / 2.0;
    let tag = size_of::<Tag>() as f64;
    println!(
        "memory of a record and side: {tag} bytes in the store, {memory:.2} in the replica at the end"
    );
    println!(
        "bytes of a record: {:.2} by value, {:.2} unchanged",
        rounds[0].bytes[0] as f64 / f64::from(count),
        rounds[0].bytes[1] as f64 / f64::from(count)
    );
    rows.push((
        "memory in the replica, bytes of a record".to_owned(),
        memory,
        0.0,
        None,
    ));
    write(&rows, count)
}

/// Nanoseconds of each node, by phase.
struct Round {
    fill: [u64; 2],
    resync: [u64; 2],
    changes: [u64; 2],
    offer: [u64; 2],
    plain: [u64; 2],
    memory: u64,
    bytes: [u64; 2],
}

impl Round {
    fn run(count: u32) -> Self {
        let mut pair = Pair::new(count);
        let before = resident();
        pair.up();
        let fill = pair.pump();
        let filled = pair.bytes;
        let memory = resident().saturating_sub(before);
        pair.assert_equal();
        pair.nodes[1].resync(0);
        pair.bytes = 0;
        let resync = pair.pump();
        let same = pair.bytes;
        let changes = pair.change();
        pair.assert_equal();
        // the follower forgets its copy: it offers all of it
        for node in 0..2 {
            pair.nodes[node].handle_down(&mut pair.stores[node]);
        }
        pair.nodes[1] = replica(1);
        for entry in pair.stores[1].0.iter_mut().flatten() {
            entry.1 = Tag::default();
        }
        pair.up();
        let offer = pair.pump();
        pair.assert_equal();
        Self {
            fill,
            resync,
            changes,
            offer,
            plain: plain(count),
            memory,
            bytes: [filled, same],
        }
    }
}

struct Pair {
    nodes: [Replica<Flat>; 2],
    stores: [Flat; 2],
    now_ns: u64,
    bytes: u64,
}

fn replica(node: u64) -> Replica<Flat> {
    let mut replica = Replica::new(Config::new(1, 2 - node, ["bench"]));
    if node == 0 {
        replica.handle_groups(["office".to_owned()].into());
    }
    replica
}

impl Pair {
    fn new(count: u32) -> Self {
        let full = (0..count).map(|key| Some((u64::from(key), Tag::default())));
        let empty = vec![None; count as usize];
        Self {
            nodes: [replica(0), replica(1)],
            stores: [Flat(full.collect()), Flat(empty)],
            now_ns: 1_000_000_000,
            bytes: 0,
        }
    }

    fn up(&mut self) {
        for node in 0..2 {
            self.nodes[node].handle_up(&mut self.stores[node]);
        }
    }

    /// Exchanges messages until no node has one; returns the nanoseconds of each node.
    fn pump(&mut self) -> [u64; 2] {
        let mut spent = [0; 2];
        let mut channels = [VecDeque::new(), VecDeque::new()];
        let mut busy = true;
        while busy {
            busy = false;
            self.now_ns += 1_000;
            for side in 0..2 {
                let begun = Instant::now();
                let (node, store) = (&mut self.nodes[side], &mut self.stores[side]);
                while let Some(message) = channels[1 - side].pop_front() {
                    let message: Vec<u8> = message;
                    node.handle_message(self.now_ns, store, &message)
                        .expect("the peer writes messages");
                    busy = true;
                }
                if node
                    .next_timeout(self.now_ns)
                    .is_some_and(|at| at <= self.now_ns)
                {
                    node.handle_timeout(self.now_ns, store);
                }
                while channels[side].len() < DEPTH {
                    let Some(message) = node.poll_message(self.now_ns, store) else {
                        break;
                    };
                    self.bytes += message.len() as u64;
                    channels[side].push_back(message.to_vec());
                    node.sent();
                    busy = true;
                }
                busy |= node.next_timeout(self.now_ns) == Some(self.now_ns);
                spent[side] += begun.elapsed().as_nanos() as u64;
            }
        }
        spent
    }

    fn change(&mut self) -> [u64; 2] {
        let mut spent = [0; 2];
        let count = self.stores[0].0.len() as u32;
        for first in (0..count).step_by(1_000) {
            let begun = Instant::now();
            for key in first..(first + 1_000).min(count) {
                if let Some(entry) = &mut self.stores[0].0[key as usize] {
                    entry.0 += 1;
                }
                self.nodes[0].changed(
                    self.now_ns,
                    &mut self.stores[0],
                    0,
                    &Number(key),
                    Change::Put,
                );
            }
            spent[0] += begun.elapsed().as_nanos() as u64;
            let pumped = self.pump();
            spent = [spent[0] + pumped[0], spent[1] + pumped[1]];
        }
        spent
    }

    fn assert_equal(&self) {
        let values = |side: usize| self.stores[side].0.iter().map(|it| it.map(|it| it.0));
        assert!(values(0).eq(values(1)), "both have the same");
        for side in 0..2 {
            assert_eq!(
                self.nodes[side].in_sync(&self.stores[side]),
                Ok(()),
                "side {side}"
            );
        }
    }
}

/// Sends the same records through the same channel without the protocol.
fn plain(count: u32) -> [u64; 2] {
    let mut spent = [0; 2];
    let from: Vec<Option<(u64, Tag)>> = (0..count)
        .map(|key| Some((u64::from(key), Tag::default())))
        .collect();
    let mut to: Vec<Option<(u64, Tag)>> = vec![None; count as usize];
    let mut next = 0;
    while next < from.len() {
        let begun = Instant::now();
        let mut message = Vec::with_capacity(MESSAGE_MAX);
        while next < from.len() && message.len() + 16 < 16_000 {
            if let Some((value, _)) = from[next] {
                message.extend((next as u32).to_be_bytes());
                message.extend(value.to_be_bytes());
            }
            next += 1;
        }
        let message = message.clone();
        let sent = Instant::now();
        let mut reader = Reader(&message);
        while let (Ok(key), Ok(value)) = (reader.u32(), reader.u64()) {
            to[key as usize] = Some((value, Tag::default()));
        }
        spent = [
            spent[0] + (sent - begun).as_nanos() as u64,
            spent[1] + sent.elapsed().as_nanos() as u64,
        ];
    }
    assert_eq!(from.len(), to.iter().flatten().count());
    spent
}

/// Store of values by key: the cheapest possible one.
struct Flat(Vec<Option<(u64, Tag)>>);

impl Flat {
    fn entry(&mut self, key: &Number) -> Option<&mut (u64, Tag)> {
        self.0.get_mut(key.0 as usize)?.as_mut()
    }

    fn value(&self, key: &Number) -> Option<u64> {
        self.0.get(key.0 as usize)?.map(|it| it.0)
    }
}

impl Store for Flat {
    type Key = Number;
    type Cursor = usize;

    fn incarnation(&self, _table: Table) -> Option<u64> {
        Some(1)
    }

    fn len(&self, _table: Table) -> usize {
        self.0.len()
    }

    fn snapshot(&mut self, _table: Table, at: &mut usize, sink: &mut Sink<'_, Number>) -> Step {
        for (index, entry) in self.0.iter_mut().enumerate().skip(*at) {
            if let Some((value, tag)) = entry {
                let value = *value;
                if !sink.record(&Number(index as u32), tag, Some(value), |out| {
                    out.u64(value)
                }) {
                    return Step::More;
                }
            }
            *at = index + 1;
        }
        Step::Done
    }

    fn encode(&mut self, _table: Table, key: &Number, out: &mut ValueWriter<'_>) -> bool {
        self.value(key).map(|value| out.u64(value)).is_some()
    }

    fn apply(
        &mut self,
        _table: Table,
        key: &Number,
        value: &[u8],
        _token: Token,
    ) -> Result<Applied, Malformed> {
        let value = Reader(value).u64()?;
        match self.0.get_mut(key.0 as usize) {
            Some(Some(entry)) => entry.0 = value,
            Some(place) => *place = Some((value, Tag::default())),
            None => return Ok(Applied::Refused),
        }
        Ok(Applied::Done)
    }

    fn delete(&mut self, _table: Table, key: &Number) {
        if let Some(place) = self.0.get_mut(key.0 as usize) {
            *place = None;
        }
    }

    fn tag(&mut self, _table: Table, key: &Number) -> Option<&mut Tag> {
        self.entry(key).map(|it| &mut it.1)
    }

    fn holds(&self, _table: Table, key: &Number, value: &[u8]) -> bool {
        self.value(key).is_some_and(|it| it.to_be_bytes() == value)
    }

    fn digest(&self, _table: Table, key: &Number) -> Option<u64> {
        self.value(key)
    }

    fn stale(
        &mut self,
        _table: Table,
        stamp: Stamp,
        at: &mut usize,
        limit: usize,
        keys: &mut Vec<Number>,
    ) -> bool {
        let end = (*at + limit).min(self.0.len());
        for index in *at..end {
            if self.0[index].is_some_and(|it| it.1.stamp() != stamp) {
                keys.push(Number(index as u32));
            }
        }
        *at = end;
        end == self.0.len()
    }
}

/// Memory of this process, in bytes.
fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: Option<u64> = statm.split(' ').nth(1).and_then(|it| it.parse().ok());
    pages.unwrap_or(0) * 4096
}

fn write(rows: &[(String, f64, f64, Option<f64>)], count: u32) -> std::io::Result<()> {
    let mut text = String::from("[\n");
    for (index, (case, ours, plain, allowed)) in rows.iter().enumerate() {
        let ratio = if *plain > 0.0 {
            format!("{:.3}", ours / plain)
        } else {
            "null".to_owned()
        };
        let allowed = allowed.map_or("null".to_owned(), |it| format!("{it}"));
        let comma = if index + 1 < rows.len() { "," } else { "" };
        let _ = writeln!(
            text,
            "  {{ \"case\": \"{case}\", \"records\": \"{count}\", \"ours\": {ours:.3}, \"plain\": {plain:.3}, \"ratio\": {ratio}, \"allowed\": {allowed}, \"note\": \"\" }}{comma}"
        );
    }
    text.push_str("]\n");
    let dir = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".to_owned());
    let dir = std::path::Path::new(&dir).join("bench");
    fs::create_dir_all(&dir)?;
    let file = dir.join("replica.json");
    fs::write(&file, text)?;
    println!("{}", file.display());
    Ok(())
}
