//! Neighbours whose MAC the kernel is asking for.

use std::io;
use std::net::IpAddr;

use crate::address::{each_family, family, ip, octets};
use crate::{Message, Requests, attributes, put, u32_of};

const RTM_NEWNEIGH: u16 = 28;
const RTM_GETNEIGH: u16 = 30;
const NLM_F_REPLACE: u16 = 0x100;
const NDA_DST: u16 = 1;
const NDA_IFINDEX: u16 = 8;
/// Length of struct ndmsg in bytes.
const HEADER: usize = 12;
const NUD_NONE: u16 = 0;
/// The kernel has asked and waits for the answer; packets to the neighbour wait too.
const NUD_INCOMPLETE: u16 = 0x01;
/// The kernel treats the request as a packet to the neighbour.
const NTF_USE: u8 = 0x01;

impl Requests {
    /// Addresses on an interface whose MAC the kernel is asking for.
    pub fn awaited_neighbours(&mut self, index: u32) -> io::Result<Vec<IpAddr>> {
        let mut found = Vec::new();
        each_family(|family| {
            let mut payload = header(u8::from(family), 0, 0);
            put(&mut payload, NDA_IFINDEX, &index.to_ne_bytes());
            self.dump(Message::dump(RTM_GETNEIGH, &payload), |kind, payload| {
                if kind == RTM_NEWNEIGH {
                    found.extend(awaited(payload, index));
                }
            })
        })?;
        Ok(found)
    }
}

impl Message {
    /// Has the kernel ask for an awaited neighbour at once, instead of a second after it last did. The packets that wait
    /// for the answer stay; a deletion of the entry would drop them, and tell their senders that the station is
    /// unreachable. Both requests fail if there is no such entry any more.
    pub fn ask_again(index: u32, neighbour: IpAddr) -> [Self; 2] {
        let request = |state: u16, flags: u8| {
            let mut payload = header(u8::from(family(neighbour)), index, flags);
            payload[8..10].copy_from_slice(&state.to_ne_bytes());
            put(&mut payload, NDA_DST, &octets(neighbour));
            Self::request(RTM_NEWNEIGH, NLM_F_REPLACE, &payload)
        };
        [request(NUD_NONE, 0), request(NUD_NONE, NTF_USE)]
    }
}

fn header(family: u8, index: u32, flags: u8) -> Vec<u8> {
    let mut header = vec![0; HEADER];
    header[0] = family;
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[10] = flags;
    header
}

/// Reads the payload of RTM_NEWNEIGH; None if the entry is on another interface or in another state.
fn awaited(payload: &[u8], index: u32) -> Option<IpAddr> {
    let family = *payload.first()?;
    let state = u16::from_ne_bytes(*payload.get(8..)?.first_chunk()?);
    let is_on = u32_of(payload.get(4..8)?)? == index;
    if !is_on || state & NUD_INCOMPLETE == 0 {
        return None;
    }
    let mut all = attributes(payload.get(HEADER..)?);
    let (_, address) = all.find(|(kind, _)| *kind == NDA_DST)?;
    ip(family, address)
}
