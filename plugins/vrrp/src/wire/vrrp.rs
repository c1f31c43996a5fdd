//! The VRRP message: version 3 (RFC 9568 section 5.1) and version 2 (RFC 3768 section 5.1).
//!
//! ```text
//!     0                   1                   2                   3
//!     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//!    +-------+-------+---------------+---------------+---------------+
//!    |Version| Type  |     VRID      |   Priority    |     Count     |
//!    +-------+-------+---------------+---------------+---------------+
//! v3 | Rsvd  |  Interval, 1/100 s    |           Checksum            |
//! v2 |   Auth Type   |  Interval, s  |           Checksum            |
//!    +---------------+---------------+-------------------------------+
//!    |        Addresses, Count times 4 bytes, or 16 for IPv6         |
//!    +---------------------------------------------------------------+
//! v2 |   Authentication data, 8 bytes: zero, or a clear password     |
//!    +---------------------------------------------------------------+
//! ```
//!
//! RFC 2338 section 5.3.6 knew a password in clear, authentication type 1. RFC 3768 abolished it, because everybody on
//! the network can read it; keepalived still has it.
//!
//! keepalived 2.4 with `auth_hmac` (draft-cassen-vrrp-auth-hmac) appends a signature. Its checksum covers the signature
//! with IPv6, but not with IPv4:
//!
//! ```text
//!    +---------------+---------------+-------------------------------+
//!    | Scheme, not 0 |    Key id     |             Zero              |
//!    +---------------+---------------+-------------------------------+
//!    |        Seconds; fraction of a second, 2 bytes; counter        |
//!    +---------------------------------------------------------------+
//!    |                         HMAC, 16 bytes                        |
//!    +---------------------------------------------------------------+
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use spared_packet::checksum::{Sum, checksum};

use super::{Family, array};
use crate::error::Discard;

/// The IP protocol number.
pub const PROTOCOL: u8 = 112;
pub const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
pub const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);

const ADVERTISEMENT: u8 = 1;
const HEADER_LEN: usize = 8;
const AUTHENTICATION_LEN: usize = 8;
/// Length of a password.
pub const PASSWORD_LEN: usize = AUTHENTICATION_LEN;
const SIGNATURE_LEN: usize = 28;
const NS_PER_SECOND: u64 = 1_000_000_000;
const NS_PER_CENTISECOND: u64 = 10_000_000;

/// Password of version 2, filled up with zeros (RFC 2338 section 5.3.10).
pub type Password = [u8; PASSWORD_LEN];

/// Authentication types of version 2 (RFC 2338 section 5.3.6).
mod authentication {
    pub const NONE: u8 = 0;
    pub const PASSWORD: u8 = 1;
}

/// Supported versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    V2,
    V3,
}

impl Version {
    /// Version of a family's adverts in a group of this version: IPv6 has version 3 alone.
    pub fn of(self, family: Family) -> Self {
        match family {
            Family::V4 => self,
            Family::V6 => Self::V3,
        }
    }

    fn number(self) -> u8 {
        match self {
            Version::V2 => 2,
            Version::V3 => 3,
        }
    }
}

/// Bytes that an IPv4 version 3 checksum covers. RFC 5798 was read both ways, RFC 9568 settled on the message alone,
/// and keepalived and FRR include the pseudo-header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChecksumForm {
    PseudoHeader,
    Message,
}

impl ChecksumForm {
    pub fn name(self) -> &'static str {
        match self {
            ChecksumForm::PseudoHeader => "pseudo-header",
            ChecksumForm::Message => "message",
        }
    }
}

mod field {
    pub const VERSION_TYPE: usize = 0;
    pub const VRID: usize = 1;
    pub const PRIORITY: usize = 2;
    pub const COUNT: usize = 3;
    pub const AUTHENTICATION: usize = 4;
    pub const INTERVAL: usize = 4;
    pub const CHECKSUM: usize = 6;
    pub const ADDRESSES: usize = 8;
}

/// A complete received message. The getters cannot fail after [`Packet::new_checked`].
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    bytes: &'a [u8],
    header: [u8; HEADER_LEN],
    version: Version,
    family: Family,
}

