//! Reads the messages of charon's plugin `ha` as far as a store of them needs: the IKE SA that each is about, and what
//! begins and ends with it. All else is passed on as it came, to a charon of the same version.
//!
//! ```text
//! message    version 8, type 8, attributes ...
//! attribute  type 8, value: its form follows from the type
//! ```
//!
//! Numbers are in network byte order, except SPIs, which are as charon has them in memory. charon's sources,
//! src/libcharon/plugins/ha/ha_message.c, are the only description of the format.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use spared_replica::Reader;

use super::RunningIke;
use crate::error::Malformed;
use crate::sa::Body;

/// Version of strongSwan 5 and 6.0.0.
pub const VERSION_5: u8 = 3;
/// Versions of strongSwan 6.0.1, and of later ones, with two types of attributes more.
const VERSIONS_6: [u8; 2] = [4, 5];
/// Longest message in bytes: charon reads no longer one.
pub const MESSAGE_MAX: usize = 2048;

/// Place of the version of IKE in a message about an IKE SA.
const IKE_VERSION_AT: usize = 3;
const IKEV1: u8 = 1;
const IKEV2: u8 = 2;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const TS_IPV4_RANGE: u8 = 7;
const TS_IPV6_RANGE: u8 = 8;

/// Types of attributes, as version 3 numbers them.
mod attribute {
    pub const IKE_ID: u8 = 1;
    pub const IKE_REKEY_ID: u8 = 2;
    pub const LOCAL_ID: u8 = 3;
    pub const REMOTE_EAP_ID: u8 = 5;
    pub const LOCAL_ADDR: u8 = 6;
    pub const REMOTE_ADDR: u8 = 7;
    pub const CONFIG_NAME: u8 = 8;
    pub const CONDITIONS: u8 = 9;
    pub const EXTENSIONS: u8 = 10;
    pub const LOCAL_VIP: u8 = 11;
    pub const REMOTE_VIP: u8 = 12;
    pub const PEER_ADDR: u8 = 13;
    pub const INITIATOR: u8 = 14;
    pub const NONCE_I: u8 = 15;
    pub const SECRET: u8 = 17;
    pub const OLD_SKD: u8 = 18;
    pub const ALG_PRF: u8 = 19;
    pub const ALG_DH: u8 = 24;
    pub const IPSEC_MODE: u8 = 25;
    pub const IPCOMP: u8 = 26;
    pub const INBOUND_SPI: u8 = 27;
    pub const OUTBOUND_SPI: u8 = 28;
    pub const INBOUND_CPI: u8 = 29;
    pub const OUTBOUND_CPI: u8 = 30;
    pub const LOCAL_TS: u8 = 31;
    pub const REMOTE_TS: u8 = 32;
    pub const MID: u8 = 33;
    pub const SEGMENT: u8 = 34;
    pub const ESN: u8 = 35;
    pub const IKE_VERSION: u8 = 36;
    pub const LOCAL_DH: u8 = 37;
    pub const IV: u8 = 40;
    pub const AUTH_METHOD: u8 = 41;
}
use attribute as at;

/// Both SPIs of an IKE SA, of its initiator and of its responder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IkeSpis(pub u64, pub u64);

/// Kind of a message, by charon's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    IkeAdd = 1,
    IkeUpdate = 2,
    /// The next message ID of a request that charon sends.
    MidInitiator = 3,
    /// The next message ID of a request that charon expects.
    MidResponder = 4,
    IkeDelete = 5,
    ChildAdd = 6,
    ChildDelete = 7,
    SegmentDrop = 8,
    SegmentTake = 9,
    Status = 10,
    Resync = 11,
    IkeIv = 12,
}

impl Kind {
    const ALL: [Self; 12] = [
        Self::IkeAdd,
        Self::IkeUpdate,
        Self::MidInitiator,
        Self::MidResponder,
        Self::IkeDelete,
        Self::ChildAdd,
        Self::ChildDelete,
        Self::SegmentDrop,
        Self::SegmentTake,
        Self::Status,
        Self::Resync,
        Self::IkeIv,
    ];
}

/// A message, and what of it is read. Its bytes have keys in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub bytes: Body,
    pub version: u8,
    pub kind: Kind,
    /// IKE SA that it is about; `is_initiator`: charon began it.
    pub ike: Option<IkeSpis>,
    pub is_initiator: bool,
    /// IKE SA whose place the new one takes.
    pub rekeyed: Option<IkeSpis>,
    pub is_ikev1: bool,
    pub local_address: Option<IpAddr>,
    pub remote_address: Option<IpAddr>,
    /// Names the connection of an IKE SA, or the child's.
    pub config_name: Option<String>,
    /// Virtual addresses that the far end has, each as it is in the message.
    pub remote_vips: Vec<IpAddr>,
    pub inbound_spi: Option<u32>,
    pub outbound_spi: Option<u32>,
    pub mid: Option<u32>,
}

