//! Messages of nf_tables about sets and elements: attributes of nfnetlink.
//!
//! The reader takes any bytes of the kernel without a panic, and skips those that are not elements.

use std::collections::BTreeMap;

use spared_netlink::constants::*;
use spared_netlink::{
    Message, attributes, find_attribute, put, put_nested, put_text, text, u32_be, u64_be,
};

use crate::element::{CGROUPSV2, Element, Family, IFACE_INDEX, Key, Life, SetName, Shape, parts};
use crate::error::Hindrance;

const NLM_F_ACK: u16 = 4;
pub const NLM_F_CREATE: u16 = 0x400;
/// Maximum length of a comment in bytes: it has to fit a message between the nodes.
const COMMENT_MAX: usize = 255;
/// Expressions of an element that only count packets; others decide if a packet matches.
const NOTES: [&str; 2] = ["counter", "last"];

/// Type of a message, including the subsystem.
pub const fn message_type(kind: u16) -> u16 {
    NFNL_SUBSYS_NFTABLES << 8 | kind
}

/// The kernel's description of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetInfo {
    pub shape: Shape,
    /// Default timeout of elements in ms; 0 if there is none.
    pub default_timeout_ms: u64,
    /// True if keys have several parts: an interval is then one element.
    pub concatenated: bool,
    /// Packets add elements.
    pub dynamic: bool,
    pub handles: Handles,
}

/// Numbers that the kernel gives to a table and a set; a new one to each that is created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handles {
    pub table: u64,
    pub set: u64,
}

/// Request for a set: the answer is NFT_MSG_NEWSET, then an acknowledgement, or ENOENT.
pub fn get_set(set: &SetName) -> Message {
    let mut payload = header(set.family);
    put_text(&mut payload, NFTA_SET_TABLE, &set.table);
    put_text(&mut payload, NFTA_SET_NAME, &set.name);
    get(NFT_MSG_GETSET, &payload)
}

/// Request for a set's table: the answer is NFT_MSG_NEWTABLE, then an acknowledgement, or ENOENT.
pub fn get_table(set: &SetName) -> Message {
    let mut payload = header(set.family);
    put_text(&mut payload, NFTA_TABLE_NAME, &set.table);
    get(NFT_MSG_GETTABLE, &payload)
}

fn get(kind: u16, payload: &[u8]) -> Message {
    Message::request(message_type(kind), NLM_F_ACK, payload)
}

/// Request for the kernel's generation: the answer is NFT_MSG_NEWGEN.
pub fn get_generation() -> Message {
    get(NFT_MSG_GETGEN, &[0; 4])
}

/// Generation in NFT_MSG_NEWGEN: each transaction increments it.
pub fn generation(payload: &[u8]) -> Option<u32> {
    find(payload, NFTA_GEN_ID).and_then(u32_be)
}

/// Payload of a request to dump elements.
pub fn get_elements(set: &SetName) -> Vec<u8> {
    let mut payload = header(set.family);
    put_text(&mut payload, NFTA_SET_ELEM_LIST_TABLE, &set.table);
    put_text(&mut payload, NFTA_SET_ELEM_LIST_SET, &set.name);
    payload
}

/// The payload that deletes all elements.
pub fn flush(set: &SetName) -> Vec<u8> {
    get_elements(set)
}

