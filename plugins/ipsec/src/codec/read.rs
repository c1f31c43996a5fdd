//! Parses messages of the kernel: notifications and entries of a dump.

use std::net::IpAddr;
use std::ops::Range;

use spared_netlink::constants::*;
use spared_netlink::{attributes, u32_of};

use super::{AF_INET, AF_INET6, ALGORITHMS, append, policy_field, sa_field};
use crate::codec::body::{self, POLICY_LEN, SA_LEN};
use crate::engine::{Deleter, XfrmEvent};
use crate::sa::{
    Body, InterfaceName, Interfaces, Life, Mark, Policy, Replay, ReplayForm, Sa, SaId,
};

/// Values that differ by node: interface names, and the clock from which ages are computed.
pub trait ReadContext {
    fn interface(&mut self, index: u32) -> Option<String>;
    /// Returns this node's time of day in s, as the kernel has it.
    fn wall_s(&mut self) -> u64;
}

const POLICY_DIRECTIONS: Range<u8> = 0..3;

/// Parses a message; None if it is not relevant here or malformed.
///
/// `port` is from the header of the request, or 0 if a timer caused the event: IKE daemons use their process id,
/// `ip xfrm` uses 0.
pub fn read(
    kind: u16,
    port: u32,
    payload: &[u8],
    context: &mut impl ReadContext,
) -> Option<XfrmEvent> {
    let by = match port {
        0 => Deleter::Other,
        _ => Deleter::Daemon,
    };
    match kind {
        XFRM_MSG_NEWSA | XFRM_MSG_UPDSA => sa(payload, context).map(XfrmEvent::Sa),
        XFRM_MSG_DELSA => sa_gone(payload, by),
        XFRM_MSG_EXPIRE => expired(payload),
        XFRM_MSG_NEWAE => counters(payload, context),
        XFRM_MSG_NEWPOLICY | XFRM_MSG_UPDPOLICY => policy(payload, context).map(XfrmEvent::Policy),
        XFRM_MSG_DELPOLICY => policy_gone(payload, by, context),
        XFRM_MSG_POLEXPIRE => policy_expired(payload, context),
        XFRM_MSG_FLUSHSA | XFRM_MSG_FLUSHPOLICY => Some(XfrmEvent::Flushed(by)),
        _ => None,
    }
}

fn sa(payload: &[u8], context: &mut impl ReadContext) -> Option<Sa> {
    let (head, attrs) = payload.split_at_checked(SA_LEN)?;
    // an SA under negotiation has no keys yet
    if !attributes(attrs).any(|(kind, _)| ALGORITHMS.contains(&kind)) {
        return None;
    }
    // the vector never grows, which would leave keys in freed memory
    let mut bytes = Vec::with_capacity(payload.len());
    bytes.extend_from_slice(head);
    let selector = take_interface(&mut bytes, sa_field::INTERFACE, context)?;
    let used = life(head.get(sa_field::USED)?, context)?;
    for range in [sa_field::USED, sa_field::TRANSIENT] {
        bytes.get_mut(range)?.fill(0);
    }
    let mut interfaces = Interfaces {
        selector: selector.text().map(str::to_owned),
        offload: None,
    };
    let mut replay = Replay::default();
    for (kind, value) in attributes(attrs) {
        match kind {
            XFRMA_REPLAY_VAL => replay = legacy(value)?,
            XFRMA_REPLAY_ESN_VAL => replay = extended(value)?,
            XFRMA_OFFLOAD_DEV => interfaces.offload = offload(value, context),
            XFRMA_LTIME_VAL | XFRMA_REPLAY_THRESH | XFRMA_ETIMER_THRESH | XFRMA_MTIMER_THRESH
            | XFRMA_LASTUSED | XFRMA_PAD => {}
            kind => append(&mut bytes, kind, value),
        }
    }
    if let ReplayForm::Legacy(_) = replay.form {
        replay.window = u32::from(*head.get(sa_field::WINDOW)?);
    }
    let sa = body::parse_sa(Body::new(bytes)).ok()?;
    Some(Sa {
        interfaces,
        replay,
        life: used,
        ..sa
    })
}

