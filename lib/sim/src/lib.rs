//! Virtual time, channels and nodes: what the test of a sans-I/O engine needs around two engines.
//!
//! ```text
//!                    Clock  (one for all: nothing happens between two steps)
//!        +--------+                            +--------+
//!        | Node 0 | -- Channel 0 to 1 -------> | Node 1 |   a channel is ordered (a TCP stream,
//!        | engine | <------- Channel 1 to 0 -- | engine |   lost as a whole) or lossy (packets)
//!        +--------+                            +--------+
//!              ^          Random: one seed, one history
//! ```
//!
//! A test builds its own world from these and moves [`Clock`] to the next moment at which anything
//! happens ([`Clock::reach`]): the earliest of [`Channel::next_at`], of what its engines ask for, and
//! of the test's own plans in an [`Agenda`]. Nothing here knows an engine. [`shrink`] makes a history
//! that fails shorter.
//!
//! ```
//! use spared_sim::{Channel, Clock, Random};
//!
//! let (mut clock, mut random) = (Clock::default(), Random::new(7));
//! let mut channel = Channel::ordered(5_000_000, 10);
//! channel.send(clock.now_ns(), &mut random, "hello").unwrap();
//! assert_eq!(channel.receive(clock.now_ns()), None);
//! assert!(clock.reach(channel.next_at(), 1_000_000_000));
//! assert_eq!(channel.receive(clock.now_ns()), Some("hello"));
//! ```

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod agenda;
mod channel;
mod node;
mod random;

pub use agenda::Agenda;
pub use channel::{Channel, Rules};
pub use node::{Life, Node};
pub use random::{Random, shrink};

/// The one clock of a history, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    now_ns: u64,
}

impl Clock {
    /// A clock that begins at a moment: zero hides mistakes.
    pub fn at(now_ns: u64) -> Self {
        Self { now_ns }
    }

    /// The present moment.
    pub fn now_ns(self) -> u64 {
        self.now_ns
    }

    /// Moves on to a moment; time never goes back.
    pub fn move_to(&mut self, at_ns: u64) {
        self.now_ns = self.now_ns.max(at_ns);
    }

    /// Moves on to the next moment at which anything happens, if that is no later than `end_ns`;
    /// else to `end_ns`, and says no.
    pub fn reach(&mut self, next_at: Option<u64>, end_ns: u64) -> bool {
        let next_at = next_at.filter(|at_ns| *at_ns <= end_ns);
        self.move_to(next_at.unwrap_or(end_ns));
        next_at.is_some()
    }

    /// Moves on by a span.
    pub fn pass(&mut self, span_ns: u64) {
        self.now_ns = self.now_ns.saturating_add(span_ns);
    }
}
