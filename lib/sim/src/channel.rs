//! A channel in one direction.

use crate::{Agenda, Random};

/// Rules by which a channel treats messages.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Delay of each message.
    pub latency_ns: u64,
    /// Maximum of a random additional delay.
    pub jitter_ns: u64,
    /// Lost messages in a thousand.
    pub loss: u64,
    /// Duplicated messages in a thousand.
    pub twice: u64,
    /// Maximum number of messages on the way; a further one is refused.
    pub capacity: usize,
    /// True if messages arrive in order, whatever the jitter.
    pub is_ordered: bool,
}

/// Channel in one direction; cutting it loses all messages on the way.
#[derive(Clone, Debug)]
pub struct Channel<M> {
    rules: Rules,
    is_up: bool,
    /// Messages, ordered by the time of arrival.
    queue: Agenda<M>,
}

impl<M: Clone> Channel<M> {
    /// Creates a channel that is up.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            is_up: true,
            queue: Agenda::default(),
        }
    }

    /// Creates a reliable channel in order: a stream.
    pub fn ordered(latency_ns: u64, capacity: usize) -> Self {
        Self::new(Rules {
            latency_ns,
            jitter_ns: 0,
            loss: 0,
            twice: 0,
            capacity,
            is_ordered: true,
        })
    }

    /// Creates a channel of packets: so many in a thousand are lost or duplicated, and they may overtake each other.
    pub fn lossy(latency_ns: u64, jitter_ns: u64, loss: u64, twice: u64) -> Self {
        Self::new(Rules {
            latency_ns,
            jitter_ns,
            loss,
            twice,
            capacity: usize::MAX,
            is_ordered: false,
        })
    }

    /// Sends a message.
    ///
    /// # Errors
    /// The channel is down or full: the message is returned.
    pub fn send(&mut self, now_ns: u64, random: &mut Random, message: M) -> Result<(), M> {
        if !self.is_up || self.queue.len() >= self.rules.capacity {
            return Err(message);
        }
        if random.chance(self.rules.loss) {
            return Ok(());
        }
        if random.chance(self.rules.twice) {
            self.put(now_ns, random, message.clone());
        }
        self.put(now_ns, random, message);
        Ok(())
    }

    fn put(&mut self, now_ns: u64, random: &mut Random, message: M) {
        let jitter_ns = match self.rules.jitter_ns {
            0 => 0,
            jitter_ns => random.below(jitter_ns),
        };
        let mut at_ns = now_ns + self.rules.latency_ns + jitter_ns;
        if self.rules.is_ordered {
            at_ns = at_ns.max(self.queue.last_at().unwrap_or(0));
        }
        self.queue.plan(at_ns, message);
    }

    /// Takes the next message that has arrived.
    pub fn receive(&mut self, now_ns: u64) -> Option<M> {
        self.queue.take(now_ns).map(|(_, message)| message)
    }

    /// Time at which the next message arrives.
    pub fn next_at(&self) -> Option<u64> {
        self.queue.next_at()
    }

    /// Sets the delay of later messages.
    pub fn set_latency(&mut self, latency_ns: u64) {
        self.rules.latency_ns = latency_ns;
    }

    /// Loses all messages on the way; the channel stays down until [`link`](Self::link).
    pub fn cut(&mut self) {
        self.is_up = false;
        self.queue.clear();
    }

    /// Brings the channel up again, empty.
    pub fn link(&mut self) {
        self.is_up = true;
        self.queue.clear();
    }

    /// True if the channel is up.
    pub fn is_up(&self) -> bool {
        self.is_up
    }

    /// Number of messages on the way.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// True if no message is on the way.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Messages on the way.
    pub fn iter(&self) -> impl Iterator<Item = &M> {
        self.queue.iter()
    }

    /// Messages on the way, for damaging them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut M> {
        self.queue.iter_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_keeps_its_order_and_refuses_what_has_no_room() {
        let (mut random, mut channel) = (Random::new(1), Channel::ordered(10, 2));
        assert_eq!(channel.send(0, &mut random, 1), Ok(()));
        assert_eq!(channel.send(1, &mut random, 2), Ok(()));
        assert_eq!(channel.send(2, &mut random, 3), Err(3));
        assert_eq!(channel.receive(9), None);
        assert_eq!(
            [channel.receive(11), channel.receive(11)],
            [Some(1), Some(2)]
        );
        assert_eq!(channel.send(12, &mut random, 4), Ok(()));
        channel.cut();
        assert_eq!(channel.send(13, &mut random, 5), Err(5));
        channel.link();
        assert_eq!(channel.receive(100), None);
    }

    #[test]
    fn packets_pass_each_other_and_get_lost() {
        let mut random = Random::new(1);
        let mut channel = Channel::lossy(10, 100, 200, 100);
        for number in 0..1000 {
            channel.send(0, &mut random, number).unwrap();
        }
        let mut come = Vec::new();
        while let Some(number) = channel.receive(1_000) {
            come.push(number);
        }
        assert!(!come.is_sorted());
        let count = come.len();
        come.sort_unstable();
        come.dedup();
        assert!((700..900).contains(&come.len()), "{}", come.len());
        assert!(count > come.len());
    }
}
