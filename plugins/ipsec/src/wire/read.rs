//! Parses the peer's bytes; the results may be passed to the kernel.

use std::net::IpAddr;

use spared_replica::Reader;

use super::{
    AllNumbers, BODY_MAX, LEGACY, Numbers, Origin, ReportedSa, TunnelKey, VERSION, WORDS_MAX,
};
use crate::codec::body::{self, parse_policy, parse_sa};
use crate::codec::{check_policy, check_sa};
use crate::error::Malformed;
use crate::sa::{
    Body, ChildName, Direction, InterfaceName, Interfaces, Life, Mark, Pace, Policy, PolicyId,
    Replay, ReplayForm, SaId,
};
use crate::sessions::wire::read_spis;

pub fn key(reader: &mut Reader<'_>) -> Result<TunnelKey, Malformed> {
    Ok(match reader.u8()? {
        kind @ (1 | 2) => {
            let side = match kind {
                1 => Direction::In,
                _ => Direction::Out,
            };
            let id = SaId {
                destination: address(reader)?,
                spi: reader.u32()?,
                protocol: reader.u8()?,
                mark: mark(reader)?,
            };
            TunnelKey::Sa(id, side, address(reader)?)
        }
        3 => {
            let selector = reader.take(56)?;
            let id = PolicyId {
                selector: selector.try_into().map_err(|_| Malformed::Short)?,
                interface: interface_name(reader)?,
                direction: reader.u8()?,
                kind: reader.u8()?,
                mark: mark(reader)?,
                if_id: reader.u32()?,
            };
            TunnelKey::Policy(id, end(reader)?)
        }
        4 => TunnelKey::AllNumbers,
        5 => TunnelKey::Ike(read_spis(reader)?, address(reader)?),
        6 => TunnelKey::Child(reader.u32()?, address(reader)?),
        _ => return Err(Malformed::Field("key")),
    })
}

/// # Errors
/// Text: the peer's preface differs.
pub fn accept_preface(preface: &[u8]) -> Result<(), String> {
    let layout = [
        [
            u8::from(cfg!(target_endian = "big")),
            size_of::<usize>() as u8,
        ],
        (body::SA_LEN as u16).to_be_bytes(),
        (body::POLICY_LEN as u16).to_be_bytes(),
    ];
    match preface.split_first() {
        Some((&VERSION, rest)) if rest == layout.concat() => Ok(()),
        Some((&VERSION, _)) => Err("the peer's kernel is of another architecture".to_owned()),
        _ => Err("the peer's plugin is of another version".to_owned()),
    }
}

/// Parses an SA that may be passed to the kernel.
///
/// # Errors
/// The bytes are no SA, or not the key's.
pub fn read_sa(key: &TunnelKey, value: &[u8]) -> Result<ReportedSa, Malformed> {
    let mut reader = Reader(value);
    let numbers = numbers(&mut reader)?;
    let length = usize::from(reader.u16()?);
    let body = body_of(reader.take(length)?)?;
    check_sa(body.bytes())?;
    let mut sa = parse_sa(body)?;
    let TunnelKey::Sa(_, side, _) = *key else {
        return Err(Malformed::Field("key"));
    };
    let is_other = sa.direction.is_some_and(|direction| direction != side);
    if TunnelKey::sa(&sa, side) != *key || is_other {
        return Err(Malformed::Field("key"));
    }
    sa.interfaces = interfaces(&mut reader)?;
    let name = name(&mut reader)?;
    (sa.replay, sa.life) = (numbers.replay.clone(), numbers.life);
    finish(&reader)?;
    Ok(ReportedSa {
        sa,
        side,
        numbers,
        name,
    })
}

/// Parses a policy that may be passed to the kernel.
///
/// # Errors
/// The bytes are no policy, or not the key's.
pub fn read_policy(key: &TunnelKey, value: &[u8]) -> Result<Policy, Malformed> {
    let TunnelKey::Policy(id, _) = key else {
        return Err(Malformed::Field("key"));
    };
    let body = body_of(value)?;
    check_policy(body.bytes())?;
    let mut policy = parse_policy(body)?;
    policy.id.interface = id.interface;
    if TunnelKey::policy(&policy) == *key {
        Ok(policy)
    } else {
        Err(Malformed::Field("key"))
    }
}

/// # Errors
/// The bytes are no numbers.
pub fn read_numbers(value: &[u8]) -> Result<Numbers, Malformed> {
    let mut reader = Reader(value);
    let numbers = numbers(&mut reader)?;
    finish(&reader)?;
    Ok(numbers)
}

