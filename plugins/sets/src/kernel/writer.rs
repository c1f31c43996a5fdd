//! Changes sets in transactions. A message contains many elements; a refused message is tried again element by element,
//! so that the refusal names one.

use std::collections::BTreeSet;

use spared_netlink::constants::*;
use spared_netlink::{OUTDATED, Transactions};

use super::Look;
use crate::codec::{self, SetInfo};
use crate::element::{Element, Key, SetName};
use crate::store::{Edit, Part, Written};

/// Maximum number of elements in one message, and of their bytes: an attribute has 64 kB.
const ELEMENTS_MAX: usize = 1_000;
const BYTES_MAX: usize = 30_000;
/// Maximum length in bytes of an element without its key, value and comment.
const OVERHEAD: usize = 112;
/// Maximum number of elements in one transaction, unless they are a list.
const PART_MAX: usize = 5_000;
/// Maximum number of attempts: a refused transaction is tried again in another form.
const ATTEMPTS: usize = 6;
/// Maximum number of attempts that fail because others were faster: their transactions wait while this one runs.
const OUTRUN_MAX: usize = 100;
/// Maximum number of elements in a transaction with a message for each: with more, answers are lost.
const ALONE_MAX: usize = 500;
/// Maximum number of messages that one attempt splits into their elements.
const RESOLVED_MAX: usize = 4;

const ENOENT: i32 = 2;
const EIO: i32 = 5;
const EAGAIN: i32 = 11;

/// Part of a batch, with its set.
pub struct Place<'p> {
    pub name: &'p SetName,
    pub info: &'p SetInfo,
    pub part: &'p Part,
}

/// Changes that are still to be made to a set.
struct Work<'p> {
    place: &'p Place<'p>,
    edits: Vec<&'p Edit>,
    /// Keys that have expired, and keys that get a message of their own.
    over: BTreeSet<&'p Key>,
    alone: BTreeSet<&'p Key>,
    /// All that was there goes by one message: the kernel neither reads nor looks up what it deletes.
    flushes: bool,
}

/// Message of a transaction.
struct Encoded<'p> {
    work: usize,
    edits: Vec<&'p Edit>,
    kind: u16,
    flags: u16,
    payload: Vec<u8>,
}

