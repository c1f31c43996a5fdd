//! One element as this node knows it: its lifetime, its other attributes, and the replica's two bytes.

use spared_replica::{Tag, ValueWriter};

use crate::element::{Element, Key, Life};
use crate::{MS, SECOND, wire};

/// Difference in ns below which lifetimes count as equal: the kernel's ticks, and the delay between the nodes.
const SLACK_NS: u64 = 2 * SECOND;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    life: Option<Until>,
    /// Time of its end as the peer knows it.
    told_ends_ns: u64,
    extra: Option<Box<Extra>>,
    pub tag: Tag,
    /// Number of the reading in which the kernel last had it.
    pub seen: u32,
    /// Number of the kernel's set that contains it; 0: none.
    pub written: u32,
    /// Number of readings in a row without it.
    pub misses: u8,
    /// True if it has to be written, because the kernel has another value or none.
    pub waits: bool,
}

/// Attributes that most elements do not have.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Extra {
    data: Box<[u8]>,
    comment: Box<[u8]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Until {
    timeout_ms: u64,
    ends_ns: u64,
}

impl Entry {
    pub fn new(now_ns: u64, element: Element) -> Self {
        let life = element.life.map(|life| until(now_ns, life));
        Self {
            life,
            told_ends_ns: life.map_or(0, |life| life.ends_ns),
            extra: extra(element.data, element.comment),
            tag: Tag::default(),
            seen: 0,
            written: 0,
            misses: 0,
            waits: false,
        }
    }

    /// Takes the kernel's state; false if it need not be sent to the peer.
    pub fn see(&mut self, now_ns: u64, element: Element) -> bool {
        let same = self.is_like(&element) && self.lives_as_told(now_ns, element.life);
        self.life = element.life.map(|life| until(now_ns, life));
        if !same {
            self.extra = extra(element.data, element.comment);
        }
        !same
    }

    /// Takes the peer's value.
    pub fn replace(&mut self, now_ns: u64, element: Element) {
        self.life = element.life.map(|life| until(now_ns, life));
        self.told_ends_ns = self.life.map_or(0, |life| life.ends_ns);
        self.extra = extra(element.data, element.comment);
    }

    /// True if the element has expired in the kernel; being a tick early is acceptable.
    pub fn is_over(&self, now_ns: u64) -> bool {
        self.life.is_some_and(|life| life.ends_ns <= now_ns)
    }

    /// True if the peer's element has the same value.
    pub fn is_same(&self, now_ns: u64, other: &Element) -> bool {
        let ends_ns = self.life.map_or(0, |life| life.ends_ns);
        let near = self.is_near(now_ns, other.life, ends_ns, |slack_ns| slack_ns);
        self.is_like(other) && near
    }

    /// True if everything but the lifetime is the same.
    fn is_like(&self, element: &Element) -> bool {
        let (data, comment) = self.rest();
        data == &*element.data && comment == &*element.comment
    }

    fn rest(&self) -> (&[u8], &[u8]) {
        match &self.extra {
            Some(extra) => (&extra.data, &extra.comment),
            None => (&[], &[]),
        }
    }

    /// True if this lifetime need not be sent to the peer. It tolerates more than [`is_same`](Self::is_same), so that
    /// the peer accepts each lifetime that is sent.
    fn lives_as_told(&self, now_ns: u64, other: Option<Life>) -> bool {
        let more = |slack_ns| slack_ns + slack_ns / 4;
        self.is_near(now_ns, other, self.told_ends_ns, more)
    }

    fn is_near(
        &self,
        now_ns: u64,
        other: Option<Life>,
        ends_ns: u64,
        patience: impl Fn(u64) -> u64,
    ) -> bool {
        match (self.life, other) {
            (None, None) => true,
            (Some(own), Some(other)) if own.timeout_ms == other.timeout_ms => {
                let other_ends_ns = until(now_ns, other).ends_ns;
                ends_ns.abs_diff(other_ends_ns) < patience(slack_ns(own.timeout_ms))
            }
            _ => false,
        }
    }

