//! Messages besides the replica's: the question behind `sparectl dhcp diff`, since the other node may have something
//! else than this one was sent; and servers that the active node cannot replicate.

use spared_replica::wire::{MESSAGE_MAX, OWN, VALUE_MAX};
use spared_replica::{Key as _, Malformed, Reader};

use super::{ID_MAX, RecordKey, put_long, put_short};

const ASK: u8 = OWN;
const LISTED: u8 = OWN + 1;
const END: u8 = OWN + 2;
const NOT_REPLICABLE: u8 = OWN + 3;
const POOLS: u8 = OWN + 4;
/// Limit of the pools that are named, in bytes; the digest covers all.
const POOLS_MAX: usize = 8 * 1024;
/// Longest sentence in bytes.
const WHY_MAX: usize = 255;
/// Size limit of a record in bytes: a key and a value with their lengths.
const RECORD_MAX: usize = 1 + ID_MAX + 2 + VALUE_MAX;

/// A received message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'b> {
    /// Request for all leases.
    Ask {
        /// Number of the question.
        id: u32,
    },
    /// Leases of a server.
    Listed {
        /// Number of the question.
        id: u32,
        /// Name of the server.
        server: &'b str,
        /// Keys and values.
        records: Vec<(RecordKey, &'b [u8])>,
    },
    /// End of the answer.
    End {
        /// Number of the question.
        id: u32,
    },
    /// Report that a server grants leases that the sender may not know.
    NotReplicable {
        /// Name of the server.
        server: &'b str,
        /// Reason; empty if it knows them again.
        why: &'b str,
    },
    /// Pools of a server, by its configuration. Only sent to a peer of version 2.
    Pools {
        /// Name of the server.
        server: &'b str,
        /// Digest, equal if all pools are.
        digest: u64,
        /// First pools in order, one for each line.
        pools: &'b str,
    },
}

impl<'b> Message<'b> {
    /// Returns true if it is one of these messages, and not the replica's.
    pub fn is_own(bytes: &[u8]) -> bool {
        bytes.first().is_some_and(|kind| *kind >= OWN)
    }

    /// Parses a message of the peer.
    ///
    /// # Errors
    /// The bytes are no message.
    pub fn parse(bytes: &'b [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(bytes);
        let kind = reader.u8()?;
        match kind {
            NOT_REPLICABLE => return read_not_replicable(reader),
            POOLS => return read_pools(reader),
            _ => {}
        }
        let id = reader.u32()?;
        let message = match kind {
            ASK => Self::Ask { id },
            END => Self::End { id },
            LISTED => {
                let server = read_text(&mut reader)?;
                let mut records = Vec::new();
                while !reader.0.is_empty() {
                    records.push(read_record(&mut reader)?);
                }
                Self::Listed {
                    id,
                    server,
                    records,
                }
            }
            kind => return Err(Malformed::Kind(kind)),
        };
        match reader.0 {
            [] => Ok(message),
            _ => Err(Malformed::Long),
        }
    }

    /// Returns the question.
    pub fn ask(id: u32) -> Vec<u8> {
        head(ASK, id)
    }

    /// Returns the end of the answer.
    pub fn end(id: u32) -> Vec<u8> {
        head(END, id)
    }

    /// Returns the report why the leases of a server may be unknown; None if they are known.
    pub fn not_replicable(server: &str, why: Option<&str>) -> Vec<u8> {
        let mut bytes = vec![NOT_REPLICABLE];
        put_short(&mut bytes, server.as_bytes());
        let why = why.unwrap_or_default();
        let end = (0..=why.len().min(WHY_MAX)).rfind(|end| why.is_char_boundary(*end));
        put_short(
            &mut bytes,
            why.get(..end.unwrap_or(0)).unwrap_or_default().as_bytes(),
        );
        bytes
    }

    /// Returns the message with a server's pools.
    pub fn pools(server: &str, pools: &[String]) -> Vec<u8> {
        let mut bytes = vec![POOLS];
        put_short(&mut bytes, server.as_bytes());
        bytes.extend(digest_of_pools(pools).to_be_bytes());
        let mut text = String::new();
        for pool in pools {
            if text.len() + pool.len() >= POOLS_MAX {
                break;
            }
            text += pool;
            text.push('\n');
        }
        put_long(&mut bytes, text.as_bytes());
        bytes
    }
}

/// Returns a digest that is equal if the pools are.
pub fn digest_of_pools(pools: &[String]) -> u64 {
    super::digest_of_identity(pools.join("\n").as_bytes())
}

fn read_pools(mut reader: Reader<'_>) -> Result<Message<'_>, Malformed> {
    let server = read_text(&mut reader)?;
    let digest = reader.u64()?;
    let length = reader.u16()?;
    let pools = std::str::from_utf8(reader.take(length.into())?);
    let pools = pools.map_err(|_| Malformed::Field("text"))?;
    match reader.0 {
        [] => Ok(Message::Pools {
            server,
            digest,
            pools,
        }),
        _ => Err(Malformed::Long),
    }
}

fn read_not_replicable(mut reader: Reader<'_>) -> Result<Message<'_>, Malformed> {
    let (server, why) = (read_text(&mut reader)?, read_text(&mut reader)?);
    match reader.0 {
        [] => Ok(Message::NotReplicable { server, why }),
        _ => Err(Malformed::Long),
    }
}

fn read_text<'b>(reader: &mut Reader<'b>) -> Result<&'b str, Malformed> {
    let text = std::str::from_utf8(reader.short()?);
    text.map_err(|_| Malformed::Field("text"))
}

fn read_record<'b>(reader: &mut Reader<'b>) -> Result<(RecordKey, &'b [u8]), Malformed> {
    let mut key = Reader(reader.short()?);
    let found = RecordKey::read(&mut key)?;
    if !key.0.is_empty() {
        return Err(Malformed::Long);
    }
    let length = reader.u16()?;
    Ok((found, reader.take(length.into())?))
}

fn head(kind: u8, id: u32) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend(id.to_be_bytes());
    bytes
}

/// A part of the answer, while it is composed.
#[derive(Debug)]
pub struct Listed(Vec<u8>);

impl Listed {
    /// Begins a part without records of that server.
    pub fn new(id: u32, server: &str) -> Self {
        let mut bytes = head(LISTED, id);
        put_short(&mut bytes, server.as_bytes());
        Self(bytes)
    }

    /// Returns true if any record fits.
    pub fn has_room(&self) -> bool {
        self.0.len() + RECORD_MAX <= MESSAGE_MAX
    }

    /// Appends a record.
    pub fn put(&mut self, key: RecordKey, value: &[u8]) {
        put_short(&mut self.0, &key.bytes());
        put_long(&mut self.0, value);
    }

    /// Returns the composed message.
    pub fn bytes(self) -> Vec<u8> {
        self.0
    }
}
