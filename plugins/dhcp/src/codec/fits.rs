//! Checks that a server of a format can have granted a lease.

use std::net::IpAddr;

use super::{Format, kea};
use crate::lease::{INFINITE_S, Kind, Lease, State};

/// Longest id and name in bytes, by the DHCP options that contain them.
const LONGEST_ID: usize = 255;
const LONGEST_NAME: usize = 255;
/// Longest DUID in bytes: a type, and 128 bytes by DHCPv6. dhcpd fails on longer ones in its file
/// than the second value.
const LONGEST_DUID: usize = 130;
const LONGEST_DUID_OF_DHCPD: usize = 127;
/// Longest hardware address in bytes: Kea and dhcpd store 20, dnsmasq as much as the DHCP header
/// holds.
const LONGEST_HARDWARE: usize = 20;
const LONGEST_CHADDR: usize = 16;
const EXTRA_BYTES: usize = 4096;

/// Checks that `lease`, which the other node sent, may be written into a file of `format`.
///
/// # Errors
/// A part of it that such a server cannot have granted.
pub fn fits(format: Format, lease: &Lease) -> Result<(), &'static str> {
    place(format, lease)?;
    client(format, lease)?;
    if lease.hostname.len() > LONGEST_NAME {
        return Err("its host name is longer than 255 bytes");
    }
    let extra = lease.extra.iter();
    if extra
        .map(|(name, text)| name.len() + text.len())
        .sum::<usize>()
        > EXTRA_BYTES
    {
        return Err("it has more than 4 KiB in addition to its fields");
    }
    match format {
        Format::Kea4 | Format::Kea6 => of_kea(lease),
        Format::Dnsmasq if lease.state != State::Leased => {
            Err("dnsmasq keeps no leases that are declined or free")
        }
        Format::Dnsmasq | Format::Dhcpd4 | Format::Dhcpd6 => Ok(()),
    }
}

/// Returns true if a server can have this DUID: a type, and 1 to 128 bytes.
pub fn is_identity(duid: &[u8]) -> bool {
    (3..=LONGEST_DUID).contains(&duid.len())
}

fn place(format: Format, lease: &Lease) -> Result<(), &'static str> {
    let key = lease.key;
    let served = match format {
        Format::Kea4 | Format::Dhcpd4 => key.kind == Kind::V4,
        Format::Kea6 | Format::Dhcpd6 => key.kind != Kind::V4,
        Format::Dnsmasq => key.kind != Kind::Pd,
    };
    if !served {
        return Err("the server does not lease this kind");
    }
    match (key.kind, key.address) {
        (Kind::V4, IpAddr::V4(_)) if key.prefix == 32 => Ok(()),
        (Kind::Na | Kind::Ta, IpAddr::V6(_)) if key.prefix == 128 => Ok(()),
        (Kind::Pd, IpAddr::V6(address)) if (1..=128).contains(&key.prefix) => {
            let host = u128::MAX.checked_shr(u32::from(key.prefix)).unwrap_or(0);
            match address.to_bits() & host {
                0 => Ok(()),
                _ => Err("its prefix has bits beyond its length"),
            }
        }
        _ => Err("its address is not of its kind"),
    }
}

fn client(format: Format, lease: &Lease) -> Result<(), &'static str> {
    let client = &lease.client;
    let longest = match format {
        Format::Dnsmasq => LONGEST_CHADDR,
        Format::Kea4 | Format::Kea6 | Format::Dhcpd4 | Format::Dhcpd6 => LONGEST_HARDWARE,
    };
    if client.hardware.len() > longest {
        return Err("its hardware address is too long");
    }
    if format == Format::Dnsmasq && client.hardware_type > 255 {
        return Err("its hardware type is above 255");
    }
    let id = client.id.len();
    match (lease.key.kind, format) {
        (Kind::V4, _) if id > LONGEST_ID => Err("its client identifier is longer than 255 bytes"),
        (Kind::V4, Format::Kea4) if id == 1 => Err("its client identifier is a single byte"),
        (Kind::V4, _) if client.iaid != 0 => Err("it has an identity association, in DHCPv4"),
        (Kind::V4, _) => Ok(()),
        (_, _) if id == 0 => Err("it has no DUID"),
        (_, Format::Dhcpd6) if id > LONGEST_DUID_OF_DHCPD => {
            Err("its DUID is longer than 127 bytes")
        }
        (_, _) if id > LONGEST_DUID => Err("its DUID is longer than 130 bytes"),
        (_, _) => Ok(()),
    }
}

fn of_kea(lease: &Lease) -> Result<(), &'static str> {
    if lease.valid_s == 0 {
        return Err("its valid lifetime is 0, which deletes it");
    }
    if (lease.valid_s == INFINITE_S) != lease.expires_ns.is_none() {
        return Err("its valid lifetime and its end disagree");
    }
    let extra = lease.extra.iter();
    match extra
        .clone()
        .all(|(name, text)| kea::is_text_of(name, text))
    {
        true if lease.extra.contains_key("subnet_id") => Ok(()),
        true => Err("it has no subnet"),
        false => Err("one of its columns has an invalid text"),
    }
}