/// Reads NFT_MSG_NEWSET, which does not contain the table's handle.
///
/// # Errors
/// Elements of such a set are not replicated.
pub fn info(payload: &[u8]) -> Result<SetInfo, Hindrance> {
    let number = |kind| find(payload, kind).and_then(u32_be).unwrap_or(0);
    let (flags, key_type) = (number(NFTA_SET_FLAGS), number(NFTA_SET_KEY_TYPE));
    if let Some(hindrance) = hindrance(flags, key_type, number(NFTA_SET_DATA_TYPE)) {
        return Err(hindrance);
    }
    let timeout = find(payload, NFTA_SET_TIMEOUT).and_then(u64_be);
    Ok(SetInfo {
        shape: Shape {
            key_type,
            key_len: number(NFTA_SET_KEY_LEN),
            data_len: number(NFTA_SET_DATA_LEN),
            timeouts: flags & NFT_SET_TIMEOUT != 0,
            intervals: flags & NFT_SET_INTERVAL != 0,
            metered: has_meter(
                find(payload, NFTA_SET_EXPR),
                find(payload, NFTA_SET_EXPRESSIONS),
            ),
        },
        default_timeout_ms: timeout.unwrap_or(0),
        concatenated: flags & NFT_SET_CONCAT != 0,
        dynamic: flags & NFT_SET_EVAL != 0,
        handles: Handles {
            table: 0,
            set: find(payload, NFTA_SET_HANDLE).and_then(u64_be).unwrap_or(0),
        },
    })
}

/// Reason why elements of such a set can never be replicated.
fn hindrance(flags: u32, key_type: u32, data_type: u32) -> Option<Hindrance> {
    let has = |flag| flags & flag != 0;
    let data_type = if has(NFT_SET_MAP) { data_type } else { 0 };
    if has(NFT_SET_CONSTANT) {
        return Some(Hindrance::Constant);
    }
    if has(NFT_SET_OBJECT) {
        return Some(Hindrance::Objects);
    }
    if data_type == NFT_DATA_VERDICT {
        return Some(Hindrance::Verdicts);
    }
    let mut parts = [key_type, data_type].into_iter().flat_map(parts);
    parts.find_map(|part| match part {
        IFACE_INDEX => Some(Hindrance::Indices),
        CGROUPSV2 => Some(Hindrance::Cgroups),
        _ => None,
    })
}

/// Handle in NFT_MSG_NEWTABLE.
pub fn table_handle(payload: &[u8]) -> u64 {
    let handle = find(payload, NFTA_TABLE_HANDLE).and_then(u64_be);
    handle.unwrap_or(0)
}

/// True if a notification of a table, or of a set (`of_set`), concerns this set.
pub fn is_about(payload: &[u8], set: &SetName, of_set: bool) -> bool {
    let says = |kind, wanted: &str| find(payload, kind).is_some_and(|name| is_text(name, wanted));
    let family = payload.first() == Some(&set.family.number());
    if of_set {
        // the name of the table is the first attribute of both
        family && says(NFTA_SET_TABLE, &set.table) && says(NFTA_SET_NAME, &set.name)
    } else {
        family && says(NFTA_TABLE_NAME, &set.table)
    }
}

/// True if a notification of elements concerns this set.
pub fn is_of_set(payload: &[u8], set: &SetName) -> bool {
    let says = |kind, wanted: &str| find(payload, kind).is_some_and(|it| is_text(it, wanted));
    payload.first() == Some(&set.family.number())
        && says(NFTA_SET_ELEM_LIST_SET, &set.name)
        && says(NFTA_SET_ELEM_LIST_TABLE, &set.table)
}

/// True if an attribute is this text, up to its NUL. Nothing is copied, because there is a notification for each
/// element.
fn is_text(attribute: &[u8], wanted: &str) -> bool {
    let rest = attribute.strip_prefix(wanted.as_bytes());
    rest.is_some_and(|rest| rest.first().is_none_or(|byte| *byte == 0))
}

/// Element as the kernel lists it; for an interval one of its two ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    element: Element,
    ends_interval: bool,
    /// True if it is a complete interval, or cannot be an interval.
    whole: bool,
}

/// Elements in a dump or a notification.
pub fn listed<'p>(payload: &'p [u8], info: &'p SetInfo) -> impl Iterator<Item = Listed> + 'p {
    let list = find(payload, NFTA_SET_ELEM_LIST_ELEMENTS).unwrap_or_default();
    attributes(list).filter_map(|(_, attribute)| one(attribute, info))
}

