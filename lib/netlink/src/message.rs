//! Encoding of one rtnetlink request.

use std::io::{self, Cursor};

use neli::ToBytes;
use neli::consts::nl::NlmF;
use neli::consts::rtnl::Rtm;
use neli::nl::{NlPayload, NlmsghdrBuilder};

/// Request as bytes; its sequence number is set when it is sent.
#[derive(Clone, Debug)]
pub struct Message(Vec<u8>);

impl Message {
    pub(crate) fn new<P: neli::Size + ToBytes>(
        kind: Rtm,
        flags: NlmF,
        payload: P,
    ) -> io::Result<Self> {
        let header = NlmsghdrBuilder::default()
            .nl_type(kind)
            .nl_flags(flags | NlmF::REQUEST)
            .nl_payload(NlPayload::Payload(payload))
            .build()
            .map_err(io::Error::other)?;
        let mut bytes = Cursor::new(Vec::with_capacity(128));
        header.to_bytes(&mut bytes).map_err(io::Error::other)?;
        Ok(Self(bytes.into_inner()))
    }

    /// Creates a request of any type from the bytes after its header.
    pub fn request(kind: u16, flags: u16, payload: &[u8]) -> Self {
        const REQUEST: u16 = 1;
        let length = 16 + payload.len() as u32;
        let mut bytes = Vec::with_capacity(length as usize);
        bytes.extend(length.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend((flags | REQUEST).to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(payload);
        Self(bytes)
    }

    /// Creates a request for all objects of a type that the payload selects.
    pub fn dump(kind: u16, payload: &[u8]) -> Self {
        const DUMP: u16 = 0x300;
        Self::request(kind, DUMP, payload)
    }

    /// Bytes of the request with its header.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn append_to(&self, out: &mut Vec<u8>, sequence: u32, acknowledge: bool) {
        const ACK: u16 = 4;
        let start = out.len();
        out.extend_from_slice(&self.0);
        if let Some(field) = out.get_mut(start + 8..start + 12) {
            field.copy_from_slice(&sequence.to_ne_bytes());
        }
        if let Some(field) = out.get_mut(start + 6..start + 8) {
            let flags = u16::from_ne_bytes([field[0], field[1]]);
            let flags = if acknowledge { flags | ACK } else { flags };
            field.copy_from_slice(&flags.to_ne_bytes());
        }
        out.resize(out.len().next_multiple_of(4), 0);
    }
}
