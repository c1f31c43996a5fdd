//! Encodes requests that change the kernel's tables.

use std::net::IpAddr;

use spared_netlink::attributes;
use spared_netlink::constants::*;
use zeroize::Zeroize;

use super::{AF_INET, AF_INET6, append, sa_field};
use crate::codec::body::{SA_LEN, split_at_reqid};
use crate::engine::Change;
use crate::sa::{Life, Mark, Policy, PolicyId, Replay, ReplayForm, Sa, SaId};

const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;

/// Values that differ by node, and a source of random keys.
pub trait WriteContext {
    fn index(&mut self, interface: &str) -> Option<u32>;
    fn wall_s(&mut self) -> u64;
    fn random(&mut self, bytes: &mut [u8]);
}

/// A netlink request: its type, its flags, and the payload after the header.
pub struct Request {
    pub kind: u16,
    pub flags: u16,
    pub payload: Vec<u8>,
}

impl Drop for Request {
    fn drop(&mut self) {
        // no bytes were written beyond its length, so this erases all
        self.payload.as_mut_slice().zeroize();
    }
}

impl Request {
    fn new(kind: u16, flags: u16, payload: Vec<u8>) -> Self {
        Self {
            kind,
            flags,
            payload,
        }
    }
}

/// Returns the requests of a change: one, or two of which the first one's result counts.
pub fn requests(change: &Change, context: &mut impl WriteContext) -> (Request, Option<Request>) {
    let one = match change {
        Change::AddSa(sa, threshold) => {
            let mut bytes = add(sa, context);
            append(&mut bytes, XFRMA_REPLAY_THRESH, &threshold.to_ne_bytes());
            Request::new(XFRM_MSG_NEWSA, NLM_F_CREATE | NLM_F_EXCL, bytes)
        }
        Change::DeleteSa(id) => deletion(id),
        Change::AddPolicy(policy) => put(
            policy,
            XFRM_MSG_NEWPOLICY,
            NLM_F_CREATE | NLM_F_EXCL,
            context,
        ),
        Change::PutPolicy(policy) | Change::ParkPolicy(policy) => put(
            policy,
            XFRM_MSG_UPDPOLICY,
            NLM_F_CREATE | NLM_F_REPLACE,
            context,
        ),
        Change::DeletePolicy(id) => Request::new(XFRM_MSG_DELPOLICY, 0, delete_policy(id, context)),
        Change::SetReplay(id, replay) => {
            let (kind, value) = replay_value(replay);
            Request::new(XFRM_MSG_NEWAE, NLM_F_REPLACE, event(id, kind, &value))
        }
        Change::SetThreshold(id, packets) => {
            let value = packets.to_ne_bytes();
            Request::new(
                XFRM_MSG_NEWAE,
                NLM_F_REPLACE,
                event(id, XFRMA_REPLAY_THRESH, &value),
            )
        }
        Change::Probe(sa) => return probe(sa, context),
    };
    (one, None)
}

/// Returns the request that deletes an SA.
pub fn deletion(id: &SaId) -> Request {
    Request::new(XFRM_MSG_DELSA, 0, delete_sa(id))
}

/// Encodes an SA with its numbers and ages: NEWSA sets them at once, so that an SA never begins at zero.
fn add(sa: &Sa, context: &mut impl WriteContext) -> Vec<u8> {
    const MORE: usize = 1024;
    // the vector never grows, which would leave keys in freed memory
    let mut bytes = Vec::with_capacity(sa.body.bytes().len() + MORE);
    let (head, tail) = split_at_reqid(&sa.body);
    bytes.extend_from_slice(head);
    bytes.extend(sa.reqid.to_ne_bytes());
    bytes.extend_from_slice(tail);
    put_interface(&mut bytes, sa.interfaces.selector.as_deref(), context);
    let (kind, value) = replay_value(&sa.replay);
    append(&mut bytes, kind, &value);
    append(&mut bytes, XFRMA_LTIME_VAL, &life_value(&sa.life, context));
    if let Some((name, flags)) = &sa.interfaces.offload {
        match context.index(name) {
            Some(index) => {
                let mut value = [0; 8];
                value[..4].copy_from_slice(&index.to_ne_bytes());
                value[4] = *flags;
                append(&mut bytes, XFRMA_OFFLOAD_DEV, &value);
            }
            None => log::warn!(
                "{:08x}: there is no interface {name:?} here: the SA is not offloaded",
                sa.id.spi
            ),
        }
    }
    bytes
}