fn one(attribute: &[u8], info: &SetInfo) -> Option<Listed> {
    let values = by_kind(attribute);
    let value = |wanted: u16| values.get(usize::from(wanted)).copied().flatten();
    let number = |wanted| value(wanted).and_then(u64_be);
    let flags = value(NFTA_SET_ELEM_FLAGS).map_or(Some(0), u32_be)?;
    let catch_all = flags & NFT_SET_ELEM_CATCHALL != 0;
    let [from, to] = [NFTA_SET_ELEM_KEY, NFTA_SET_ELEM_KEY_END].map(|wanted| {
        let key = value(wanted).and_then(data_value);
        key.filter(|key| key.len() == info.shape.key_len as usize)
    });
    if from.is_none() != catch_all || (to.is_some() && !info.shape.intervals) {
        return None;
    }
    let comment = value(NFTA_SET_ELEM_USERDATA).filter(|it| it.len() <= COMMENT_MAX);
    let life = number(NFTA_SET_ELEM_EXPIRATION).map(|left_ms| {
        let timeout_ms = number(NFTA_SET_ELEM_TIMEOUT);
        life(timeout_ms, left_ms, info.default_timeout_ms)
    });
    Some(Listed {
        element: Element {
            key: Key::joined(from.unwrap_or_default(), to.unwrap_or_default()),
            life,
            data: value(NFTA_SET_ELEM_DATA)
                .and_then(data_value)
                .unwrap_or_default()
                .into(),
            comment: comment.unwrap_or_default().into(),
            metered: !info.shape.metered
                && has_meter(value(NFTA_SET_ELEM_EXPR), value(NFTA_SET_ELEM_EXPRESSIONS)),
        },
        ends_interval: flags & NFT_SET_ELEM_INTERVAL_END != 0,
        whole: !info.shape.intervals || to.is_some() || catch_all,
    })
}

/// True if an expression is a meter. The kernel sends one expression alone, and several as a list.
fn has_meter(one: Option<&[u8]>, several: Option<&[u8]>) -> bool {
    let several = several.into_iter().flat_map(attributes);
    let mut all = one.into_iter().chain(several.map(|(_, it)| it));
    all.any(is_meter)
}

/// True if an expression decides by what it has counted.
fn is_meter(expression: &[u8]) -> bool {
    let name = find_attribute(expression, NFTA_EXPR_NAME).map(text);
    name.is_none_or(|name| !NOTES.contains(&&*name))
}

// Lifetime of an element: the kernel omits a timeout that equals the set's default.
fn life(timeout_ms: Option<u64>, left_ms: u64, default_ms: u64) -> Life {
    Life {
        timeout_ms: timeout_ms.unwrap_or(default_ms).max(left_ms).max(1),
        left_ms,
    }
}

/// Joins the ends of intervals, which the kernel lists one by one and in any order.
#[derive(Debug, Default)]
pub struct Intervals {
    /// Ends by key; if one interval ends where another begins, the end comes first.
    ends: BTreeMap<(Key, bool), Element>,
}

impl Intervals {
    /// Returns the element, unless it is one end of an interval: intervals come from [`finish`](Self::finish).
    pub fn take(&mut self, listed: Listed) -> Option<Element> {
        if listed.whole {
            return Some(listed.element);
        }
        let place = (listed.element.key.clone(), !listed.ends_interval);
        self.ends.insert(place, listed.element);
        None
    }

    /// Ends a dump, and returns its intervals.
    pub fn finish(&mut self) -> Vec<Element> {
        let mut whole: Vec<Element> = Vec::new();
        let mut open: Option<Element> = None;
        for ((end, begins), element) in std::mem::take(&mut self.ends) {
            if begins {
                whole.extend(open.replace(element));
            } else if let Some(mut begun) = open.take() {
                begun.key = Key::joined(&begun.key.0, &end.0);
                whole.push(begun);
            }
        }
        // an interval up to the last address has no end
        whole.extend(open);
        whole
    }
}

