// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes lease files with many leases, as the server itself would.

use std::fmt::Write;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{SystemTime, UNIX_EPOCH};

use spared_sdk::hex;

use super::guests4::{Host4, Lease4};
use super::guests6::{Host6, Lease6};
use super::server::{Make, Server};
use crate::Result;

/// Leases of the hosts 0 to `count`. The server must be stopped and its pool wide.
#[derive(Clone, Copy, Debug)]
pub struct Filled {
    pub count: u32,
    pub lifetime_s: u32,
}

impl Filled {
    pub fn write(self, server: &Server) -> Result<()> {
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let end_s = now_s + u64::from(self.lifetime_s);
        let text = match server.setup.make {
            Make::Kea4 => self.kea4(end_s)?,
            Make::Kea6 => self.kea6(end_s)?,
            Make::Dnsmasq4 => self.dnsmasq4(end_s)?,
            Make::Dnsmasq6 => self.dnsmasq6(end_s)?,
            Make::Dnsmasq => self.dnsmasq4(end_s)? + &self.dnsmasq6(end_s)?,
            Make::Dhcpd4 => self.dhcpd4(now_s, end_s)?,
            Make::Dhcpd6 => self.dhcpd6(now_s, end_s)?,
        };
        Ok(fs::write(&server.paths.leases, text)?)
    }

    /// Address of a host.
    pub fn address4(number: u32) -> Ipv4Addr {
        (u32::from(Ipv4Addr::new(10, 1, 128, 1)) + number).into()
    }

    pub fn address6(number: u32) -> Ipv6Addr {
        let first = Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 1, 0);
        (u128::from(first) + u128::from(number)).into()
    }

    /// Returns the lease that host `number` would have received.
    pub fn lease4(self, number: u32) -> Lease4 {
        let host = Host4::number(number);
        Lease4 {
            hostname: name(&host),
            host,
            address: Self::address4(number),
            lifetime_s: self.lifetime_s,
            server: super::SERVER,
            at: std::time::Instant::now(),
        }
    }

    pub fn lease6(self, number: u32) -> Lease6 {
        Lease6 {
            host: Host6::number(number),
            address: Self::address6(number),
            length: 128,
            preferred_s: self.lifetime_s,
            valid_s: self.lifetime_s,
            server: Vec::new(),
            at: std::time::Instant::now(),
        }
    }

    fn kea4(self, end_s: u64) -> Result<String> {
        let mut text = "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,\
                        fqdn_rev,hostname,state,user_context\n"
            .to_owned();
        for number in 0..self.count {
            let (host, lifetime_s) = (Host4::number(number), self.lifetime_s);
            let (mac, id) = (
                hex::text(&host.mac, ":"),
                hex::text(&host.client_id.clone().unwrap_or_default(), ":"),
            );
            let (address, name) = (Self::address4(number), name(&host));
            writeln!(
                text,
                "{address},{mac},{id},{lifetime_s},{end_s},1,0,0,{name},0,"
            )?;
        }
        Ok(text)
    }

    fn kea6(self, end_s: u64) -> Result<String> {
        let mut text =
            "address,duid,valid_lifetime,expire,subnet_id,pref_lifetime,lease_type,iaid,\
                        prefix_len,fqdn_fwd,fqdn_rev,hostname,hwaddr,state,user_context,hwtype,\
                        hwaddr_source\n"
                .to_owned();
        for number in 0..self.count {
            let (duid, lifetime_s) = (hex::text(&Host6::number(number).duid, ":"), self.lifetime_s);
            let address = Self::address6(number);
            writeln!(
                text,
                "{address},{duid},{lifetime_s},{end_s},6,{lifetime_s},0,{number},128,0,0,\
                 host-{number},,0,,,"
            )?;
        }
        Ok(text)
    }

    fn dnsmasq4(self, end_s: u64) -> Result<String> {
        let mut text = String::new();
        for number in 0..self.count {
            let host = Host4::number(number);
            let (mac, id) = (
                hex::text(&host.mac, ":"),
                hex::text(&host.client_id.clone().unwrap_or_default(), ":"),
            );
            let (address, name) = (Self::address4(number), name(&host));
            writeln!(text, "{end_s} {mac} {address} {name} {id}")?;
        }
        Ok(text)
    }

    fn dnsmasq6(self, end_s: u64) -> Result<String> {
        let mut text = "duid 00:01:00:01:32:92:ae:8e:16:53:32:67:ad:81\n".to_owned();
        for number in 0..self.count {
            let (address, duid) = (
                Self::address6(number),
                hex::text(&Host6::number(number).duid, ":"),
            );
            writeln!(text, "{end_s} {number} {address} host-{number} {duid}")?;
        }
        Ok(text)
    }

    fn dhcpd4(self, now_s: u64, end_s: u64) -> Result<String> {
        let mut text = "authoring-byte-order little-endian;\n".to_owned();
        for number in 0..self.count {
            let host = Host4::number(number);
            let (mac, id) = (
                hex::text(&host.mac, ":"),
                octal(&host.client_id.clone().unwrap_or_default()),
            );
            let (address, name) = (Self::address4(number), name(&host));
            write!(
                text,
                "lease {address} {{\n  starts epoch {now_s};\n  ends epoch {end_s};\n  \
                 cltt epoch {now_s};\n  binding state active;\n  next binding state free;\n  \
                 rewind binding state free;\n  hardware ethernet {mac};\n  uid \"{id}\";\n  \
                 client-hostname \"{name}\";\n}}\n"
            )?;
        }
        Ok(text)
    }

    fn dhcpd6(self, now_s: u64, end_s: u64) -> Result<String> {
        let mut text = "authoring-byte-order little-endian;\n\
                        server-duid \"\\000\\001\\000\\0012\\222\\256\\216\\026S2g\\255\\201\";\n"
            .to_owned();
        for number in 0..self.count {
            let (host, lifetime_s) = (Host6::number(number), self.lifetime_s);
            let mut key = number.to_le_bytes().to_vec();
            key.extend(&host.duid);
            let (key, address) = (octal(&key), Self::address6(number));
            write!(
                text,
                "ia-na \"{key}\" {{\n  cltt epoch {now_s};\n  iaaddr {address} {{\n    \
                 binding state active;\n    preferred-life {lifetime_s};\n    \
                 max-life {lifetime_s};\n    ends epoch {end_s};\n  }}\n}}\n"
            )?;
        }
        Ok(text)
    }
}

fn name(host: &Host4) -> String {
    String::from_utf8_lossy(host.hostname.as_deref().unwrap_or_default()).into_owned()
}

fn octal(bytes: &[u8]) -> String {
    let one = |byte: &u8| match byte {
        b'"' | b'\\' => format!("\\{}", char::from(*byte)),
        b' '..=b'~' => char::from(*byte).to_string(),
        _ => format!("\\{byte:03o}"),
    };
    bytes.iter().map(one).collect()
}