fn put(policy: &Policy, kind: u16, flags: u16, context: &mut impl WriteContext) -> Request {
    let mut bytes = policy.body.bytes().to_vec();
    put_interface(&mut bytes, policy.id.interface.text(), context);
    Request::new(kind, flags, bytes)
}

/// Writes the number of the interface into the selector, which is the first field of both structures.
fn put_interface(bytes: &mut [u8], name: Option<&str>, context: &mut impl WriteContext) {
    let Some(name) = name else {
        return;
    };
    // an interface that is not here receives no packets: the kernel's numbers are small
    let index = context.index(name).unwrap_or(i32::MAX as u32);
    if let Some(field) = bytes.get_mut(sa_field::INTERFACE) {
        field.copy_from_slice(&index.to_ne_bytes());
    }
}

/// Encodes the replay state in the form that the SA has: the kernel accepts only that one, and reports no error for the
/// other.
fn replay_value(replay: &Replay) -> (u16, Vec<u8>) {
    let low = |number: u64| number as u32;
    let high = |number: u64| (number >> 32) as u32;
    match &replay.form {
        ReplayForm::Legacy(bitmap) => {
            let words = [low(replay.oseq), low(replay.seq), *bitmap];
            (XFRMA_REPLAY_VAL, words_of(&words))
        }
        ReplayForm::Extended(bitmap) => {
            let mut words = vec![
                bitmap.len() as u32,
                low(replay.oseq),
                low(replay.seq),
                high(replay.oseq),
                high(replay.seq),
                replay.window,
            ];
            words.extend(bitmap);
            (XFRMA_REPLAY_ESN_VAL, words_of(&words))
        }
    }
}

fn words_of(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// Encodes `struct xfrm_lifetime_cur`, with times of this node's clock.
fn life_value(life: &Life, context: &mut impl WriteContext) -> Vec<u8> {
    let wall_s = context.wall_s();
    let since = |age_s: u64| wall_s.saturating_sub(age_s);
    let used = life.used_s.map_or(0, since);
    let longs = [life.bytes, life.packets, since(life.age_s), used];
    longs.iter().flat_map(|long| long.to_ne_bytes()).collect()
}

/// Encodes `struct xfrm_usersa_id`, and the mark, without which the kernel does not find an SA with a mark.
fn delete_sa(id: &SaId) -> Vec<u8> {
    let mut bytes = identity(id);
    put_mark(&mut bytes, id.mark);
    bytes
}

fn identity(id: &SaId) -> Vec<u8> {
    let mut bytes = vec![0; 24];
    put_address(&mut bytes[..16], id.destination);
    bytes[16..20].copy_from_slice(&id.spi.to_be_bytes());
    bytes[20..22].copy_from_slice(&family(id.destination).to_ne_bytes());
    bytes[22] = id.protocol;
    bytes
}

/// Encodes `struct xfrm_aevent_id`.
fn event(id: &SaId, kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = identity(id);
    bytes.resize(48, 0);
    append(&mut bytes, kind, value);
    put_mark(&mut bytes, id.mark);
    bytes
}

/// Encodes `struct xfrm_userpolicy_id`: by selector, as each node has its own indices.
fn delete_policy(id: &PolicyId, context: &mut impl WriteContext) -> Vec<u8> {
    let mut bytes = id.selector.to_vec();
    put_interface(&mut bytes, id.interface.text(), context);
    bytes.resize(64, 0);
    bytes[60] = id.direction;
    if id.kind != 0 {
        append(&mut bytes, XFRMA_POLICY_TYPE, &[id.kind, 0, 0, 0, 0, 0]);
    }
    put_mark(&mut bytes, id.mark);
    if id.if_id != 0 {
        append(&mut bytes, XFRMA_IF_ID, &id.if_id.to_ne_bytes());
    }
    bytes
}

fn put_mark(bytes: &mut Vec<u8>, mark: Mark) {
    if mark != Mark::default() {
        append(bytes, XFRMA_MARK, &words_of(&[mark.value, mark.mask]));
    }
}

/// Returns requests that add the SA with random keys, between addresses of RFC 5737 or RFC 3849, and delete it.
fn probe(sa: &Sa, context: &mut impl WriteContext) -> (Request, Option<Request>) {
    let mut spi = [0; 4];
    context.random(&mut spi);
    let mut sa = sa.clone();
    sa.interfaces.offload = None;
    sa.id = SaId {
        destination: documentation(sa.id.destination, 1),
        spi: u32::from_be_bytes(spi) | 0x8000_0000,
        ..sa.id
    };
    let mut bytes = add(&sa, context);
    put_address(&mut bytes[sa_field::DESTINATION], sa.id.destination);
    put_address(
        &mut bytes[sa_field::SOURCE],
        documentation(sa.id.destination, 2),
    );
    bytes[sa_field::SPI].copy_from_slice(&sa.id.spi.to_be_bytes());
    for key in key_ranges(&bytes) {
        context.random(&mut bytes[key]);
    }
    let flags = NLM_F_CREATE | NLM_F_EXCL;
    let add = Request::new(XFRM_MSG_NEWSA, flags, bytes);
    let delete = Request::new(XFRM_MSG_DELSA, 0, delete_sa(&sa.id));
    (add, Some(delete))
}

fn documentation(like: IpAddr, host: u8) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::from([192, 0, 2, host]),
        IpAddr::V6(_) => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(host)]),
    }
}

