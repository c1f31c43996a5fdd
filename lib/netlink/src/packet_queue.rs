//! Packets that a rule hands to user space (nfnetlink_queue), and that stay in the kernel until they are let go.

use std::io;

use neli::consts::socket::Msg;
use neli::socket::NlSocket;

use crate::constants::*;
use crate::socket::{error_of, messages, open_netfilter, receive_from, set_receive_buffer};
use crate::{Message, put};

const NLMSG_ERROR: u16 = 2;
/// The kernel's note of a packet, with what it reckons for the buffer itself. Nobody reads these notes.
const NOTE_BYTES: usize = 1024;
/// Of the first packet on; the kernel compares them as signed differences (`nfq_id_after`).
const LAST_ID: u32 = i32::MAX as u32;

/// A queue of the network namespace. With it goes what is in it.
pub struct PacketQueue {
    socket: NlSocket,
    number: u16,
}

impl PacketQueue {
    /// A queue of up to so many packets. What comes beyond them is not kept, and goes on.
    ///
    /// # Errors
    /// EBUSY: another program has this number; EINVAL where the kernel has no such queues; EPERM.
    pub fn open(number: u16, packets: u32) -> io::Result<Self> {
        let socket = open_netfilter()?;
        set_receive_buffer(&socket, packets as usize * NOTE_BYTES);
        let queue = Self { socket, number };
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
        queue.send(NFQNL_MSG_CONFIG, &payload, true)?;
        queue.verdict()?;
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
        self.send(NFQNL_MSG_VERDICT_BATCH, &payload, false)
    }

    /// `struct nfgenmsg`.
    fn header(&self) -> Vec<u8> {
        let [high, low] = self.number.to_be_bytes();
        vec![0, 0, high, low]
    }

    fn send(&self, kind: u16, payload: &[u8], acknowledge: bool) -> io::Result<()> {
        let message = Message::request(NFNL_SUBSYS_QUEUE << 8 | kind, 0, payload);
        let mut bytes = Vec::new();
        message.append_to(&mut bytes, 1, acknowledge);
        self.socket.send(&bytes, Msg::empty()).map(drop)
    }

    /// The kernel's answer, which is there before `send` returns.
    fn verdict(&self) -> io::Result<()> {
        let mut buffer = [0; 256];
        let length = receive_from(&self.socket, &mut buffer)?;
        let mut answers = messages(&buffer[..length.unwrap_or_default()]);
        match answers.find(|(header, _)| header.kind == NLMSG_ERROR) {
            Some((_, payload)) => error_of(payload).map_or(Ok(()), Err),
            None => Err(io::Error::other("the kernel does not answer")),
        }
    }
}
