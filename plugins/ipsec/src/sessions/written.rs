//! Messages for tests.

use super::IkeSpis;
use super::message::{Kind, Message, virtual_addresses};

pub const VIP: [u8; 4] = [192, 0, 2, 1];
pub const FAR_END: [u8; 4] = [203, 0, 113, 9];

/// Messages as strongSwan 5.9 writes them.
#[derive(Clone)]
pub struct Written(Vec<u8>);

impl Written {
    pub fn new(kind: Kind, ike: IkeSpis) -> Self {
        Self(virtual_addresses(3, ike, false, &[])).with_kind(kind)
    }

    fn with_kind(mut self, kind: Kind) -> Self {
        self.0[1] = kind as u8;
        self
    }

    pub fn put(mut self, attribute: u8, value: &[u8]) -> Self {
        self.0.push(attribute);
        self.0.extend(value);
        self
    }

    pub fn rekeys(self, ike: IkeSpis) -> Self {
        let spis = [&[2][..], &ike.0.to_be_bytes(), &ike.1.to_be_bytes(), &[0]].concat();
        self.put(2, &spis)
    }

    pub fn ikev1(self) -> Self {
        self.put(36, &[1])
    }

    pub fn end(self) -> Self {
        let host = |address: &[u8]| [&[0x11, 0x94, 2][..], address].concat();
        let ends = self.put(6, &host(&VIP)).put(7, &host(&FAR_END));
        ends.name("rw")
    }

    pub fn name(self, name: &str) -> Self {
        self.put(8, &[name.as_bytes(), &[0]].concat())
    }

    pub fn spis(self, inbound: u32, outbound: u32) -> Self {
        self.put(27, &inbound.to_ne_bytes())
            .put(28, &outbound.to_ne_bytes())
    }

    pub fn bytes(self) -> Vec<u8> {
        self.0
    }

    pub fn read(self) -> Message {
        Message::read(&self.0).unwrap()
    }
}
