//! Encodes the report about this node's daemon to the peer: a message besides the replica's.
//!
//! ```text
//! connections  kind 8, whole 8, pools 16, pool ..., connection ... to the end
//! pool         name n 8, ..., family 8 (4, 6), 4 or 16 bytes, size 64
//! connection   name n 8, ..., digest 64
//! ```

use std::collections::BTreeMap;
use std::net::IpAddr;

use spared_replica::Reader;
use spared_replica::wire::{MESSAGE_MAX, OWN};

use super::{Listed, PeerConnections, Pool};
use crate::error::Malformed;

/// Kind of this message, its first byte.
pub const CONNECTIONS: u8 = OWN;
const POOLS_MAX: usize = 64;
const NAME_MAX: usize = 255;
/// Size limit of a connection in bytes.
const CONNECTION_MAX: usize = 1 + NAME_MAX + 8;

/// Returns digests of the connections that have room in a message, and whether all of them have.
pub fn digests(listed: &Listed) -> (BTreeMap<String, u64>, bool) {
    let room = MESSAGE_MAX - 4 - POOLS_MAX * (1 + NAME_MAX + 1 + 16 + 8);
    let mut digests = BTreeMap::new();
    let mut length = 0;
    for connection in &listed.connections {
        if length + CONNECTION_MAX > room || connection.name.len() > NAME_MAX {
            return (digests, false);
        }
        length += 1 + connection.name.len() + 8;
        digests.insert(connection.name.clone(), connection.digest);
    }
    (digests, true)
}

impl Listed {
    /// Returns the message to the peer.
    pub fn message(&self) -> Vec<u8> {
        let (digests, is_whole) = digests(self);
        let pools = self.pools.iter().filter(|it| it.name.len() <= NAME_MAX);
        let pools: Vec<&Pool> = pools.take(POOLS_MAX).collect();
        let mut bytes = vec![CONNECTIONS, u8::from(is_whole)];
        bytes.extend((pools.len() as u16).to_be_bytes());
        for pool in pools {
            put_name(&mut bytes, &pool.name);
            match pool.base {
                IpAddr::V4(ip) => bytes.extend([&[4][..], &ip.octets()].concat()),
                IpAddr::V6(ip) => bytes.extend([&[6][..], &ip.octets()].concat()),
            }
            bytes.extend(pool.size.to_be_bytes());
        }
        for (name, digest) in &digests {
            put_name(&mut bytes, name);
            bytes.extend(digest.to_be_bytes());
        }
        bytes
    }
}

impl PeerConnections {
    /// Parses a message of the peer.
    ///
    /// # Errors
    /// The bytes are no such message.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(bytes);
        match reader.u8()? {
            CONNECTIONS => {}
            kind => return Err(Malformed::Kind(kind)),
        }
        let is_whole = match reader.u8()? {
            0 => false,
            1 => true,
            _ => return Err(Malformed::Field("flag")),
        };
        let count = reader.u16()?;
        if usize::from(count) > POOLS_MAX {
            return Err(Malformed::Field("pools"));
        }
        let pools = (0..count).map(|_| read_pool(&mut reader));
        let pools = pools.collect::<Result<_, _>>()?;
        let mut digests = BTreeMap::new();
        while !reader.0.is_empty() {
            let name = read_name(&mut reader)?;
            digests.insert(name, reader.u64()?);
        }
        Ok(Self {
            digests,
            is_whole,
            pools,
        })
    }
}

fn read_pool(reader: &mut Reader<'_>) -> Result<Pool, Malformed> {
    let name = read_name(reader)?;
    let base = match reader.u8()? {
        4 => array::<4>(reader)?.into(),
        6 => array::<16>(reader)?.into(),
        _ => return Err(Malformed::Field("family")),
    };
    let size = reader.u64()?;
    Ok(Pool { name, base, size })
}

/// Reads a name without control characters, since it is printed on terminals and in logs.
fn read_name(reader: &mut Reader<'_>) -> Result<String, Malformed> {
    let name = std::str::from_utf8(reader.short()?).map_err(|_| Malformed::Field("name"))?;
    if name.is_empty() || name.chars().any(char::is_control) {
        Err(Malformed::Field("name"))
    } else {
        Ok(name.to_owned())
    }
}

fn array<const N: usize>(reader: &mut Reader<'_>) -> Result<[u8; N], Malformed> {
    let bytes = reader.take(N)?;
    bytes.try_into().map_err(|_| Malformed::Short)
}

fn put_name(bytes: &mut Vec<u8>, name: &str) {
    bytes.push(name.len().min(NAME_MAX) as u8);
    bytes.extend(name.as_bytes().iter().take(NAME_MAX));
}