fn policy(payload: &[u8], context: &mut impl ReadContext) -> Option<Policy> {
    let (head, attrs) = payload.split_at_checked(POLICY_LEN)?;
    if !POLICY_DIRECTIONS.contains(head.get(policy_field::DIRECTION)?) {
        return None; // a socket's own policy
    }
    let mut bytes = head.to_vec();
    let interface = take_interface(&mut bytes, policy_field::INTERFACE, context)?;
    for range in [policy_field::USED, policy_field::INDEX] {
        bytes.get_mut(range)?.fill(0);
    }
    for (kind, value) in attributes(attrs) {
        if ![XFRMA_OFFLOAD_DEV, XFRMA_LASTUSED, XFRMA_PAD].contains(&kind) {
            append(&mut bytes, kind, value);
        }
    }
    let mut policy = body::parse_policy(Body::new(bytes)).ok()?;
    policy.id.interface = interface;
    Some(policy)
}

/// Removes the interface number and returns its name. None if the name is unknown: without it the selector would be
/// broader.
fn take_interface(
    bytes: &mut [u8],
    range: Range<usize>,
    context: &mut impl ReadContext,
) -> Option<InterfaceName> {
    let place = bytes.get_mut(range)?;
    let index = u32_of(place)?;
    place.fill(0);
    match index {
        0 => Some(InterfaceName::default()),
        index => InterfaceName::new(&context.interface(index)?),
    }
}

/// Parses `struct xfrm_user_offload`: an interface and flags.
fn offload(value: &[u8], context: &mut impl ReadContext) -> Option<(String, u8)> {
    let index = u32_of(value.get(..4)?)?;
    Some((context.interface(index)?, *value.get(4)?))
}

/// Parses `struct xfrm_replay_state`.
fn legacy(value: &[u8]) -> Option<Replay> {
    let word = |at: usize| u32_of(value.get(at..at + 4)?);
    Some(Replay {
        oseq: word(0)?.into(),
        seq: word(4)?.into(),
        window: 0,
        form: ReplayForm::Legacy(word(8)?),
    })
}

/// Parses `struct xfrm_replay_state_esn`.
fn extended(value: &[u8]) -> Option<Replay> {
    let word = |at: usize| u32_of(value.get(at..at + 4)?);
    let long = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low);
    let words = value.get(24..)?.chunks_exact(4).filter_map(u32_of);
    let bitmap: Vec<u32> = words.collect();
    if bitmap.len() != word(0)? as usize {
        return None;
    }
    Some(Replay {
        oseq: long(word(4)?, word(12)?),
        seq: long(word(8)?, word(16)?),
        window: word(20)?,
        form: ReplayForm::Extended(bitmap),
    })
}

/// Parses `struct xfrm_lifetime_cur`.
fn life(value: &[u8], context: &mut impl ReadContext) -> Option<Life> {
    let long = |at: usize| {
        let bytes = value.get(at..at + 8)?.try_into().ok()?;
        Some(u64::from_ne_bytes(bytes))
    };
    let wall_s = context.wall_s();
    let used = long(24)?;
    Some(Life {
        bytes: long(0)?,
        packets: long(8)?,
        age_s: wall_s.saturating_sub(long(16)?),
        used_s: (used != 0).then(|| wall_s.saturating_sub(used)),
    })
}

/// Parses `struct xfrm_usersa_id`, and a mark among the attributes.
fn identity(head: &[u8], attrs: &[u8]) -> Option<SaId> {
    let family = u16::from_ne_bytes(head.get(20..22)?.try_into().ok()?);
    Some(SaId {
        destination: address(family, head)?,
        spi: u32::from_be_bytes(head.get(16..20)?.try_into().ok()?),
        protocol: *head.get(22)?,
        mark: mark(attrs),
    })
}

fn sa_gone(payload: &[u8], by: Deleter) -> Option<XfrmEvent> {
    let (head, attrs) = payload.split_at_checked(24)?;
    Some(XfrmEvent::SaGone(identity(head, attrs)?, by))
}

/// Returns the last numbers of an SA from the event of its deletion: the SA sends nothing afterwards.
pub fn last_numbers(kind: u16, payload: &[u8]) -> Option<(SaId, Replay)> {
    let (head, attrs) = payload.split_at_checked(24)?;
    let replay = attributes(attrs).find_map(|(kind, value)| match kind {
        XFRMA_REPLAY_VAL => legacy(value),
        XFRMA_REPLAY_ESN_VAL => extended(value),
        _ => None,
    });
    let id = identity(head, attrs)?;
    Some((id, replay?)).filter(|_| kind == XFRM_MSG_DELSA)
}