/// # Errors
/// The bytes are no such value.
pub fn read_all_numbers(value: &[u8]) -> Result<AllNumbers, Malformed> {
    let mut reader = Reader(value);
    let all = AllNumbers {
        unsure: reader.flag("doubt")?,
        exact: reader.flag("exactness")?,
    };
    finish(&reader)?;
    Ok(all)
}

/// # Errors
/// There are more bytes.
pub fn finish(reader: &Reader<'_>) -> Result<(), Malformed> {
    match reader.0 {
        [] => Ok(()),
        _ => Err(Malformed::Long),
    }
}

fn body_of(bytes: &[u8]) -> Result<Body, Malformed> {
    if bytes.len() <= BODY_MAX {
        Ok(Body::new(bytes.to_vec()))
    } else {
        Err(Malformed::Field("body"))
    }
}

fn numbers(reader: &mut Reader<'_>) -> Result<Numbers, Malformed> {
    Ok(Numbers {
        origin: match reader.u8()? {
            0 => Origin::Kernel,
            1 => Origin::Copy,
            2 => Origin::Former,
            _ => return Err(Malformed::Field("origin")),
        },
        silent_ms: reader.u32()?,
        replay: replay(reader)?,
        life: Life {
            bytes: reader.u64()?,
            packets: reader.u64()?,
            age_s: reader.u64()?,
            used_s: if reader.flag("life")? {
                Some(reader.u64()?)
            } else {
                None
            },
        },
        pace: Pace {
            threshold: reader.u32()?,
            packets_per_s: reader.u32()?,
        },
    })
}

fn replay(reader: &mut Reader<'_>) -> Result<Replay, Malformed> {
    let (oseq, seq, window) = (reader.u64()?, reader.u64()?, reader.u32()?);
    let form = match reader.u8()? {
        LEGACY => ReplayForm::Legacy(reader.u32()?),
        words if usize::from(words) <= WORDS_MAX => {
            let words = (0..words).map(|_| reader.u32());
            ReplayForm::Extended(words.collect::<Result<_, _>>()?)
        }
        _ => return Err(Malformed::Field("window")),
    };
    if window > form.capacity() {
        return Err(Malformed::Field("window"));
    }
    Ok(Replay {
        oseq,
        seq,
        window,
        form,
    })
}

fn interfaces(reader: &mut Reader<'_>) -> Result<Interfaces, Malformed> {
    let selector = text(reader, "interface")?;
    let offload = match text(reader, "interface")? {
        Some(name) => Some((name, reader.u8()?)),
        None => None,
    };
    Ok(Interfaces { selector, offload })
}

fn interface_name(reader: &mut Reader<'_>) -> Result<InterfaceName, Malformed> {
    let name = text(reader, "interface")?.unwrap_or_default();
    InterfaceName::new(&name).ok_or(Malformed::Field("interface"))
}

pub fn name(reader: &mut Reader<'_>) -> Result<Option<ChildName>, Malformed> {
    let Some(ike) = text(reader, "name")? else {
        return Ok(None);
    };
    let child = text(reader, "name")?.ok_or(Malformed::Field("name"))?;
    Ok(Some(ChildName { ike, child }))
}

pub fn address(reader: &mut Reader<'_>) -> Result<IpAddr, Malformed> {
    end(reader)?.ok_or(Malformed::Field("family"))
}

fn end(reader: &mut Reader<'_>) -> Result<Option<IpAddr>, Malformed> {
    Ok(match reader.u8()? {
        0 => None,
        4 => {
            let bytes: Option<&[u8; 4]> = reader.take(4)?.first_chunk();
            bytes.map(|bytes| IpAddr::from(*bytes))
        }
        6 => {
            let bytes: Option<&[u8; 16]> = reader.take(16)?.first_chunk();
            bytes.map(|bytes| IpAddr::from(*bytes))
        }
        _ => return Err(Malformed::Field("family")),
    })
}

fn mark(reader: &mut Reader<'_>) -> Result<Mark, Malformed> {
    Ok(Mark {
        value: reader.u32()?,
        mask: reader.u32()?,
    })
}

/// Reads a text without control characters, as it is displayed; None if it is empty.
fn text(reader: &mut Reader<'_>, field: &'static str) -> Result<Option<String>, Malformed> {
    let bytes = reader.short()?;
    let text = std::str::from_utf8(bytes).map_err(|_| Malformed::Field(field))?;
    if text.chars().any(char::is_control) {
        return Err(Malformed::Field(field));
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}