impl Message {
    /// Reads a message of charon, or one that the peer keeps.
    ///
    /// # Errors
    /// Another version, or bytes that are no message.
    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > MESSAGE_MAX {
            return Err(Malformed::Field("length of the message"));
        }
        let mut reader = Reader(bytes);
        let version = reader.u8()?;
        if version != VERSION_5 && !VERSIONS_6.contains(&version) {
            return Err(Malformed::Field("version of strongSwan's ha"));
        }
        let kind = reader.u8()?;
        let kind = Kind::ALL.into_iter().find(|it| *it as u8 == kind);
        let mut message = Self {
            bytes: Body::new(bytes.to_vec()),
            version,
            kind: kind.ok_or(Malformed::Field("type of the message"))?,
            ike: None,
            is_initiator: false,
            rekeyed: None,
            is_ikev1: false,
            local_address: None,
            remote_address: None,
            config_name: None,
            remote_vips: Vec::new(),
            inbound_spi: None,
            outbound_spi: None,
            mid: None,
        };
        while !reader.0.is_empty() {
            message.read_attribute(&mut reader)?;
        }
        Ok(message)
    }

    fn read_attribute(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        let kind = reader.u8()?;
        let Some(kind) = attribute_of(self.version, kind) else {
            // forms that strongSwan 6 added: a second secret, more key exchanges
            return chunk(reader).map(drop);
        };
        match kind {
            at::IKE_ID => {
                (self.ike, self.is_initiator) = spis(reader).map(|(a, b)| (Some(a), b))?
            }
            at::IKE_REKEY_ID => self.rekeyed = Some(spis(reader)?.0),
            at::LOCAL_ID..=at::REMOTE_EAP_ID => {
                reader.u8()?;
                reader.short()?;
            }
            at::LOCAL_ADDR => self.local_address = Some(host(reader)?),
            at::REMOTE_ADDR => self.remote_address = Some(host(reader)?),
            at::LOCAL_VIP | at::PEER_ADDR => drop(host(reader)?),
            at::REMOTE_VIP => self.remote_vips.push(host(reader)?),
            at::CONFIG_NAME => self.config_name = Some(text(reader)?),
            at::IKE_VERSION => self.is_ikev1 = reader.u8()? == 1,
            at::INITIATOR | at::IPSEC_MODE | at::IPCOMP => drop(reader.u8()?),
            at::ALG_PRF..=at::ALG_DH
            | at::INBOUND_CPI
            | at::OUTBOUND_CPI
            | at::SEGMENT
            | at::ESN
            | at::AUTH_METHOD => drop(reader.u16()?),
            at::CONDITIONS | at::EXTENSIONS => drop(reader.u32()?),
            at::MID => self.mid = Some(reader.u32()?),
            at::INBOUND_SPI => self.inbound_spi = Some(spi(reader)?),
            at::OUTBOUND_SPI => self.outbound_spi = Some(spi(reader)?),
            at::NONCE_I..=at::SECRET | at::OLD_SKD | at::LOCAL_DH..=at::IV => drop(chunk(reader)?),
            at::LOCAL_TS | at::REMOTE_TS => traffic_selector(reader)?,
            _ => return Err(Malformed::Field("type of the attribute")),
        }
        Ok(())
    }
}

/// Number that version 3 has for a type of attribute; None for those that it does not have.
fn attribute_of(version: u8, kind: u8) -> Option<u8> {
    const ADD_SECRET: u8 = 18;
    const ALG_ADD_KES: u8 = 26;
    match kind {
        _ if version == VERSION_5 => Some(kind),
        ADD_SECRET | ALG_ADD_KES => None,
        0..ADD_SECRET => Some(kind),
        ADD_SECRET..ALG_ADD_KES => Some(kind - 1),
        _ => Some(kind - 2),
    }
}

/// Version of the messages of a release of strongSwan, such as "6.0.1". charon ignores those of another version.
pub fn version_of(release: &str) -> Option<u8> {
    let mut numbers = release.split('.').map(|part| {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        part[..digits].parse::<u32>().ok()
    });
    let number = [(); 3].map(|()| numbers.next().flatten());
    match (number[0]?, number[1]?, number[2].unwrap_or_default()) {
        (5, ..) | (6, 0, 0) => Some(VERSION_5),
        (6, 0, 1) => Some(VERSIONS_6[0]),
        (6, ..) => Some(VERSIONS_6[1]),
        _ => None,
    }
}

fn spis(reader: &mut Reader<'_>) -> Result<(IkeSpis, bool), Malformed> {
    reader.u8()?;
    let spis = IkeSpis(reader.u64()?, reader.u64()?);
    Ok((spis, reader.u8()? != 0))
}

