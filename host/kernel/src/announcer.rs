//! Sends the frames that announce addresses, and counts them.

use spared_netlink::PacketSocket;

use super::KernelError;

pub(super) struct Announcer {
    packets: PacketSocket,
    sent: u64,
    failed: u64,
}

impl Announcer {
    pub(super) fn open() -> Result<Self, KernelError> {
        let packets = PacketSocket::sender();
        Ok(Self {
            packets: packets
                .map_err(|error| KernelError::new("kernel", "open a packet socket", error))?,
            sent: 0,
            failed: 0,
        })
    }

    pub(super) fn send(&mut self, index: u32, frame: &[u8]) {
        match self.packets.send(index, frame) {
            Ok(()) => self.sent += 1,
            Err(_) => self.failed += 1,
        }
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    pub(super) fn failed(&self) -> u64 {
        self.failed
    }
}
