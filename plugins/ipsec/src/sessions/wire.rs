//! Values of the records of IKE SAs and children, and their message IDs on the lane of newest values.
//!
//! ```text
//! IKE SA       message IDs, flags 8 (1 begun by this end, 2 ended), version 8, replaced IKE SA (1, SPIs; or 0),
//!              n 8, virtual addresses, n 8, messages of key exchanges, message with its ends
//! child        version 8, order 64, SPIs of its IKE SA, message
//! message      n 16, bytes
//! message IDs  initiator 32, responder 32
//! ```

use spared_replica::{Reader, ValueWriter};

use super::message::{IkeSpis, Kind, Message};
use super::table::{Child, IkeSa, MessageIds};
use crate::error::Malformed;
use crate::sa::Body;
use crate::wire::{finish, put_address, read_address};

const BEGUN_HERE: u8 = 1;
const ENDED: u8 = 2;

pub fn put_spis(out: &mut ValueWriter<'_>, spis: IkeSpis) {
    out.u64(spis.0);
    out.u64(spis.1);
}

pub fn read_spis(reader: &mut Reader<'_>) -> Result<IkeSpis, Malformed> {
    Ok(IkeSpis(reader.u64()?, reader.u64()?))
}

pub fn put_message_ids(out: &mut ValueWriter<'_>, ids: MessageIds) {
    out.u32(ids.initiator);
    out.u32(ids.responder);
}

/// # Errors
/// The bytes are no message IDs.
pub fn read_message_ids(value: &[u8]) -> Result<MessageIds, Malformed> {
    let mut reader = Reader(value);
    let ids = message_ids(&mut reader)?;
    finish(&reader)?;
    Ok(ids)
}

fn message_ids(reader: &mut Reader<'_>) -> Result<MessageIds, Malformed> {
    Ok(MessageIds {
        initiator: reader.u32()?,
        responder: reader.u32()?,
    })
}

pub fn put_ike(out: &mut ValueWriter<'_>, ike: &IkeSa) {
    put_message_ids(out, ike.message_ids);
    let begun = if ike.is_initiator { BEGUN_HERE } else { 0 };
    out.u8(begun | if ike.is_ended { ENDED } else { 0 });
    out.u8(ike.version);
    out.u8(u8::from(ike.replaces.is_some()));
    if let Some(replaced) = ike.replaces {
        put_spis(out, replaced);
    }
    out.u8(ike.vips.len().min(usize::from(u8::MAX)) as u8);
    let vips = ike.vips.iter().take(usize::from(u8::MAX));
    vips.for_each(|it| put_address(out, *it));
    out.u8(ike.adds.len() as u8);
    ike.adds.iter().for_each(|it| put_body(out, it));
    put_body(out, ike.update.as_ref().unwrap_or(&Body::new(Vec::new())));
}

pub fn put_child(out: &mut ValueWriter<'_>, child: &Child) {
    out.u8(child.version);
    out.u64(child.order);
    put_spis(out, child.ike);
    put_body(out, &child.add);
}

/// Parses an IKE SA that charon may be given.
///
/// # Errors
/// The bytes are no IKE SA, or one with other SPIs.
pub fn read_ike(spis: IkeSpis, value: &[u8]) -> Result<IkeSa, Malformed> {
    let mut reader = Reader(value);
    let message_ids = message_ids(&mut reader)?;
    let flags = reader.u8()?;
    let version = reader.u8()?;
    let replaces = match reader.u8()? {
        0 => None,
        1 => Some(read_spis(&mut reader)?),
        _ => return Err(Malformed::Field("flag")),
    };
    let count = reader.u8()?;
    let vips: Result<_, _> = (0..count).map(|_| read_address(&mut reader)).collect();
    let count = reader.u8()?;
    let adds: Result<Vec<_>, _> = (0..count)
        .map(|_| message(&mut reader, version, Kind::IkeAdd, spis).map(|it| it.bytes))
        .collect();
    let update = message(&mut reader, version, Kind::IkeUpdate, spis)?;
    finish(&reader)?;
    let adds = adds?;
    if adds.is_empty() {
        return Err(Malformed::Field("key exchange"));
    }
    Ok(IkeSa {
        version,
        is_initiator: flags & BEGUN_HERE != 0,
        end: update.local_address,
        far_end: update.remote_address,
        replaces,
        is_ended: flags & ENDED != 0,
        connection: update.config_name.unwrap_or_default(),
        vips: vips?,
        message_ids,
        adds,
        update: Some(update.bytes),
        since_ns: 0,
    })
}

/// Parses a child that charon may be given.
///
/// # Errors
/// The bytes are no child, or one with another SPI.
pub fn read_child(inbound_spi: u32, value: &[u8]) -> Result<Child, Malformed> {
    let mut reader = Reader(value);
    let version = reader.u8()?;
    let order = reader.u64()?.min(u64::MAX / 2);
    let ike = read_spis(&mut reader)?;
    let add = message(&mut reader, version, Kind::ChildAdd, ike)?;
    finish(&reader)?;
    match add.outbound_spi {
        Some(outbound_spi) if add.inbound_spi == Some(inbound_spi) => Ok(Child {
            version,
            end: None,
            ike,
            outbound_spi,
            name: add.config_name.unwrap_or_default(),
            order,
            add: add.bytes,
        }),
        _ => Err(Malformed::Field("SPI")),
    }
}

fn message(
    reader: &mut Reader<'_>,
    version: u8,
    kind: Kind,
    ike: IkeSpis,
) -> Result<Message, Malformed> {
    let length = reader.u16()?;
    let message = Message::read(reader.take(usize::from(length))?)?;
    if message.version == version && message.kind == kind && message.ike == Some(ike) {
        Ok(message)
    } else {
        Err(Malformed::Field("message of charon"))
    }
}

fn put_body(out: &mut ValueWriter<'_>, body: &Body) {
    out.u16(body.bytes().len() as u16);
    out.put(body.bytes());
}
