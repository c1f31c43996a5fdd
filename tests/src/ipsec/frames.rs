// SPDX-License-Identifier: MIT OR Apache-2.0
//! ESP frames (RFC 4303 §2), to inspect and to replay.

use std::thread;
use std::time::Duration;

use super::{FAR, Tunnelled};
use crate::Result;
use crate::lab::{CLIENT, VIRTUAL, Wire};
use crate::probe::{Injector, Recorder};

const ESP: u8 = 50;
/// Number of frames sent at once: the port of a machine drops those beyond its queue.
const BURST: usize = 20;
const PAUSE: Duration = Duration::from_millis(20);

/// Readable fields of an ESP frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Esp {
    pub spi: u32,
    /// The sequence number; its low half if it has 64 bits.
    pub sequence: u32,
}

impl Esp {
    /// Fields of an ESP frame; None for other frames.
    pub fn of(frame: &[u8]) -> Option<Self> {
        let (protocol, start) = match frame.get(12..14)? {
            [0x08, 0x00] => (frame.get(23)?, 14 + usize::from(frame.get(14)? & 0xf) * 4),
            [0x86, 0xdd] => (frame.get(20)?, 54),
            _ => return None,
        };
        let word = |at: usize| {
            let bytes = frame.get(at..at + 4)?.try_into().ok()?;
            Some(u32::from_be_bytes(bytes))
        };
        (*protocol == ESP).then_some(())?;
        Some(Self {
            spi: word(start)?,
            sequence: word(start + 4)?,
        })
    }
}

/// True for an ESP frame from the far gateway.
pub fn is_from_far(frame: &[u8]) -> bool {
    Esp::of(frame).is_some() && is_sent_by_far(frame)
}

/// True for any frame from the far gateway.
pub fn is_sent_by_far(frame: &[u8]) -> bool {
    frame.get(6..12) == Some(&Wire::Wan.mac(FAR))
}

/// Returns true for an IPv4 frame with an IKE request of the router that could terminate a tunnel: an informational
/// exchange (RFC 7296 §3.1).
pub fn is_farewell(frame: &[u8]) -> bool {
    const INFORMATIONAL: u8 = 37;
    const ANSWER: u8 = 0x20;
    let has = |at: usize, bytes: &[u8]| frame.get(at..at + bytes.len()) == Some(bytes);
    let own = Wire::Wan.ipv4(VIRTUAL).octets();
    let is_udp = has(12, &[8, 0]) && has(23, &[17]) && has(26, &own);
    let ike = match has(34, &4500_u16.to_be_bytes()) {
        true if has(42, &[0; 4]) => 46,
        false if has(34, &500_u16.to_be_bytes()) => 42,
        _ => return false,
    };
    let is_answer = frame.get(ike + 19).is_some_and(|it| it & ANSWER != 0);
    is_udp && has(ike + 18, &[INFORMATIONAL]) && !is_answer
}

/// True for a frame that carries a packet to or from the network behind the tunnel in clear text.
pub fn is_in_clear(frame: &[u8]) -> bool {
    let within = |at: usize, network: &[u8]| frame.get(at..at + network.len()) == Some(network);
    match frame.get(12..14) {
        Some([0x08, 0x00]) => within(26, &[10, 9, 0]) || within(30, &[10, 9, 0]),
        Some([0x86, 0xdd]) => within(22, &[0xfd, 0x09]) || within(38, &[0xfd, 0x09]),
        _ => false,
    }
}

impl Tunnelled<'_> {
    /// Records the frames between the far gateway and the switch.
    pub fn record(&self) -> Result<Recorder> {
        Recorder::new(&self.lab.sw, &self.far.port(Wire::Wan))
    }

    /// Records the frames between the far gateway and the switch, without ESP over IPv4.
    pub fn record_unprotected(&self) -> Result<Recorder> {
        Recorder::without_esp(&self.lab.sw, &self.far.port(Wire::Wan))
    }

    /// Replays recorded frames to a router, as a station on the wan could.
    pub fn replay(&self, frames: &[Vec<u8>], router: usize) -> Result<()> {
        let injector = Injector::new(&self.lab.wan, Wire::Wan.name())?;
        let to = Wire::Wan.mac(self.routers[router].host);
        for (number, frame) in frames.iter().enumerate() {
            if number % BURST == BURST - 1 {
                thread::sleep(PAUSE);
            }
            // The source is the station's own address, or the switch would learn the far gateway's here.
            let payload = frame.get(12..).unwrap_or_default();
            injector.send(&[&to[..], &Wire::Wan.mac(CLIENT), payload].concat())?;
        }
        Ok(())
    }
}
