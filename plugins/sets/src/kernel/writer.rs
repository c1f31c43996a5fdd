//! Changes sets in transactions.

use std::collections::BTreeMap;

use spared_netlink::Transactions;
use spared_netlink::constants::*;

use crate::codec::{self, SetInfo};
use crate::element::{Element, Key, SetName};
use crate::store::Edit;

/// Edits in one transaction: each is one or two messages, each of which may be refused.
const EDITS_MAX: usize = 500;
/// A transaction that was refused in part is tried again without that part.
const ATTEMPTS: usize = 4;

const ENOENT: i32 = 2;
const EIO: i32 = 5;
const EAGAIN: i32 = 11;

/// Changes a set; returns what was refused, by key and errno.
pub fn write(
    transactions: &mut Transactions,
    name: &SetName,
    info: &SetInfo,
    edits: &[Edit],
) -> Vec<(Key, i32)> {
    let mut refused = Vec::new();
    for part in edits.chunks(EDITS_MAX) {
        write_part(transactions, name, info, part, &mut refused);
    }
    refused
}

fn write_part(
    transactions: &mut Transactions,
    name: &SetName,
    info: &SetInfo,
    edits: &[Edit],
    refused: &mut Vec<(Key, i32)>,
) {
    let mut part: Vec<Edit> = edits.to_vec();
    let mut last = EAGAIN;
    for _ in 0..ATTEMPTS {
        let messages = encode(name, info, &part);
        let requests = messages
            .iter()
            .map(|message| (message.kind, message.flags, message.payload.as_slice()));
        match transactions.commit(requests) {
            Ok(refusals) if refusals.is_empty() => return,
            Ok(refusals) => {
                let refusals = refusals
                    .into_iter()
                    .filter_map(|(position, errno)| Some((messages.get(position)?, errno)));
                leave_out(&mut part, refusals, refused);
            }
            Err(error) => last = error.raw_os_error().unwrap_or(EIO),
        }
    }
    refused.extend(part.into_iter().map(|edit| (edit.key, last)));
}

struct Encoded {
    edit: usize,
    kind: u16,
    flags: u16,
    payload: Vec<u8>,
}

fn encode(name: &SetName, info: &SetInfo, edits: &[Edit]) -> Vec<Encoded> {
    let mut messages = Vec::with_capacity(edits.len());
    for (position, edit) in edits.iter().enumerate() {
        let mut put = |kind, flags, add: Option<&Element>| {
            messages.push(Encoded {
                edit: position,
                kind,
                flags,
                payload: codec::change(name, info, &edit.key, add),
            });
        };
        if edit.delete {
            put(NFT_MSG_DELSETELEM, 0, None);
        }
        if let Some(element) = &edit.add {
            put(NFT_MSG_NEWSETELEM, codec::NLM_F_CREATE, Some(element));
        }
    }
    messages
}

/// Takes out of a transaction what was refused, so that the rest can happen.
fn leave_out<'m>(
    part: &mut Vec<Edit>,
    refusals: impl Iterator<Item = (&'m Encoded, i32)>,
    refused: &mut Vec<(Key, i32)>,
) {
    let mut whole = BTreeMap::new();
    for (message, errno) in refusals {
        if message.kind == NFT_MSG_DELSETELEM && errno == ENOENT {
            // it ended meanwhile, which is as good
            if let Some(edit) = part.get_mut(message.edit) {
                edit.delete = false;
            }
        } else {
            whole.insert(message.edit, errno);
        }
    }
    let mut position = 0;
    part.retain(|edit| {
        let errno = whole.get(&position);
        position += 1;
        refused.extend(errno.map(|errno| (edit.key.clone(), *errno)));
        errno.is_none() && (edit.delete || edit.add.is_some())
    });
}
