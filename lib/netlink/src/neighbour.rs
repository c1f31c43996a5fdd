//! Neighbours whose MAC the kernel is asking for.

use std::io;
use std::net::IpAddr;

use libc::{NDA_DST, NDA_IFINDEX, NTF_USE, NUD_INCOMPLETE, RTM_GETNEIGH, RTM_NEWNEIGH};

use crate::address::{each_family, family, ip, octets};
use crate::{Message, Requests, attributes, put, u32_of};

/// Length of struct ndmsg in bytes.
const HEADER: usize = 12;

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
        const REPLACE: u16 = libc::NLM_F_REPLACE as u16;
        // first the state NUD_NONE, which is zero, then as if a packet were sent
        [0, NTF_USE].map(|flags| {
            let mut payload = header(u8::from(family(neighbour)), index, flags);
            put(&mut payload, NDA_DST, &octets(neighbour));
            Self::request(RTM_NEWNEIGH, REPLACE, &payload)
        })
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
