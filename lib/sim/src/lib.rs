//! Virtual time, channels and nodes: the environment for tests of a sans-I/O engine.
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
//! A test builds its own world from these parts and moves [`Clock`] to the moment of the next event ([`Clock::reach`]):
//! the earliest of [`Channel::next_at`], the timeouts of its engines, and the test's own plans in an [`Agenda`]. This
//! crate knows no engine. [`shrink`] shortens a failing history.
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

/// Clock of a history, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    now_ns: u64,
}

impl Clock {
    /// Creates a clock that begins at a moment: zero hides mistakes.
    pub fn at(now_ns: u64) -> Self {
        Self { now_ns }
    }

    /// Present time.
    pub fn now_ns(self) -> u64 {
        self.now_ns
    }

    /// Moves to a moment; time never goes back.
    pub fn move_to(&mut self, at_ns: u64) {
        self.now_ns = self.now_ns.max(at_ns);
    }

    /// Moves to the next event and returns true, if the event is not later than `end_ns`. Otherwise moves to `end_ns`
    /// and returns false.
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
