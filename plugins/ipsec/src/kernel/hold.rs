//! Packets that find no SA wait for one, or are dropped. The kernel keeps up to 100 behind each policy if it is told to;
//! what is passed on waits in a queue before it comes to its policy.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use spared_netlink::{PacketQueue, Transactions};

use crate::codec::hold::{self, Changes, Ways};

const DROPS: &str = "/proc/sys/net/core/xfrm_larval_drop";
/// What comes in 100 ms at 160 000 packets a second. A packet of 1500 bytes takes 2 kB in the kernel.
const PACKETS_MAX: u32 = 16_384;

/// Packets that go on in one step, and then the kernel sends them: more than a network card takes at a time it would put
/// into a queue, and some of them into the wrong order, or drop.
const STEP: u32 = 64;
/// Of what waits, where that is more: less and less do, unless eight ms bring more than that.
const SHARE: u32 = 8;
/// A kernel that carries no more than what comes never catches up.
const CATCH_UP_MAX: Duration = Duration::from_secs(2);

struct Queues {
    forwarded: PacketQueue,
    sent: PacketQueue,
}

impl Queues {
    /// Whether something still waits after that.
    fn step(&mut self) -> io::Result<bool> {
        let [sent, forwarded] = [
            step(&mut self.sent, Some(hold::MARK))?,
            step(&mut self.forwarded, None)?,
        ];
        Ok(sent || forwarded)
    }
}

fn step(queue: &mut PacketQueue, mark: Option<u32>) -> io::Result<bool> {
    let waiting = queue.waiting()?;
    let count = STEP.max(waiting.count / SHARE);
    queue.let_go(waiting, count, mark)?;
    Ok(waiting.count > count)
}

/// All that waits now.
fn let_all_go(queue: &mut PacketQueue, mark: Option<u32>) -> io::Result<()> {
    let mut left = queue.waiting()?.count;
    while left > 0 {
        let waiting = queue.waiting()?;
        queue.let_go(waiting, STEP, mark)?;
        left = left.saturating_sub(STEP).min(waiting.count);
    }
    Ok(())
}

pub struct Hold {
    transactions: Transactions,
    /// The previous value.
    before: Option<String>,
    queues: Option<Queues>,
    /// Since when what waits is let go, and what comes meanwhile waits behind it.
    ending: Option<Instant>,
}

impl Hold {
    /// Also removes what an earlier run left.
    ///
    /// # Errors
    /// No socket.
    pub fn open() -> io::Result<Self> {
        let mut opened = Self {
            transactions: Transactions::open()?,
            before: None,
            queues: None,
            ending: None,
        };
        opened.remove_table();
        Ok(opened)
    }

    /// # Errors
    /// The setting of the kernel cannot be read or written.
    pub fn begin(&mut self, ways: &Ways) -> io::Result<()> {
        self.ending = None;
        // a table that is made anew drops what is in the queues
        self.let_all_go();
        if self.before.is_none() {
            self.before = Some(fs::read_to_string(DROPS)?);
            fs::write(DROPS, "0")?;
        }
        if let Err(error) = self.queue(ways) {
            let (forwarded, sent) = (hold::FORWARDED_QUEUE, hold::SENT_QUEUE);
            log::info!(
                "a switchover keeps up to 100 packets for each tunnel, and no more: queues {forwarded} and {sent} of nfnetlink_queue: {error}"
            );
        }
        Ok(())
    }

    fn queue(&mut self, ways: &Ways) -> io::Result<()> {
        if *ways == Ways::default() {
            return Ok(());
        }
        // before the rules, which let pass what nobody takes
        if self.queues.is_none() {
            self.queues = Some(Queues {
                forwarded: PacketQueue::open(hold::FORWARDED_QUEUE, PACKETS_MAX)?,
                sent: PacketQueue::open(hold::SENT_QUEUE, PACKETS_MAX)?,
            });
        }
        self.commit(hold::hold(ways))
            .inspect_err(|_| self.queues = None)
    }

    /// What waits to be passed on is. What is sent has no second chance to wait, if its SA is still to come.
    pub fn let_go(&mut self) {
        self.say(|queues| let_all_go(&mut queues.forwarded, None));
    }

    fn let_all_go(&mut self) {
        self.say(|queues| {
            let_all_go(&mut queues.sent, Some(hold::MARK))?;
            let_all_go(&mut queues.forwarded, None)
        });
    }

    fn say<T: Default>(&mut self, word: impl FnOnce(&mut Queues) -> io::Result<T>) -> T {
        let said = self.queues.as_mut().map_or_else(|| Ok(T::default()), word);
        said.unwrap_or_else(|error| {
            log::warn!("packets that waited for their tunnels are lost: {error}");
            self.queues = None;
            T::default()
        })
    }

    /// Lets go some of what waits, in its order. What comes before the kernel is through with it waits behind it. False
    /// while it is to be called again, a ms later.
    ///
    /// # Errors
    /// The setting of the kernel cannot be written.
    pub fn end(&mut self) -> io::Result<bool> {
        let since = *self.ending.get_or_insert_with(Instant::now);
        if self.say(Queues::step) && since.elapsed() < CATCH_UP_MAX {
            return Ok(false);
        }
        self.drop_again().map(|()| true)
    }

    fn drop_again(&mut self) -> io::Result<()> {
        self.ending = None;
        if self.queues.is_some() {
            if let Err(error) = self.commit(hold::end()) {
                log::debug!("the table of a switchover is gone: {error}");
            }
            // what has come meanwhile
            self.let_all_go();
            self.queues = None;
        }
        let before = self.before.take();
        before.map_or(Ok(()), |it| fs::write(DROPS, it.trim()))
    }

    /// The plugin ends.
    ///
    /// # Errors
    /// As [`end`](Self::end).
    pub fn close(&mut self) -> io::Result<()> {
        let ended = self.drop_again();
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