/// Payload that adds elements, or deletes their keys.
pub fn change<'e>(
    set: &SetName,
    info: &SetInfo,
    changes: impl Iterator<Item = (&'e Key, Option<&'e Element>)>,
) -> Vec<u8> {
    let mut payload = get_elements(set);
    put_nested(&mut payload, NFTA_SET_ELEM_LIST_ELEMENTS, |list| {
        for (key, add) in changes {
            put_change(list, info, key, add);
        }
    });
    payload
}

fn put_change(list: &mut Vec<u8>, info: &SetInfo, key: &Key, add: Option<&Element>) {
    let key_len = info.shape.key_len as usize;
    let (from, to) = key.0.split_at(key_len.min(key.0.len()));
    // intervals of keys with parts have both ends in one element, others are two elements
    let two = !to.is_empty() && !info.concatenated;
    put_nested(list, LIST_ELEMENT, |out| {
        put_key(out, NFTA_SET_ELEM_KEY, from);
        if !to.is_empty() && !two {
            put_key(out, NFTA_SET_ELEM_KEY_END, to);
        }
        if from.is_empty() {
            let flags = NFT_SET_ELEM_CATCHALL.to_be_bytes();
            put(out, NFTA_SET_ELEM_FLAGS, &flags);
        }
        if let Some(element) = add {
            put_rest(out, info, element);
        }
    });
    if two {
        put_nested(list, LIST_ELEMENT, |out| {
            put_key(out, NFTA_SET_ELEM_KEY, to);
            let flags = NFT_SET_ELEM_INTERVAL_END.to_be_bytes();
            put(out, NFTA_SET_ELEM_FLAGS, &flags);
        });
    }
}

/// Type of list elements in nf_tables (NFTA_LIST_ELEM).
const LIST_ELEMENT: u16 = 1;

fn put_rest(out: &mut Vec<u8>, info: &SetInfo, element: &Element) {
    let timeout_ms = element.life.map_or(0, |life| life.timeout_ms);
    // 0 means no timeout if the set has a default
    if timeout_ms > 0 || info.default_timeout_ms > 0 {
        put(out, NFTA_SET_ELEM_TIMEOUT, &timeout_ms.to_be_bytes());
    }
    if let Some(life) = element.life {
        put(out, NFTA_SET_ELEM_EXPIRATION, &life.left_ms.to_be_bytes());
    }
    if !element.data.is_empty() {
        put_key(out, NFTA_SET_ELEM_DATA, &element.data);
    }
    if !element.comment.is_empty() {
        put(out, NFTA_SET_ELEM_USERDATA, &element.comment);
    }
}

/// Header struct nfgenmsg.
fn header(family: Family) -> Vec<u8> {
    vec![family.number(), 0, 0, 0]
}

fn put_key(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    if !value.is_empty() {
        put_nested(out, kind, |inner| put(inner, NFTA_DATA_VALUE, value));
    }
}

/// Attribute of a message, after struct nfgenmsg.
fn find(payload: &[u8], wanted: u16) -> Option<&[u8]> {
    find_attribute(payload.get(4..)?, wanted)
}

/// First attribute of each kind in an element.
fn by_kind(bytes: &[u8]) -> [Option<&[u8]>; NFTA_SET_ELEM_EXPRESSIONS as usize + 1] {
    let mut values = [None; NFTA_SET_ELEM_EXPRESSIONS as usize + 1];
    for (kind, value) in attributes(bytes) {
        if let Some(place) = values.get_mut(usize::from(kind)) {
            place.get_or_insert(value);
        }
    }
    values
}

fn data_value(attribute: &[u8]) -> Option<&[u8]> {
    find_attribute(attribute, NFTA_DATA_VALUE)
}

#[cfg(test)]
mod tests;
