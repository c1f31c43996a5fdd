//! Frames by which two nodes agree on the key of their heartbeats: UDP, on the same paths and port as heartbeats;
//! version 1.
//!
//! ```text
//!     0                   1                   2                   3
//!     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//!    +---------------------------------------------------------------+
//!  0 |                         Magic, "SPKA"                         |
//!    +---------------+---------------+-------------------------------+
//!  4 |    Version    |     Kind      |           Reserved            |
//!    +---------------+---------------+-------------------------------+
//!  8 |                   From: the sender's run, 8                   |
//!    +---------------------------------------------------------------+
//! 16 |                   To: the receiver's run, 8                   |
//!    +---------------------------------------------------------------+
//! 24 |          Number, 8: rises with each offer of that run         |
//!    +---------------------------------------------------------------+
//! 32 |                  X25519 public key, 32                        |
//!    +---------------------------------------------------------------+
//! 64 |                  Ed25519 signature, 64                        |
//!    +---------------------------------------------------------------+
//!
//! Kind: 1 hello, which ends after From; 2 offer; 3 answer to the offer of that number
//! ```
//!
//! The signature covers a *statement*: everything before it, the public key that an answer answers, and the names of
//! both nodes, the sender's first, each after a byte with its length. No run is 0.

use super::array;

/// Size of a hello in bytes.
pub const HELLO_LEN: usize = 16;
/// Size of an offer and of an answer in bytes.
pub const OFFER_LEN: usize = SIGNED_LEN + SIGNATURE_LEN;
/// Size of a signature in bytes.
pub const SIGNATURE_LEN: usize = 64;
/// Size of an X25519 key in bytes.
pub const PUBLIC_LEN: usize = 32;

const MAGIC: [u8; 4] = *b"SPKA";
const VERSION: u8 = 1;
const HELLO: u8 = 1;
const OFFER: u8 = 2;
const ANSWER: u8 = 3;
const SIGNED_LEN: usize = 64;

mod field {
    pub const KIND: usize = 5;
    pub const FROM: usize = 8;
    pub const TO: usize = 16;
    pub const NUMBER: usize = 24;
    pub const PUBLIC: usize = 32;
}

/// An X25519 public key.
pub type Public = [u8; PUBLIC_LEN];
/// An Ed25519 signature.
pub type Signature = [u8; SIGNATURE_LEN];

/// A frame; its contents are not to be trusted before its signature was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// "I am this run", which anybody can send.
    Hello(u64),
    Offer(Offer, Signature),
    Answer(Offer, Signature),
}

/// A node's key share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    pub from: u64,
    pub to: u64,
    pub number: u64,
    pub public: Public,
}

/// Reason why bytes are no such frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    Length,
    Version,
    Kind,
    /// The run is 0.
    Run,
}

/// Returns true if a payload is such a frame, of any version, rather than a heartbeat.
pub fn is_agreement_frame(payload: &[u8]) -> bool {
    payload.starts_with(&MAGIC)
}

impl Frame {
    pub fn parse(bytes: &[u8]) -> Result<Frame, Malformed> {
        let [_, _, _, _, version, kind, ..] = *bytes else {
            return Err(Malformed::Length);
        };
        if version != VERSION {
            return Err(Malformed::Version);
        }
        let length = match kind {
            HELLO => HELLO_LEN,
            OFFER | ANSWER => OFFER_LEN,
            _ => return Err(Malformed::Kind),
        };
        if bytes.len() != length {
            return Err(Malformed::Length);
        }
        let number = |at| array(bytes, at).map_or(0, u64::from_be_bytes);
        let from = number(field::FROM);
        if from == 0 {
            return Err(Malformed::Run);
        }
        if kind == HELLO {
            return Ok(Frame::Hello(from));
        }
        let offer = Offer {
            from,
            to: number(field::TO),
            number: number(field::NUMBER),
            public: array(bytes, field::PUBLIC).ok_or(Malformed::Length)?,
        };
        let signature = array(bytes, SIGNED_LEN).ok_or(Malformed::Length)?;
        Ok(if kind == OFFER {
            Frame::Offer(offer, signature)
        } else {
            Frame::Answer(offer, signature)
        })
    }
}

/// Returns a hello of a run.
pub fn hello(run: u64) -> [u8; HELLO_LEN] {
    let mut bytes = [0; HELLO_LEN];
    put(&mut bytes, 0, &header(HELLO));
    put(&mut bytes, field::FROM, &run.to_be_bytes());
    bytes
}