impl<'a> Packet<'a> {
    /// Makes the receive checks of RFC 9568 section 7.1 that need the message alone.
    pub fn new_checked(bytes: &'a [u8], family: Family) -> Result<Packet<'a>, Discard> {
        let header: [u8; HEADER_LEN] = array(bytes, 0).ok_or(Discard::Truncated)?;
        let version = match (header[field::VERSION_TYPE] >> 4, family) {
            (2, Family::V4) => Version::V2,
            (3, _) => Version::V3,
            _ => return Err(Discard::Version),
        };
        if header[field::VERSION_TYPE] & 0x0f != ADVERTISEMENT {
            return Err(Discard::Type);
        }
        let authentication = header[field::AUTHENTICATION];
        let known = [authentication::NONE, authentication::PASSWORD];
        if version == Version::V2 && !known.contains(&authentication) {
            return Err(Discard::Authentication);
        }
        let packet = Packet {
            bytes,
            header,
            version,
            family,
        };
        if packet.count() == 0 {
            return Err(Discard::Count);
        }
        if packet.interval_ns() == 0 {
            return Err(Discard::Interval);
        }
        if bytes.len() < packet.len() {
            return Err(Discard::Truncated);
        }
        Ok(packet)
    }

    pub fn version(&self) -> Version {
        self.version
    }

    pub fn vrid(&self) -> u8 {
        self.header[field::VRID]
    }

    pub fn priority(&self) -> u8 {
        self.header[field::PRIORITY]
    }

    /// Returns the size of the message in bytes, without what follows it.
    fn len(&self) -> usize {
        message_len(self.version, self.family, self.count())
    }

    pub fn count(&self) -> usize {
        usize::from(self.header[field::COUNT])
    }

    /// Returns the interval. The reserved bits next to it are ignored, as the RFC requires.
    pub fn interval_ns(&self) -> u64 {
        let [high, low] = [
            self.header[field::INTERVAL],
            self.header[field::INTERVAL + 1],
        ];
        match self.version {
            Version::V2 => u64::from(low) * NS_PER_SECOND,
            Version::V3 => u64::from(u16::from_be_bytes([high & 0x0f, low])) * NS_PER_CENTISECOND,
        }
    }

    /// Returns the password of version 2, if there is one.
    pub fn password(&self) -> Option<Password> {
        let has_password = self.version == Version::V2
            && self.header[field::AUTHENTICATION] == authentication::PASSWORD;
        let at = self.len().checked_sub(AUTHENTICATION_LEN)?;
        has_password.then(|| array(self.bytes, at))?
    }

    pub fn addresses(&self) -> Addresses<'a> {
        let size = address_len(self.family);
        let end = field::ADDRESSES + self.count() * size;
        let bytes = self.bytes.get(field::ADDRESSES..end).unwrap_or_default();
        Addresses {
            bytes,
            family: self.family,
        }
    }

    /// Returns true if a signature follows the message. Its scheme is not 0, and its two reserved bytes are.
    pub fn is_signed(&self) -> bool {
        let tail = self.bytes.get(self.len()..).unwrap_or_default();
        matches!(tail, [scheme, _, 0, 0, ..] if *scheme != 0 && tail.len() == SIGNATURE_LEN)
    }

    /// Returns the matching forms of the checksum; both may match. Trailing bytes are covered, but a signature need not
    /// be.
    pub fn verify(&self, source: IpAddr, destination: IpAddr) -> Result<Checksums, Discard> {
        let whole = self.verify_bytes(self.bytes, source, destination);
        let message = self.bytes.get(..self.len()).filter(|_| self.is_signed());
        whole.or_else(|discard| {
            let message = message.ok_or(discard)?;
            self.verify_bytes(message, source, destination)
        })
    }

    fn verify_bytes(
        &self,
        bytes: &[u8],
        source: IpAddr,
        destination: IpAddr,
    ) -> Result<Checksums, Discard> {
        let pseudo = Sum::of_pseudo_header(source, destination, PROTOCOL, bytes.len());
        let with_pseudo_header = pseudo.plus(bytes).finish() == 0;
        let message_alone = checksum(bytes) == 0;
        match (self.version, self.family) {
            (Version::V3, Family::V4) if with_pseudo_header || message_alone => Ok(Checksums {
                with_pseudo_header,
                message_alone,
            }),
            (Version::V3, Family::V6) if with_pseudo_header => Ok(Checksums {
                with_pseudo_header,
                message_alone: false,
            }),
            (Version::V2, _) if message_alone => Ok(Checksums {
                with_pseudo_header: false,
                message_alone,
            }),
            _ => Err(Discard::Checksum),
        }
    }
}

/// Forms in which a received checksum was right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksums {
    pub with_pseudo_header: bool,
    pub message_alone: bool,
}