    /// Remaining lifetime; at least 1 ms.
    fn life(&self, now_ns: u64) -> Option<Life> {
        self.life.map(|life| {
            let left_ms = (life.ends_ns.saturating_sub(now_ns) / MS).max(1);
            Life {
                timeout_ms: life.timeout_ms.max(left_ms),
                left_ms,
            }
        })
    }

    /// Element in its present state.
    pub fn element(&self, now_ns: u64, key: &Key) -> Element {
        let (data, comment) = self.rest();
        Element {
            key: key.clone(),
            life: self.life(now_ns),
            data: data.into(),
            comment: comment.into(),
            metered: false,
        }
    }

    /// Encodes the value for the peer, and notes the end that the peer will know.
    pub fn encode(&mut self, now_ns: u64, out: &mut ValueWriter<'_>) {
        self.told_ends_ns = self.life.map_or(0, |life| life.ends_ns);
        let (data, comment) = self.rest();
        wire::encode(self.life(now_ns), data, comment, out);
    }

    /// Digest of everything except parts that change with time alone.
    pub fn digest(&self) -> u64 {
        let (data, comment) = self.rest();
        let timeout_ms = self.life.map_or(0, |life| life.timeout_ms);
        let length = (data.len() as u64).to_be_bytes();
        digest(&[&timeout_ms.to_be_bytes(), &length, data, comment])
    }

    /// Contribution to the digest of the whole set. An element with a timeout has none, because the nodes would not
    /// agree on the moment of its end.
    pub fn weight(&self, key: &Key) -> u64 {
        match self.life {
            Some(_) => 0,
            None => digest(&[&key.0, &self.digest().to_be_bytes()]),
        }
    }
}

/// 64-bit FNV-1a, finished by a multiplication so that close values are far apart.
pub fn digest(parts: &[&[u8]]) -> u64 {
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    for byte in parts.iter().flat_map(|part| part.iter()) {
        state = (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    (state ^ (state >> 29)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn until(now_ns: u64, life: Life) -> Until {
    Until {
        timeout_ms: life.timeout_ms,
        ends_ns: now_ns.saturating_add(life.left_ms.saturating_mul(MS)),
    }
}

/// Tolerance in ns: 2 s or 5 %, but not so much that a short lifetime ends before its renewal is sent.
fn slack_ns(timeout_ms: u64) -> u64 {
    let timeout_ns = timeout_ms.saturating_mul(MS);
    SLACK_NS.max(timeout_ns / 20).min(timeout_ns / 4).max(MS)
}

fn extra(data: Box<[u8]>, comment: Box<[u8]>) -> Option<Box<Extra>> {
    let empty = data.is_empty() && comment.is_empty();
    (!empty).then(|| Box::new(Extra { data, comment }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key([1, 2, 3, 4].into())
    }

    fn element(timeout_ms: u64, left_ms: u64) -> Element {
        let life = Life {
            timeout_ms,
            left_ms,
        };
        Element {
            key: key(),
            life: Some(life),
            data: Box::default(),
            comment: Box::default(),
            metered: false,
        }
    }

    #[test]
    fn a_life_longer_than_the_clock_counts_goes_on_and_stays_the_same() {
        let endless = element(u64::MAX, u64::MAX);
        let entry = Entry::new(SECOND, endless.clone());
        assert!(!entry.is_over(1_000_000 * SECOND));
        assert!(entry.is_same(2 * SECOND, &endless));
        let life = entry.element(SECOND, &key()).life;
        assert_eq!(life.map(|life| life.timeout_ms), Some(u64::MAX));
    }

    #[test]
    fn less_than_a_millisecond_is_told_as_one() {
        let entry = Entry::new(0, element(5_000, 2));
        let left_ms = |now_ns| entry.element(now_ns, &key()).life.map(|life| life.left_ms);
        let left = [0, MS, 2 * MS - 1].map(left_ms);
        assert_eq!(left, [Some(2), Some(1), Some(1)]);
        assert!(!entry.is_over(2 * MS - 1) && entry.is_over(2 * MS));
    }
}
