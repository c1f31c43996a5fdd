//! Neighbour entries that the kernel has asked for in vain.

use std::io;
use std::net::IpAddr;

use crate::address::{each_family, family, ip, octets};
use crate::{Message, Requests, attributes, put, u32_of};

const RTM_NEWNEIGH: u16 = 28;
const RTM_DELNEIGH: u16 = 29;
const RTM_GETNEIGH: u16 = 30;
const NDA_DST: u16 = 1;
const NDA_IFINDEX: u16 = 8;
/// Length of struct ndmsg in bytes.
const HEADER: usize = 12;
/// NUD_INCOMPLETE and NUD_FAILED: the station is being asked for, or has not answered.
const UNANSWERED: u16 = 0x01 | 0x20;

impl Requests {
    /// Addresses on an interface for which the kernel has no MAC and which it has asked for.
    pub fn unanswered_neighbours(&mut self, index: u32) -> io::Result<Vec<IpAddr>> {
        let mut found = Vec::new();
        each_family(|family| {
            let mut payload = header(u8::from(family), 0);
            put(&mut payload, NDA_IFINDEX, &index.to_ne_bytes());
            self.dump(Message::dump(RTM_GETNEIGH, &payload), |kind, payload| {
                if kind == RTM_NEWNEIGH {
                    found.extend(unanswered(payload, index));
                }
            })
        })?;
        Ok(found)
    }
}

impl Message {
    /// Deletes a neighbour entry: the next packet to the address asks for it at once.
    pub fn delete_neighbour(index: u32, address: IpAddr) -> Self {
        let mut payload = header(u8::from(family(address)), index);
        put(&mut payload, NDA_DST, &octets(address));
        Self::request(RTM_DELNEIGH, 0, &payload)
    }
}

fn header(family: u8, index: u32) -> Vec<u8> {
    let mut header = vec![0; HEADER];
    header[0] = family;
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header
}

/// Reads the payload of RTM_NEWNEIGH; None if the entry is on another interface or has been answered.
fn unanswered(payload: &[u8], index: u32) -> Option<IpAddr> {
    let family = *payload.first()?;
    let state = u16::from_ne_bytes(*payload.get(8..)?.first_chunk()?);
    let is_on = u32_of(payload.get(4..8)?)? == index;
    if !is_on || state & UNANSWERED == 0 {
        return None;
    }
    let mut all = attributes(payload.get(HEADER..)?);
    let (_, address) = all.find(|(kind, _)| *kind == NDA_DST)?;
    ip(family, address)
}