impl Checksums {
    /// Returns the sender's form, if the bytes show it.
    pub fn form(self) -> Option<ChecksumForm> {
        match (self.with_pseudo_header, self.message_alone) {
            (true, false) => Some(ChecksumForm::PseudoHeader),
            (false, true) => Some(ChecksumForm::Message),
            _ => None,
        }
    }
}

/// Addresses of a received advert.
#[derive(Clone, Copy, Debug)]
pub struct Addresses<'a> {
    bytes: &'a [u8],
    family: Family,
}

impl Addresses<'_> {
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.bytes
            .chunks_exact(address_len(self.family))
            .filter_map(|octets| match self.family {
                Family::V4 => array::<4>(octets, 0).map(IpAddr::from),
                Family::V6 => array::<16>(octets, 0).map(IpAddr::from),
            })
    }

    /// Returns true if it is the same set, in any order.
    pub fn same(&self, ours: &[IpAddr]) -> bool {
        self.bytes.len() == ours.len() * address_len(self.family)
            && self.iter().all(|address| ours.contains(&address))
    }
}

/// A message to send.
#[derive(Clone, Copy, Debug)]
pub struct Repr<'a> {
    pub version: Version,
    pub family: Family,
    pub vrid: u8,
    pub priority: u8,
    pub interval_ns: u64,
    /// Addresses, all of `family`, at most 255.
    pub addresses: &'a [IpAddr],
    pub form: ChecksumForm,
    /// Password, only sent with version 2.
    pub password: Option<Password>,
}

impl Repr<'_> {
    /// Returns the size of the message in bytes.
    pub fn buffer_len(&self) -> usize {
        message_len(self.version, self.family, self.addresses.len())
    }

    /// Appends the message, with its checksum for these addresses.
    pub fn emit(&self, source: IpAddr, destination: IpAddr, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[
            self.version.number() << 4 | ADVERTISEMENT,
            self.vrid,
            self.priority,
            u8::try_from(self.addresses.len()).unwrap_or(u8::MAX),
        ]);
        out.extend_from_slice(&self.interval());
        out.extend_from_slice(&[0, 0]);
        for address in self.addresses.iter().take(usize::from(u8::MAX)) {
            match address {
                IpAddr::V4(address) => out.extend_from_slice(&address.octets()),
                IpAddr::V6(address) => out.extend_from_slice(&address.octets()),
            }
        }
        if self.version == Version::V2 {
            out.extend_from_slice(&self.password.unwrap_or_default());
        }
        let message = out.get_mut(start..).unwrap_or_default();
        let sum = match (self.version, self.family, self.form) {
            (Version::V2, ..) | (_, Family::V4, ChecksumForm::Message) => Sum::ZERO,
            _ => Sum::of_pseudo_header(source, destination, PROTOCOL, message.len()),
        };
        let checksum = sum.plus(message).finish().to_be_bytes();
        if let Some(bytes) = message.get_mut(field::CHECKSUM..field::CHECKSUM + 2) {
            bytes.copy_from_slice(&checksum);
        }
    }

    fn interval(&self) -> [u8; 2] {
        match self.version {
            Version::V2 => [
                match self.password {
                    Some(_) => authentication::PASSWORD,
                    None => authentication::NONE,
                },
                u8::try_from(self.interval_ns / NS_PER_SECOND)
                    .unwrap_or(u8::MAX)
                    .max(1),
            ],
            Version::V3 => {
                let centiseconds = (self.interval_ns / NS_PER_CENTISECOND).clamp(1, 0x0fff);
                u16::try_from(centiseconds).unwrap_or(0x0fff).to_be_bytes()
            }
        }
    }
}

fn address_len(family: Family) -> usize {
    match family {
        Family::V4 => 4,
        Family::V6 => 16,
    }
}

fn message_len(version: Version, family: Family, count: usize) -> usize {
    let tail = match version {
        Version::V2 => AUTHENTICATION_LEN,
        Version::V3 => 0,
    };
    HEADER_LEN + count * address_len(family) + tail
}

/// Returns the number of addresses that an advert can name if frames carry `mtu` bytes of IP.
pub fn capacity(version: Version, family: Family, mtu: u32) -> usize {
    let overhead = message_len(version, family, 0)
        + match family {
            Family::V4 => 20,
            Family::V6 => 40,
        };
    let room = usize::try_from(mtu)
        .unwrap_or(usize::MAX)
        .saturating_sub(overhead);
    (room / address_len(family)).min(usize::from(u8::MAX))
}
