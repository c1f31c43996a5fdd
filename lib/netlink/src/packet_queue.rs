//! Packets that a rule hands to user space (nfnetlink_queue), and that stay in the kernel until they are let go.

use std::io;

use crate::constants::*;
use crate::{Message, Requests, put};

/// The kernel's note of a packet, with what it reckons for the buffer itself. Nobody reads these notes.
const NOTE_BYTES: usize = 1024;
/// Of the first packet on; the kernel compares them as signed differences (`nfq_id_after`).
const LAST_ID: u32 = i32::MAX as u32;

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
        requests.set_room(packets as usize * NOTE_BYTES);
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
        Ok(queue)
    }

    /// Everything that is in it goes on, in its order. With another mark than before the kernel looks for its route
    /// once more, if it is on its way out.
    ///
    /// # Errors
    /// Of the socket.
    pub fn let_go(&mut self, mark: Option<u32>) -> io::Result<()> {
        let mut payload = self.header();
        let mut verdict = NF_ACCEPT.to_be_bytes().to_vec();
        verdict.extend(LAST_ID.to_be_bytes());
        put(&mut payload, NFQA_VERDICT_HDR, &verdict);
        if let Some(mark) = mark {
            put(&mut payload, NFQA_MARK, &mark.to_be_bytes());
        }
        // no verdict of the kernel's: it would be behind a note for each packet
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
