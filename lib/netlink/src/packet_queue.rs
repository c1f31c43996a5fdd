//! Packets that a rule hands to user space (nfnetlink_queue), and that stay in the kernel until they are let go.

use std::{fs, io};

use crate::constants::*;
use crate::{Message, Requests, put};

/// A line for each queue of the network namespace.
const FILE: &str = "/proc/thread-self/net/netfilter/nfnetlink_queue";

/// Packets that are in a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    pub count: u32,
    /// Number of the one that came last. One that found no room has none.
    last: u32,
}

impl Waiting {
    /// Of the lines of [`FILE`]: number, owner, packets, what is copied and how much of it, dropped twice, the last
    /// packet's number.
    fn read(lines: &str, number: u16) -> Option<Self> {
        let mut lines = lines.lines().map(|line| {
            let words = line.split_whitespace();
            let numbers = words.map(|word| word.parse().unwrap_or_default());
            numbers.collect::<Vec<u32>>()
        });
        let of_it = lines.find(|it| it.first() == Some(&number.into()))?;
        Some(Self {
            count: *of_it.get(2)?,
            last: *of_it.get(7)?,
        })
    }

    /// The last of so many that came first.
    fn end_of(self, count: u32) -> u32 {
        self.last.wrapping_sub(self.count.saturating_sub(count))
    }
}

/// A queue of the network namespace. With it goes what is in it.
pub struct PacketQueue {
    requests: Requests,
    number: u16,
}

impl PacketQueue {
    /// A queue of up to so many packets. What comes beyond them is not kept, and goes on.
    ///
    /// # Errors
    /// EBUSY: another program has this number; EINVAL where the kernel has no such queues; EPERM.
    pub fn open(number: u16, packets: u32) -> io::Result<Self> {
        let requests = Requests::open_netfilter()?;
        let mut queue = Self { requests, number };
        let mut payload = queue.header();
        put(&mut payload, NFQA_CFG_CMD, &[NFQNL_CFG_CMD_BIND, 0, 0, 0]);
        // no byte of a packet
        put(
            &mut payload,
            NFQA_CFG_PARAMS,
            &[0, 0, 0, 0, NFQNL_COPY_META],
        );
        put(&mut payload, NFQA_CFG_QUEUE_MAXLEN, &packets.to_be_bytes());
        // packets of several segments stay whole
        let flags = (NFQA_CFG_F_FAIL_OPEN | NFQA_CFG_F_GSO).to_be_bytes();
        put(&mut payload, NFQA_CFG_MASK, &flags);
        put(&mut payload, NFQA_CFG_FLAGS, &flags);
        let configures = Self::message(NFQNL_MSG_CONFIG, &payload);
        queue.requests.run_one(Ok(configures))?;
        // the notes of packets, which would fill it
        queue.requests.hear_nothing()?;
        Ok(queue)
    }

    /// What is in it now.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn waiting(&self) -> io::Result<Waiting> {
        let lines = fs::read_to_string(FILE)?;
        Waiting::read(&lines, self.number).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Of those that were waiting, the first ones, up to so many, go on in their order. With another mark than before the
    /// kernel looks for the route of each once more, if it is on its way out.
    ///
    /// # Errors
    /// Of the socket.
    pub fn let_go(&mut self, waiting: Waiting, count: u32, mark: Option<u32>) -> io::Result<()> {
        if waiting.count == 0 {
            return Ok(());
        }
        let mut payload = self.header();
        let mut verdict = NF_ACCEPT.to_be_bytes().to_vec();
        verdict.extend(waiting.end_of(count).to_be_bytes());
        put(&mut payload, NFQA_VERDICT_HDR, &verdict);
        if let Some(mark) = mark {
            put(&mut payload, NFQA_MARK, &mark.to_be_bytes());
        }
        let lets_go = Self::message(NFQNL_MSG_VERDICT_BATCH, &payload);
        self.requests.say(&lets_go)
    }

    /// `struct nfgenmsg`.
    fn header(&self) -> Vec<u8> {
        let [high, low] = self.number.to_be_bytes();
        vec![0, 0, high, low]
    }

    fn message(kind: u16, payload: &[u8]) -> Message {
        Message::request(NFNL_SUBSYS_QUEUE << 8 | kind, 0, payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_found_among_others_and_its_first_packets_by_their_numbers() {
        let lines = "    7  81238     3 1     0     0     0        9  1\n20563   1234   100 1     0     0     0      140  1\n";
        let waiting = Waiting::read(lines, 20563).expect("its line");
        assert_eq!((waiting.count, waiting.last), (100, 140));
        assert_eq!(waiting.end_of(64), 104);
        assert_eq!(waiting.end_of(1000), 140);
        let wrapped = Waiting { count: 10, last: 4 };
        assert_eq!(wrapped.end_of(1), u32::MAX - 4);
        assert_eq!(Waiting::read(lines, 20564), None);
        assert_eq!(Waiting::read("20563 1\n", 20563), None);
    }
}
