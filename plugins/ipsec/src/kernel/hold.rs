//! Lets packets that find no SA wait for one, or be dropped. The kernel can keep up to 100 behind each policy
//! (`larval_drop.rs`); forwarded packets wait in a queue before their policy is looked up.

use std::io;
use std::path::Path;

use spared_netlink::{PacketQueue, Transactions};

use super::larval_drop::LarvalDrop;
use crate::codec::hold::{self, Changes, HeldTraffic, NewSas};

/// Size of the queue in packets: 100 ms at 160 000 packets a second. A packet of 1500 bytes takes 2 kB in the kernel.
const PACKETS_MAX: u32 = 16_384;

/// Packets released in one step, before the kernel sends them: as many as a network card accepts at a time. The kernel
/// would put more into a queue, and drop some.
const STEP: u32 = 64;
const STEP_MAX: u32 = 256;
/// Divisor: a step is this part of the waiting packets, if that is more than `STEP`.
const PART: u32 = 8;
/// Number of steps without a new minimum of waiting packets, after which it ends: as many arrive as are released.
const STALLED_MAX: u32 = 20;

struct Queues {
    forwarded: PacketQueue,
    sent: PacketQueue,
}

impl Queues {
    fn open() -> io::Result<Self> {
        let queues = Self {
            forwarded: PacketQueue::open(hold::FORWARDED_QUEUE, PACKETS_MAX)?,
            sent: PacketQueue::open(hold::SENT_QUEUE, PACKETS_MAX)?,
        };
        // a queue that cannot be read could not be released
        queues.forwarded.waiting()?;
        Ok(queues)
    }

    /// Releases one step of each queue; returns how many packets still wait.
    fn step(&mut self) -> io::Result<u32> {
        let sent = step(&mut self.sent, Some(hold::MARK))?;
        Ok(sent + step(&mut self.forwarded, None)?)
    }
}

fn step(queue: &mut PacketQueue, mark: Option<u32>) -> io::Result<u32> {
    let waiting = queue.waiting()?;
    let count = (waiting.count / PART).clamp(STEP, STEP_MAX);
    queue.release(waiting, count, mark)?;
    Ok(waiting.count.saturating_sub(count))
}

/// Releases all packets that wait now.
fn release_waiting(queue: &mut PacketQueue, mark: Option<u32>) -> io::Result<()> {
    let waiting = queue.waiting()?;
    for count in (STEP..waiting.count + STEP).step_by(STEP as usize) {
        queue.release(waiting, count, mark)?;
    }
    Ok(())
}

/// Progress of the release: packets that arrive meanwhile wait behind the others.
struct ReleaseProgress {
    minimum: u32,
    stalled: u32,
}

impl ReleaseProgress {
    const NEW: Self = Self {
        minimum: u32::MAX,
        stalled: 0,
    };

    /// Takes the number of packets left after a step. Returns true if another step is worthwhile.
    fn handle_step(&mut self, left: u32) -> bool {
        self.stalled = if left < self.minimum {
            0
        } else {
            self.stalled + 1
        };
        self.minimum = self.minimum.min(left);
        left > 0 && self.stalled < STALLED_MAX
    }
}

/// Reasons why packets did not wait when they last should have.
#[derive(Debug, Default)]
struct QueueFaults {
    /// Reason of the queues.
    queues: Option<String>,
    /// Reason of the policies.
    policies: Option<String>,
}

impl QueueFaults {
    /// Describes the greatest number of waiting packets.
    fn capacity(&self) -> String {
        match (&self.queues, &self.policies) {
            (None, None) => format!("{PACKETS_MAX} packets"),
            (Some(why), None) => format!("100 packets of each tunnel, as {why}"),
            (None, Some(why)) => {
                format!(
                    "{PACKETS_MAX} packets that are forwarded between networks of policies, or sent in transport mode, \
                     and no others, as {why}"
                )
            }
            (Some(why), Some(and)) => format!("no packet, as {why}, and {and}"),
        }
    }
}

pub struct Hold {
    transactions: Transactions,
    larval_drop: LarvalDrop,
    queues: Option<Queues>,
    faults: QueueFaults,
    ending: Option<ReleaseProgress>,
    /// Some packets are dropped until the end.
    is_guarded: bool,
}

impl Hold {
    /// Opens it, removes what an earlier run left, and tries if the kernel has queues. `folder` is the plugin's.
    ///
    /// # Errors
    /// No socket is available.
    pub fn open(folder: Option<&Path>) -> io::Result<Self> {
        let mut opened = Self {
            transactions: Transactions::open()?,
            larval_drop: LarvalDrop::open(folder),
            queues: None,
            faults: QueueFaults::default(),
            ending: None,
            is_guarded: true,
        };
        opened.end_guard();
        opened.remove_table();
        let looked = opened.larval_drop.check();
        opened.note_policies(&looked);
        let queues = Queues::open().map(drop);
        opened.note_queues(&queues);
        Ok(opened)
    }

    /// Describes the greatest number of waiting packets.
    pub fn capacity(&self) -> String {
        self.faults.capacity()
    }

    fn note_queues(&mut self, opened: &io::Result<()>) {
        let (forwarded, sent) = (hold::FORWARDED_QUEUE, hold::SENT_QUEUE);
        let why = opened.as_ref().err().map(|error| {
            format!("queues {forwarded} and {sent} of nfnetlink_queue cannot be had: {error}")
        });
        let is_new = why.is_some() && self.faults.queues != why;
        self.faults.queues = why;
        self.log_capacity(is_new);
    }

