//! Packets that a rule passes to user space (nfnetlink_queue), and that stay in the kernel until they are released.

use std::{fs, io};

use crate::constants::*;
use crate::{Message, Requests, put};

/// File with a line for each queue of the network namespace.
const FILE: &str = "/proc/thread-self/net/netfilter/nfnetlink_queue";

/// Packets in a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    pub count: u32,
    /// Number of the last packet. A packet that did not fit has no number.
    last: u32,
}

impl Waiting {
    /// Parses the lines of [`FILE`]: number, owner, packets, copy mode and range, two counts of dropped packets, number
    /// of the last packet.
    fn read(lines: &str, number: u16) -> Option<Self> {
        let mut lines = lines.lines().map(|line| {
            let words = line.split_whitespace();
            let numbers = words.map(|word| word.parse().unwrap_or_default());
            numbers.collect::<Vec<u32>>()
        });
        let line = lines.find(|it| it.first() == Some(&number.into()))?;
        Some(Self {
            count: *line.get(2)?,
            last: *line.get(7)?,
        })
    }

    /// Number of the last one of the first `count` packets.
    fn end_of(self, count: u32) -> u32 {
        self.last.wrapping_sub(self.count.saturating_sub(count))
    }
}

/// Queue of the network namespace. The kernel drops its packets when it is closed.
pub struct PacketQueue {
    requests: Requests,
    number: u16,
}

impl PacketQueue {
    /// Opens a queue of up to `packets` packets. Further packets are not queued and continue.
    ///
    /// # Errors
    /// EBUSY: another program uses this number; EINVAL: the kernel has no such queues; EPERM.
    pub fn open(number: u16, packets: u32) -> io::Result<Self> {
        let requests = Requests::open_netfilter()?;
        let mut queue = Self { requests, number };
        let mut payload = queue.header();
        put(&mut payload, NFQA_CFG_CMD, &[NFQNL_CFG_CMD_BIND, 0, 0, 0]);
        // no bytes of packets are copied
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
        // notifications of packets would fill the socket's buffer
        queue.requests.drop_received()?;
        Ok(queue)
    }

    /// Packets that are in the queue now.
    ///
    /// # Errors
    /// The kernel does not report them.
    pub fn waiting(&self) -> io::Result<Waiting> {
        let lines = fs::read_to_string(FILE)?;
        Waiting::read(&lines, self.number).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Releases the first `count` of the packets that were `waiting`, in their order. With a new mark the kernel routes
    /// each outgoing packet again.
    ///
    /// # Errors
    /// The error of the socket.
    pub fn release(&mut self, waiting: Waiting, count: u32, mark: Option<u32>) -> io::Result<()> {
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
        let releases = Self::message(NFQNL_MSG_VERDICT_BATCH, &payload);
        self.requests.send_unanswered(&releases)
    }

    /// Header `struct nfgenmsg`.
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
