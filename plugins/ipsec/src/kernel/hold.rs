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

/// To let go what came within this took the kernel: then it is as fast as the packets come.
const CAUGHT_UP: Duration = Duration::from_millis(2);
/// A kernel that carries no more than what comes never catches up.
const CATCH_UP_MAX: Duration = Duration::from_secs(2);

struct Queues {
    forwarded: PacketQueue,
    sent: PacketQueue,
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
        self.say(|queues| queues.forwarded.let_go(None));
    }

    fn let_all_go(&mut self) {
        self.say(|queues| {
            queues.sent.let_go(Some(hold::MARK))?;
            queues.forwarded.let_go(None)
        });
    }

    fn say(&mut self, word: impl FnOnce(&mut Queues) -> io::Result<()>) {
        if let Err(error) = self.queues.as_mut().map_or(Ok(()), word) {
            log::warn!("packets that waited for their tunnels are lost: {error}");
            self.queues = None;
        }
    }

    /// Lets go what waits, in its order: so what comes before the kernel is through with it waits behind it, where there
    /// is more room than in the queues of network cards. False while it is to be called again.
    ///
    /// # Errors
    /// The setting of the kernel cannot be written.
    pub fn end(&mut self) -> io::Result<bool> {
        let begun = Instant::now();
        self.let_all_go();
        let since = *self.ending.get_or_insert(begun);
        let goes_on = begun.elapsed() > CAUGHT_UP && since.elapsed() < CATCH_UP_MAX;
        if self.queues.is_some() && goes_on {
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