/// Returns true if the kernel hides keys, as a locked-down kernel does.
pub fn hides_keys(sa: &Sa) -> bool {
    let bytes = sa.body.bytes();
    let mut keys = key_ranges(bytes).into_iter().peekable();
    let some = keys.peek().is_some();
    some && keys.all(|range| bytes[range].iter().all(|byte| *byte == 0))
}

/// Returns the offsets of keys in an SA's bytes; no range is empty.
fn key_ranges(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let attrs = bytes.get(SA_LEN..).unwrap_or_default();
    let mut ranges = Vec::new();
    let mut at = SA_LEN;
    for (kind, value) in attributes(attrs) {
        let key_at = match kind {
            XFRMA_ALG_AUTH | XFRMA_ALG_CRYPT => 68,
            XFRMA_ALG_AEAD | XFRMA_ALG_AUTH_TRUNC => 72,
            _ => usize::MAX,
        };
        if value.len() > key_at {
            ranges.push(at + 4 + key_at..at + 4 + value.len());
        }
        at += (4 + value.len()).next_multiple_of(4);
    }
    ranges
}

fn put_address(out: &mut [u8], address: IpAddr) {
    out.fill(0);
    match address {
        IpAddr::V4(ip) => out[..4].copy_from_slice(&ip.octets()),
        IpAddr::V6(ip) => out.copy_from_slice(&ip.octets()),
    }
}

fn family(address: IpAddr) -> u16 {
    match address {
        IpAddr::V4(_) => AF_INET,
        IpAddr::V6(_) => AF_INET6,
    }
}

/// Returns the bytes of an ESP tunnel to an IPv4 address with these algorithms: attribute, name, and lengths in bits,
/// of which the first is the key's.
pub fn plain_sa(destination: IpAddr, algorithms: &[(u16, &str, &[u32])]) -> Vec<u8> {
    const ESP: u8 = 50;
    const TUNNEL: u8 = 1;
    let mut bytes = vec![0; SA_LEN];
    put_address(&mut bytes[sa_field::DESTINATION], destination);
    bytes[sa_field::PROTOCOL] = ESP;
    bytes[sa_field::FAMILY].copy_from_slice(&family(destination).to_ne_bytes());
    bytes[sa_field::MODE] = TUNNEL;
    for (kind, name, bits) in algorithms {
        let mut value = name.as_bytes().to_vec();
        value.resize(64, 0);
        value.extend(words_of(bits));
        let key_bits = bits.first().copied().unwrap_or(0);
        value.resize(value.len() + key_bits as usize / 8, 0);
        append(&mut bytes, *kind, &value);
    }
    bytes
}
