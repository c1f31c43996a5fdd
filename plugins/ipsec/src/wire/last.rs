//! Where outbound numbers end at a switchover: question and answer of the two nodes, beside the replica, whose
//! lane stands still while roles are agreed.
//!
//! ```text
//! stop     129 (8), round 64, last 8, key of an SA ...
//! stopped  130 (8), round 64, last 8, (key of an SA, oseq 64) ...
//! ```

use spared_replica::wire::{MESSAGE_MAX, OWN};
use spared_replica::{Key, Reader, Value};

use super::TunnelKey;
use crate::error::Malformed;
use crate::sa::{Direction, SaId};

const STOP: u8 = OWN + 1;
const STOPPED: u8 = OWN + 2;
/// Outbound SAs of one message.
pub const LAST_MAX: usize = 250;

/// A message of a switchover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LastNumbers {
    /// The sender serves now: send no more with these, and say how far they are.
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
    /// Whether it is one of these, and not the replica's.
    pub fn is_own(bytes: &[u8]) -> bool {
        bytes.first().is_some_and(|kind| *kind >= STOP)
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        Value::write_to(&mut bytes, MESSAGE_MAX, |out| self.put(out));
        bytes
    }

    fn put(&self, out: &mut Value<'_>) {
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
    /// It is none.
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

/// The SA of a key, if packets are sent with it.
pub fn outbound(key: &TunnelKey) -> Option<SaId> {
    match key {
        TunnelKey::Sa(id, Direction::Out, _) => Some(*id),
        _ => None,
    }
}

fn put_head(out: &mut Value<'_>, kind: u8, round: u64, is_end: bool) {
    out.u8(kind);
    out.u64(round);
    out.u8(u8::from(is_end));
}