/// Parses `struct xfrm_user_expire`: an SA, and whether it was deleted.
fn expired(payload: &[u8]) -> Option<XfrmEvent> {
    let head = payload.get(..SA_LEN)?;
    let hard = *payload.get(SA_LEN)? != 0;
    let attrs = payload.get(SA_LEN + 8..).unwrap_or_default();
    let family = u16::from_ne_bytes(head.get(sa_field::FAMILY)?.try_into().ok()?);
    let id = SaId {
        destination: address(family, head.get(sa_field::DESTINATION)?)?,
        spi: u32::from_be_bytes(head.get(sa_field::SPI)?.try_into().ok()?),
        protocol: *head.get(sa_field::PROTOCOL)?,
        mark: mark(attrs),
    };
    hard.then_some(XfrmEvent::SaGone(id, Deleter::Other))
}

/// Parses `struct xfrm_aevent_id`: an SA's identity, its source, flags, reqid.
fn counters(payload: &[u8], context: &mut impl ReadContext) -> Option<XfrmEvent> {
    let (head, attrs) = payload.split_at_checked(48)?;
    let (mut replay, mut used) = (None, None);
    for (kind, value) in attributes(attrs) {
        match kind {
            XFRMA_REPLAY_VAL => replay = Some(legacy(value)?),
            XFRMA_REPLAY_ESN_VAL => replay = Some(extended(value)?),
            XFRMA_LTIME_VAL => used = life(value, context),
            _ => {}
        }
    }
    Some(XfrmEvent::Counters(identity(head, attrs)?, replay?, used))
}

/// Parses `struct xfrm_userpolicy_id`, and the policy itself as an attribute.
fn policy_gone(payload: &[u8], by: Deleter, context: &mut impl ReadContext) -> Option<XfrmEvent> {
    let attrs = payload.get(64..)?;
    let mut found = attributes(attrs).filter(|(kind, _)| *kind == XFRMA_POLICY);
    gone(found.next()?.1, attrs, by, context)
}

/// Parses `struct xfrm_user_polexpire`: a policy, and whether it was deleted.
fn policy_expired(payload: &[u8], context: &mut impl ReadContext) -> Option<XfrmEvent> {
    let hard = *payload.get(POLICY_LEN)? != 0;
    let seen = gone(
        payload,
        payload.get(POLICY_LEN + 8..)?,
        Deleter::Other,
        context,
    );
    seen.filter(|_| hard)
}

fn gone(
    policy: &[u8],
    attrs: &[u8],
    by: Deleter,
    context: &mut impl ReadContext,
) -> Option<XfrmEvent> {
    let mut bytes = policy.get(..POLICY_LEN)?.to_vec();
    if !POLICY_DIRECTIONS.contains(bytes.get(policy_field::DIRECTION)?) {
        return None;
    }
    // if the interface has gone, only a reading can tell
    let interface = take_interface(&mut bytes, policy_field::INTERFACE, context);
    bytes.extend_from_slice(attrs);
    let mut policy = body::parse_policy(Body::new(bytes)).ok()?;
    policy.id.interface = match interface {
        Some(interface) => interface,
        None => return Some(XfrmEvent::Unsure),
    };
    Some(XfrmEvent::PolicyGone(policy.id, by))
}

fn address(family: u16, bytes: &[u8]) -> Option<IpAddr> {
    match family {
        AF_INET => bytes.first_chunk::<4>().map(|it| IpAddr::from(*it)),
        AF_INET6 => bytes.first_chunk::<16>().map(|it| IpAddr::from(*it)),
        _ => None,
    }
}

fn mark(attrs: &[u8]) -> Mark {
    let mut found = attributes(attrs).filter(|(kind, _)| *kind == XFRMA_MARK);
    let word = |value: &[u8], at: usize| u32_of(value.get(at..at + 4)?);
    let mark = found.next().and_then(|(_, value)| {
        Some(Mark {
            value: word(value, 0)?,
            mask: word(value, 4)?,
        })
    });
    mark.unwrap_or_default()
}