    fn note_policies(&mut self, kept: &io::Result<()>) {
        let why = kept.as_ref().err();
        let why = why.map(|error| format!("net.core.xfrm_larval_drop cannot be set to 0: {error}"));
        let is_new = why.is_some() && self.faults.policies != why;
        self.faults.policies = why;
        self.log_capacity(is_new);
    }

    fn log_capacity(&self, is_new: bool) {
        if is_new {
            log::info!("a switchover keeps {}", self.capacity());
        }
    }

    /// Begins to hold packets. The queues need no setting: if it cannot be written, as in containers, they still hold
    /// forwarded packets.
    ///
    /// # Errors
    /// The setting of the kernel cannot be read or written.
    pub fn begin(&mut self, traffic: &HeldTraffic) -> io::Result<()> {
        self.ending = None;
        // replacing the table drops the packets in the queues
        self.release_all();
        let kept = self.larval_drop.switch_off();
        self.note_policies(&kept);
        if *traffic != HeldTraffic::default() {
            let queued = self.queue(traffic);
            self.note_queues(&queued);
        }
        kept
    }

    /// Drops what is sent with SAs that another program is about to add, until [`end`](Self::end).
    ///
    /// # Errors
    /// The kernel refused it: nothing is dropped.
    pub fn guard(&mut self, sas: &NewSas) -> io::Result<()> {
        self.is_guarded = true;
        self.commit(hold::guard(sas))
    }

    fn end_guard(&mut self) {
        if std::mem::take(&mut self.is_guarded) {
            if let Err(error) = self.commit(hold::guard(&NewSas::default())) {
                log::warn!("packets of some tunnels are dropped: {error}");
            }
        }
    }

    fn queue(&mut self, traffic: &HeldTraffic) -> io::Result<()> {
        // before the rules, which let packets pass that no program reads
        if self.queues.is_none() {
            self.queues = Some(Queues::open()?);
        }
        self.commit(hold::hold(traffic))
            .inspect_err(|_| self.queues = None)
    }

    /// Releases the waiting packets to forward. Sent packets stay: they could not wait again if their SA is still
    /// missing.
    pub fn release_forwarded(&mut self) {
        self.with_queues(|queues| release_waiting(&mut queues.forwarded, None));
    }

    fn release_all(&mut self) {
        self.with_queues(|queues| {
            release_waiting(&mut queues.sent, Some(hold::MARK))?;
            release_waiting(&mut queues.forwarded, None)
        });
    }

    fn with_queues<T: Default>(&mut self, step: impl FnOnce(&mut Queues) -> io::Result<T>) -> T {
        let done = self.queues.as_mut().map_or_else(|| Ok(T::default()), step);
        done.unwrap_or_else(|error| {
            log::warn!("packets that waited for their tunnels are lost: {error}");
            self.queues = None;
            T::default()
        })
    }

    /// Releases some of the waiting packets, in order. Packets that arrive before the kernel has sent these wait behind
    /// them. Returns false if it is to be called again, 1 ms later.
    ///
    /// # Errors
    /// The setting of the kernel cannot be written.
    pub fn end(&mut self) -> io::Result<bool> {
        self.end_guard();
        let left = self.with_queues(Queues::step);
        if self
            .ending
            .get_or_insert(ReleaseProgress::NEW)
            .handle_step(left)
        {
            return Ok(false);
        }
        self.end_hold().map(|()| true)
    }

    fn end_hold(&mut self) -> io::Result<()> {
        self.ending = None;
        if self.queues.is_some() {
            if let Err(error) = self.commit(hold::end()) {
                log::debug!("the table of a switchover is gone: {error}");
            }
            // packets that have arrived meanwhile
            self.release_all();
            self.queues = None;
        }
        self.larval_drop.restore()
    }

    /// Ends the holding when the plugin ends.
    ///
    /// # Errors
    /// As [`end`](Self::end).
    pub fn close(&mut self) -> io::Result<()> {
        self.end_guard();
        let ended = self.end_hold();
        self.remove_table();
        ended
    }

    fn remove_table(&mut self) {
        if let Err(error) = self.commit(hold::remove()) {
            log::debug!("no nf_tables: {error}");
        }
    }

    fn commit(&mut self, changes: Changes) -> io::Result<()> {
        self.transactions.commit_all(&changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_said_with_the_reason_why_no_more_is() {
        let why = |text: &str| Some(text.to_owned());
        let mut faults = QueueFaults::default();
        assert_eq!(faults.capacity(), "16384 packets");
        faults.policies = why("it is read-only");
        assert_eq!(
            faults.capacity(),
            "16384 packets that are forwarded between networks of policies, or sent in transport mode, and no others, \
             as it is read-only"
        );
        faults.queues = why("no queues");
        assert_eq!(
            faults.capacity(),
            "no packet, as no queues, and it is read-only"
        );
        faults.policies = None;
        assert_eq!(
            faults.capacity(),
            "100 packets of each tunnel, as no queues"
        );
    }

    #[test]
    fn what_waits_is_let_go_until_nothing_does_or_as_much_comes() {
        let mut ending = ReleaseProgress::NEW;
        assert!(ending.handle_step(200) && ending.handle_step(100));
        assert!(!ending.handle_step(0));
        let mut ending = ReleaseProgress::NEW;
        let steps = (0..)
            .take_while(|it| ending.handle_step(800 + it % 7))
            .count();
        assert_eq!(steps, STALLED_MAX as usize);
    }
}
