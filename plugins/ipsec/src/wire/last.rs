//! Messages that agree on the last outbound numbers in a switchover. They are sent besides the replica, whose lane
//! stops while roles are agreed.
//!
//! ```text
//! stop     129 (8), round 64, last 8, key of an SA ...
//! stopped  130 (8), round 64, last 8, (key of an SA, oseq 64) ...
//! ```

use spared_replica::wire::{MESSAGE_MAX, OWN};
use spared_replica::{Key, Reader, ValueWriter};

use super::TunnelKey;
use crate::error::Malformed;
use crate::sa::{Direction, SaId};

const STOP: u8 = OWN + 1;
const STOPPED: u8 = OWN + 2;
/// Limit of outbound SAs in one message.
pub const LAST_MAX: usize = 250;

/// A message of a switchover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LastNumbers {
    /// The sender is active now: the receiver must send no more with these, and report their last numbers.
    Stop {
        round: u64,
        keys: Vec<TunnelKey>,
        is_end: bool,
    },
    /// Nothing is sent with these any more.
    Stopped {
        round: u64,
        numbers: Vec<(TunnelKey, u64)>,
        is_end: bool,
    },
}

impl LastNumbers {
    /// Returns true if it is one of these messages, and not the replica's.
    pub fn is_own(bytes: &[u8]) -> bool {
        bytes.first().is_some_and(|kind| *kind >= STOP)
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        ValueWriter::write_to(&mut bytes, MESSAGE_MAX, |out| self.put(out));
        bytes
    }

    fn put(&self, out: &mut ValueWriter<'_>) {
        match self {
            Self::Stop {
                round,
                keys,
                is_end,
            } => {
                put_head(out, STOP, *round, *is_end);
                keys.iter().for_each(|key| key.write(out));
            }
            Self::Stopped {
                round,
                numbers,
                is_end,
            } => {
                put_head(out, STOPPED, *round, *is_end);
                for (key, oseq) in numbers {
                    key.write(out);
                    out.u64(*oseq);
                }
            }
        }
    }

    /// # Errors
    /// The bytes are no such message.
    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(bytes);
        let (kind, round) = (reader.u8()?, reader.u64()?);
        let is_end = reader.flag("end")?;
        let (mut keys, mut numbers) = (Vec::new(), Vec::new());
        while !reader.0.is_empty() {
            let key = TunnelKey::read(&mut reader)?;
            outbound(&key).ok_or(Malformed::Field("key"))?;
            match kind {
                STOPPED => numbers.push((key, reader.u64()?)),
                _ => keys.push(key),
            }
            if keys.len().max(numbers.len()) > LAST_MAX {
                return Err(Malformed::Long);
            }
        }
        match kind {
            STOP => Ok(Self::Stop {
                round,
                keys,
                is_end,
            }),
            STOPPED => Ok(Self::Stopped {
                round,
                numbers,
                is_end,
            }),
            kind => Err(Malformed::Kind(kind)),
        }
    }
}

/// Returns the SA of a key, if it is outbound.
pub fn outbound(key: &TunnelKey) -> Option<SaId> {
    match key {
        TunnelKey::Sa(id, Direction::Out, _) => Some(*id),
        _ => None,
    }
}

fn put_head(out: &mut ValueWriter<'_>, kind: u8, round: u64, is_end: bool) {
    out.u8(kind);
    out.u64(round);
    out.u8(u8::from(is_end));
}