fn host(reader: &mut Reader<'_>) -> Result<IpAddr, Malformed> {
    reader.u16()?;
    match reader.u8()? {
        AF_INET => Ok(Ipv4Addr::from(reader.array::<4>()?).into()),
        AF_INET6 => Ok(Ipv6Addr::from(reader.array::<16>()?).into()),
        _ => Err(Malformed::Field("family of an address")),
    }
}

fn text(reader: &mut Reader<'_>) -> Result<String, Malformed> {
    let length = reader.0.iter().position(|it| *it == 0);
    let name = reader.take(length.ok_or(Malformed::Short)?)?;
    reader.u8()?;
    let name = std::str::from_utf8(name).map_err(|_| Malformed::Field("name"))?;
    Ok(name.to_owned())
}

/// SPIs are in network byte order in charon's memory, from which it makes a number first.
fn spi(reader: &mut Reader<'_>) -> Result<u32, Malformed> {
    reader.array().map(u32::from_ne_bytes)
}

fn chunk<'b>(reader: &mut Reader<'b>) -> Result<&'b [u8], Malformed> {
    let length = reader.u16()?;
    reader.take(usize::from(length))
}

fn traffic_selector(reader: &mut Reader<'_>) -> Result<(), Malformed> {
    const AFTER_TYPE: usize = 1 + 2 + 2 + 1;
    let addresses = match reader.u8()? {
        TS_IPV4_RANGE => 2 * 4,
        TS_IPV6_RANGE => 2 * 16,
        _ => return Err(Malformed::Field("type of a traffic selector")),
    };
    reader.take(AFTER_TYPE + addresses).map(drop)
}

/// Writes a message about an IKE SA of version 2, without anything else.
fn about(version: u8, kind: Kind, ike: IkeSpis, is_initiator: bool) -> Vec<u8> {
    let mut bytes = vec![version, kind as u8, at::IKE_ID, IKEV2];
    bytes.extend(ike.0.to_be_bytes());
    bytes.extend(ike.1.to_be_bytes());
    bytes.push(u8::from(is_initiator));
    bytes
}

/// Writes an update that gives the far end of an IKE SA its virtual addresses: charon itself tells them only once, and
/// not of the IKE SA that takes the place of another.
pub fn virtual_addresses(
    version: u8,
    ike: IkeSpis,
    is_initiator: bool,
    vips: &[IpAddr],
) -> Vec<u8> {
    let mut bytes = about(version, Kind::IkeUpdate, ike, is_initiator);
    for vip in vips {
        bytes.extend([at::REMOTE_VIP, 0, 0]);
        match vip {
            IpAddr::V4(address) => {
                bytes.push(AF_INET);
                bytes.extend(address.octets());
            }
            IpAddr::V6(address) => {
                bytes.push(AF_INET6);
                bytes.extend(address.octets());
            }
        }
    }
    bytes
}

/// Writes that this end gives its only segment up, so that charon answers for all IKE SAs, or that it takes it. An order
/// by charon's FIFO could come before messages that were sent earlier.
pub fn segment(version: u8, is_charons: bool) -> Vec<u8> {
    let kind = if is_charons {
        Kind::SegmentDrop
    } else {
        Kind::SegmentTake
    };
    about_segment(version, kind)
}

/// Writes a request for all that charon has told of its IKE SAs so far, with their present message IDs. Then charon
/// rekeys the children of those that it answers for.
pub fn resync(version: u8) -> Vec<u8> {
    about_segment(version, Kind::Resync)
}

fn about_segment(version: u8, kind: Kind) -> Vec<u8> {
    let mut bytes = vec![version, kind as u8, own_number(version, at::SEGMENT)];
    bytes.extend(1_u16.to_be_bytes());
    bytes
}

/// Number that a version has for one of the last types of attributes of version 3.
fn own_number(version: u8, attribute: u8) -> u8 {
    attribute + if version == VERSION_5 { 0 } else { 2 }
}

/// Writes that an IKE SA has ended: charon forgets it with its children, and tells nobody.
pub fn end_of_ike(version: u8, ike: IkeSpis, running: RunningIke) -> Vec<u8> {
    let mut bytes = about(version, Kind::IkeDelete, ike, running.is_initiator);
    if running.is_ikev1 {
        bytes[IKE_VERSION_AT] = IKEV1;
    }
    bytes
}

/// True for what [`end_of_ike`] writes.
pub fn is_end_of_ike(bytes: &[u8]) -> bool {
    bytes.get(1) == Some(&(Kind::IkeDelete as u8))
}

/// Writes the order of a message ID.
pub fn message_id(version: u8, kind: Kind, ike: IkeSpis, is_initiator: bool, mid: u32) -> Vec<u8> {
    let mut bytes = about(version, kind, ike, is_initiator);
    bytes.push(own_number(version, at::MID));
    bytes.extend(mid.to_be_bytes());
    bytes
}