impl Offer {
    /// Returns an offer, or an answer, without its signature.
    fn unsigned(&self, answers: bool) -> [u8; OFFER_LEN] {
        let mut bytes = [0; OFFER_LEN];
        put(&mut bytes, 0, &header(if answers { ANSWER } else { OFFER }));
        put(&mut bytes, field::FROM, &self.from.to_be_bytes());
        put(&mut bytes, field::TO, &self.to.to_be_bytes());
        put(&mut bytes, field::NUMBER, &self.number.to_be_bytes());
        put(&mut bytes, field::PUBLIC, &self.public);
        bytes
    }

    /// Returns the complete frame; an answer if `answers`.
    pub fn frame(&self, answers: bool, signature: &Signature) -> [u8; OFFER_LEN] {
        let mut bytes = self.unsigned(answers);
        put(&mut bytes, SIGNED_LEN, signature);
        bytes
    }

    /// Returns the statement that its sender signs.
    pub fn statement(&self, answers: Option<&Public>, sender: &str, receiver: &str) -> Vec<u8> {
        let unsigned = self.unsigned(answers.is_some());
        let mut bytes = unsigned.get(..SIGNED_LEN).unwrap_or_default().to_vec();
        bytes.extend(answers.into_iter().flatten());
        for name in [sender, receiver] {
            bytes.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
            bytes.extend_from_slice(name.as_bytes());
        }
        bytes
    }
}

fn header(kind: u8) -> [u8; 6] {
    let mut bytes = [0, 0, 0, 0, VERSION, 0];
    put(&mut bytes, 0, &MAGIC);
    put(&mut bytes, field::KIND, &[kind]);
    bytes
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OFFER_OF_1: Offer = Offer {
        from: 1,
        to: 2,
        number: 3,
        public: [4; PUBLIC_LEN],
    };

    #[test]
    fn frames_have_these_bytes() {
        let mut golden = b"SPKA\x01\x02\x00\x00".to_vec();
        golden.extend([0, 0, 0, 0, 0, 0, 0, 1]);
        golden.extend([0, 0, 0, 0, 0, 0, 0, 2]);
        golden.extend([0, 0, 0, 0, 0, 0, 0, 3]);
        golden.extend([4; 32]);
        let statement = OFFER_OF_1.statement(None, "r1", "r22");
        assert_eq!(statement, [&golden[..], b"\x02r1\x03r22"].concat());
        golden.extend([5; 64]);
        assert_eq!(OFFER_OF_1.frame(false, &[5; 64]), golden[..]);
        golden[5] = 3;
        assert_eq!(OFFER_OF_1.frame(true, &[5; 64]), golden[..]);
        let statement = OFFER_OF_1.statement(Some(&[6; 32]), "r1", "r22");
        let expected = [&golden[..64], &[6; 32], b"\x02r1\x03r22"].concat();
        assert_eq!(statement, expected);
        assert_eq!(
            hello(1),
            b"SPKA\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"[..]
        );
    }

    #[test]
    fn what_is_emitted_is_read() {
        let signature = [5; SIGNATURE_LEN];
        let read = |bytes: &[u8]| Frame::parse(bytes);
        assert_eq!(read(&hello(7)), Ok(Frame::Hello(7)));
        let offer = OFFER_OF_1.frame(false, &signature);
        assert_eq!(read(&offer), Ok(Frame::Offer(OFFER_OF_1, signature)));
        let answer = OFFER_OF_1.frame(true, &signature);
        assert_eq!(read(&answer), Ok(Frame::Answer(OFFER_OF_1, signature)));
        assert!(
            [&hello(7)[..], &offer, &answer]
                .into_iter()
                .all(is_agreement_frame)
        );
    }

    #[test]
    fn anything_else_is_refused() {
        let offer = OFFER_OF_1.frame(false, &[5; SIGNATURE_LEN]);
        for length in 0..offer.len() {
            assert!(Frame::parse(&offer[..length]).is_err(), "{length}");
        }
        let changed = |at: usize, value: u8| {
            let mut bytes = offer;
            bytes[at] = value;
            Frame::parse(&bytes).map(|_| ())
        };
        assert_eq!(changed(4, 2), Err(Malformed::Version));
        assert_eq!(changed(5, 4), Err(Malformed::Kind));
        assert_eq!(changed(5, 1), Err(Malformed::Length));
        assert_eq!(changed(15, 0), Err(Malformed::Run));
        // reserved
        assert_eq!(changed(6, 1), Ok(()));
        assert!(!is_agreement_frame(b"SPBT"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Frame::parse(&bytes);
            if let [_, _, _, _, version, kind, ..] = bytes.as_mut_slice() {
                (*version, *kind) = (1, *kind % 4);
            }
            let _ = Frame::parse(&bytes);
        }
    }
}