/// Writes all lists and all small changes in one transaction, and large changes in parts, because a transaction delays
/// all others in the kernel. If the kernel refuses an element, its list is left out as a whole; of other changes, only
/// the element.
pub fn write(
    transactions: &mut Transactions,
    places: &[Place<'_>],
    mut look: impl FnMut() -> Look,
    written: &mut Written,
) {
    let works = places
        .iter()
        .map(|place| Work::new(place, place.part.edits.iter().collect()));
    let is_large = |it: &Work<'_>| !it.place.part.is_list && it.edits.len() > PART_MAX;
    let (large, together): (Vec<_>, Vec<_>) = works.partition(is_large);
    write_together(transactions, together, &mut look, written);
    for work in large {
        let mut edits = work.edits;
        // a new element may need the room of a deleted one, or overlap it
        edits.sort_by_key(|edit| edit.add.is_some());
        for part in edits.chunks(PART_MAX) {
            let works = vec![Work::new(work.place, part.to_vec())];
            write_together(transactions, works, &mut look, written);
        }
    }
}

fn write_together(
    transactions: &mut Transactions,
    mut works: Vec<Work<'_>>,
    look: &mut impl FnMut() -> Look,
    written: &mut Written,
) {
    if let Err(errno) = try_all(transactions, &mut works, look, written) {
        for work in works {
            write_apart(transactions, work, errno, look, written);
        }
    }
}

/// Tries a transaction again, without the refused changes, until it succeeds or the attempts are used up. The error is
/// the last one of the transaction as a whole.
fn try_all(
    transactions: &mut Transactions,
    works: &mut [Work<'_>],
    look: &mut impl FnMut() -> Look,
    written: &mut Written,
) -> Result<(), i32> {
    let (mut last, mut attempts, mut outrun) = (EAGAIN, 0, 0);
    while attempts < ATTEMPTS {
        match attempt(transactions, works, look, written) {
            Ok(true) => return Ok(()),
            Ok(false) => attempts += 1,
            Err(error) => {
                last = error.raw_os_error().unwrap_or(EIO);
                if last == OUTDATED && outrun < OUTRUN_MAX {
                    outrun += 1
                } else {
                    attempts += 1
                }
            }
        }
    }
    Err(last)
}

/// Tries a transaction once; true if it succeeded.
fn attempt(
    transactions: &mut Transactions,
    works: &mut [Work<'_>],
    look: &mut impl FnMut() -> Look,
    written: &mut Written,
) -> std::io::Result<bool> {
    let messages = encode(works);
    let mut generation = None;
    if works.iter().any(Work::is_guarded) {
        // changes from here on make another generation
        let found = look();
        generation = found.generation;
        let is_overtaken =
            |it: &&mut Work<'_>| it.is_guarded() && found.overtaken.contains(&it.place.part.set);
        if works.iter_mut().any(|it| is_overtaken(&it)) {
            drop(messages);
            for work in works.iter_mut().filter(is_overtaken) {
                work.edits.clear();
                written.outdated.push(work.place.part.set);
            }
            return Ok(false);
        }
        // what others have just added stays
        let is_touched =
            |it: &&mut Work<'_>| it.flushes && found.touched.contains(&it.place.part.set);
        if works.iter_mut().any(|it| is_touched(&it)) {
            drop(messages);
            let touched = works.iter_mut().filter(is_touched);
            touched.for_each(|work| work.flushes = false);
            return Ok(false);
        }
    }
    let requests = messages.iter();
    let requests = requests.map(|it| (it.kind, it.flags, it.payload.as_slice()));
    let refusals = transactions.commit_at(generation, requests)?;
    let is_done = refusals.is_empty();
    let (mut refused, mut resolved) = (Vec::new(), 0);
    for (position, errno) in refusals {
        let Some(message) = messages.get(position) else {
            continue;
        };
        let Some(work) = works.get_mut(message.work) else {
            continue;
        };
        match message.edits.as_slice() {
            _ if message.kind == NFT_MSG_NEWSETELEM && errno == ENOENT => work.lose_set(written),
            // the element expired meanwhile, which is as good
            [one] if message.kind == NFT_MSG_DELSETELEM && errno == ENOENT => {
                work.over.insert(&one.key);
            }
            [one] => refused.push((message.work, *one, errno)),
            [] => work.flushes = false,
            _ if resolved == RESOLVED_MAX => {}
            several => {
                resolved += 1;
                work.alone.extend(several.iter().map(|it| &it.key));
            }
        }
    }
    drop(messages);
    for (index, edit, errno) in refused {
        if let Some(work) = works.get_mut(index) {
            work.leave_out(edit, errno, written);
        }
    }
    Ok(is_done)
}

impl<'p> Work<'p> {
    fn new(place: &'p Place<'p>, edits: Vec<&'p Edit>) -> Self {
        Self {
            place,
            edits,
            over: BTreeSet::new(),
            alone: BTreeSet::new(),
            flushes: place.part.is_list && place.part.is_whole && !place.info.dynamic,
        }
    }

    /// True if the list must not be written over changes by others; a change of one element refers to no other element.
    fn is_guarded(&self) -> bool {
        self.place.part.is_list && self.edits.len() > 1
    }

    /// Handles that the set does not exist.
    fn lose_set(&mut self, written: &mut Written) {
        let set = self.place.part.set;
        let keys = self.edits.drain(..).map(|it| (set, it.key.clone(), ENOENT));
        written.refused.extend(keys);
    }

    fn leave_out(&mut self, edit: &'p Edit, errno: i32, written: &mut Written) {
        if self.edits.is_empty() {
            return;
        }
        let part = self.place.part;
        if part.is_list {
            written.rejected.push((part.set, edit.key.clone(), errno));
            return self.edits.clear();
        }
        written.refused.push((part.set, edit.key.clone(), errno));
        self.edits.retain(|it| it.key != edit.key);
    }

    /// Appends the messages of one kind: those that delete, or those that add.
    fn encode(&self, index: usize, kind: u16, messages: &mut Vec<Encoded<'p>>) {
        let deletes = kind == NFT_MSG_DELSETELEM;
        if deletes && self.flushes {
            return messages.push(Encoded {
                work: index,
                edits: Vec::new(),
                kind,
                flags: 0,
                payload: codec::flush(self.place.name),
            });
        }
        let (mut some, mut bytes) = (Vec::new(), 0);
        for edit in &self.edits {
            let is_due = if deletes {
                edit.delete && !self.over.contains(&edit.key)
            } else {
                edit.add.is_some()
            };
            if !is_due {
                continue;
            }
            if self.alone.contains(&edit.key) {
                messages.push(self.message(index, kind, vec![*edit]));
                continue;
            }
            bytes += size(edit);
            some.push(*edit);
            if some.len() == ELEMENTS_MAX || bytes >= BYTES_MAX {
                messages.push(self.message(index, kind, std::mem::take(&mut some)));
                bytes = 0;
            }
        }
        if !some.is_empty() {
            messages.push(self.message(index, kind, some));
        }
    }

    fn message(&self, work: usize, kind: u16, edits: Vec<&'p Edit>) -> Encoded<'p> {
        let deletes = kind == NFT_MSG_DELSETELEM;
        let add = |edit: &'p Edit| -> Option<&'p Element> {
            if deletes { None } else { edit.add.as_ref() }
        };
        let changes = edits.iter().map(|edit| (&edit.key, add(edit)));
        let payload = codec::change(self.place.name, self.place.info, changes);
        Encoded {
            work,
            edits,
            kind,
            flags: if deletes { 0 } else { codec::NLM_F_CREATE },
            payload,
        }
    }
}

/// Messages of a transaction. Deletions come first: a new element may need the room of an old one, or overlap it.
fn encode<'p>(works: &[Work<'p>]) -> Vec<Encoded<'p>> {
    let mut messages = Vec::new();
    for kind in [NFT_MSG_DELSETELEM, NFT_MSG_NEWSETELEM] {
        for (index, work) in works.iter().enumerate() {
            work.encode(index, kind, &mut messages);
        }
    }
    messages
}

fn size(edit: &Edit) -> usize {
    let rest = edit.add.as_ref();
    let rest = rest.map_or(0, |it| it.data.len() + it.comment.len());
    2 * edit.key.0.len() + rest + OVERHEAD
}

/// Handles changes that the kernel refused in one transaction: a list is not written at all, other elements in small
/// transactions.
fn write_apart(
    transactions: &mut Transactions,
    work: Work<'_>,
    errno: i32,
    look: &mut impl FnMut() -> Look,
    written: &mut Written,
) {
    let part = work.place.part;
    if part.is_list {
        return match work.edits.first() {
            Some(_) if errno == OUTDATED => written.outdated.push(part.set),
            Some(first) => written.rejected.push((part.set, first.key.clone(), errno)),
            None => {}
        };
    }
    for edits in work.edits.chunks(ALONE_MAX) {
        let mut some = [Work {
            over: work.over.clone(),
            alone: edits.iter().map(|it| &it.key).collect(),
            ..Work::new(work.place, edits.to_vec())
        }];
        if let Err(errno) = try_all(transactions, &mut some, look, written) {
            let [some] = some;
            let keys = some.edits.into_iter().map(|it| it.key.clone());
            written
                .refused
                .extend(keys.map(|key| (part.set, key, errno)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Handles;
    use crate::element::{Family, Shape};

    /// Deletions and additions in the messages of a list, for a set of that kind.
    fn messages(part: &Part, dynamic: bool) -> Vec<(u16, usize)> {
        let name = SetName {
            family: Family::Inet,
            table: "filter".to_owned(),
            name: "block".to_owned(),
        };
        let info = SetInfo {
            shape: Shape {
                key_len: 4,
                ..Shape::default()
            },
            default_timeout_ms: 0,
            concatenated: false,
            dynamic,
            handles: Handles::default(),
        };
        let place = Place {
            name: &name,
            info: &info,
            part,
        };
        let work = Work::new(&place, part.edits.iter().collect());
        let all = encode(&[work]).into_iter();
        all.map(|it| (it.kind, it.edits.len())).collect()
    }

    #[test]
    fn what_a_list_of_all_leaves_nothing_of_is_flushed_unless_packets_add_to_the_set() {
        let edit = |number: u32, is_added: bool| {
            let key = Key(number.to_be_bytes().into());
            let add = is_added.then(|| Element {
                key: key.clone(),
                life: None,
                data: [].into(),
                comment: [].into(),
                metered: false,
            });
            Edit {
                key,
                delete: !is_added,
                add,
            }
        };
        let edits = (0..300).map(|number| edit(number, number >= 200)).collect();
        let mut part = Part::new(0, edits, true);
        let apart = [(NFT_MSG_DELSETELEM, 200), (NFT_MSG_NEWSETELEM, 100)];
        assert_eq!(messages(&part, false), apart);
        part.is_whole = true;
        let flushed = [(NFT_MSG_DELSETELEM, 0), (NFT_MSG_NEWSETELEM, 100)];
        assert_eq!(messages(&part, false), flushed);
        assert_eq!(messages(&part, true), apart);
    }
}
