// SPDX-License-Identifier: MIT OR Apache-2.0
//! A tunnel without an IKE daemon: the commands of `ip xfrm` for both ends.

use std::fmt::Write;
use std::net::IpAddr;

use super::FAR;
use crate::lab::{CLIENT, VIRTUAL, Wire};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// Virtual address of the routers on the wan: their end of a tunnel.
    pub fn gateway(self) -> IpAddr {
        self.on_the_wan(VIRTUAL)
    }

    /// Far end of a tunnel.
    pub fn far(self) -> IpAddr {
        self.on_the_wan(FAR)
    }

    /// Host in the routers' own network.
    pub fn client(self) -> IpAddr {
        match self {
            Self::V4 => Wire::Lan.ipv4(CLIENT).into(),
            Self::V6 => IpAddr::from([0xfd01, 0, 0, 0, 0, 0, 0, u16::from(CLIENT)]),
        }
    }

    /// Host in the far network.
    pub fn inner(self) -> IpAddr {
        match self {
            Self::V4 => IpAddr::from([10, 9, 0, 1]),
            Self::V6 => IpAddr::from([0xfd09, 0, 0, 0, 0, 0, 0, 1]),
        }
    }

    pub fn inner_network(self) -> &'static str {
        match self {
            Self::V4 => "10.9.0.0/24",
            Self::V6 => "fd09::/64",
        }
    }

    pub fn lan_network(self) -> &'static str {
        match self {
            Self::V4 => "10.1.0.0/24",
            Self::V6 => "fd01::/64",
        }
    }

    fn on_the_wan(self, host: u8) -> IpAddr {
        match self {
            Self::V4 => Wire::Wan.ipv4(host).into(),
            Self::V6 => IpAddr::from([0xfd02, 0, 0, 0, 0, 0, 0, u16::from(host)]),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Tunnel between the networks.
    Tunnel,
    /// Transport between the two gateways themselves. Over IPv6 for echoes and UDP only, as neighbour discovery has to
    /// stay unencrypted.
    Transport,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// AES-GCM with 128 bits, sequence numbers of 64 bits, a window of 128.
    GcmEsn,
    /// AES-GCM with 128 bits, sequence numbers of 32 bits, a window of 32.
    Gcm,
    /// AES-CBC with 128 bits and HMAC-SHA-256, sequence numbers of 64 bits, a window of 128.
    CbcSha256Esn,
    /// AES-CBC with 128 bits and HMAC-SHA-256, sequence numbers of 32 bits, a window of 32.
    CbcSha256,
}

impl Suite {
    pub const ALL: [Self; 4] = [Self::GcmEsn, Self::Gcm, Self::CbcSha256Esn, Self::CbcSha256];
}

/// A pair of SAs and its policies.
#[derive(Clone, Debug)]
pub struct Tunnel {
    pub family: Family,
    pub mode: Mode,
    pub suite: Suite,
    /// SPI of packets to the far gateway. Packets from it have the next one.
    pub spi: u32,
    pub reqid: u32,
    /// Number of packets that each SA has carried: the next one has the number after it.
    pub sent: u64,
    /// Further words of each SA, such as "mark 0x7 mask 0xff" or "if_id 5".
    pub extra: String,
}

impl Tunnel {
    pub fn new(family: Family, mode: Mode, suite: Suite) -> Self {
        Self {
            family,
            mode,
            suite,
            spi: 0xc000_0101,
            reqid: 4242,
            sent: 0,
            extra: String::new(),
        }
    }

    pub fn spi_back(&self) -> u32 {
        self.spi + 1
    }

    /// Lines for `ip -batch` on the active router.
    pub fn router_lines(&self) -> String {
        self.lines(self.family.gateway())
    }

    /// Lines for the far gateway.
    pub fn far_lines(&self) -> String {
        self.lines(self.family.far())
    }

    /// Lines for a router's SAs only.
    pub fn sa_lines(&self) -> String {
        self.sas(self.family.gateway())
    }

    /// Lines for a router's policies only.
    pub fn policy_lines(&self) -> String {
        self.policies(self.family.gateway())
    }

    /// Lines for the end with the address `own`.
    fn lines(&self, own: IpAddr) -> String {
        self.sas(own) + &self.policies(own)
    }

    fn sas(&self, own: IpAddr) -> String {
        let (here, there) = (self.family.gateway(), self.family.far());
        self.sa(here, there, self.spi, own == here)
            + &self.sa(there, here, self.spi_back(), own == there)
    }

    fn sa(&self, from: IpAddr, to: IpAddr, spi: u32, leaving: bool) -> String {
        let (mode, reqid, extra) = (self.mode(), self.reqid, &self.extra);
        let algorithms = self.algorithms(spi);
        let counters = self.counters(leaving);
        format!(
            "xfrm state add src {from} dst {to} proto esp spi {spi:#x} reqid {reqid} mode {mode} \
             {counters} {algorithms} {extra}\n"
        )
    }

    // The keys are arbitrary, but each SA has its own.
    fn algorithms(&self, spi: u32) -> String {
        let key = |bytes: usize| format!("{spi:08x}").repeat(bytes / 4);
        match self.suite {
            Suite::GcmEsn | Suite::Gcm => format!("aead rfc4106(gcm(aes)) 0x{} 128", key(20)),
            Suite::CbcSha256Esn | Suite::CbcSha256 => format!(
                "auth-trunc hmac(sha256) 0x{} 128 enc cbc(aes) 0x{}",
                key(32),
                key(16)
            ),
        }
    }

    // Sender and receiver count separately; both begin at the same number.
    fn counters(&self, leaving: bool) -> String {
        let which = if leaving { "oseq" } else { "seq" };
        let (low, high) = (self.sent & 0xffff_ffff, self.sent >> 32);
        match self.suite {
            Suite::GcmEsn | Suite::CbcSha256Esn => {
                format!("replay-window 128 flag esn replay-{which} {low} replay-{which}-hi {high}")
            }
            Suite::Gcm | Suite::CbcSha256 => format!("replay-window 32 replay-{which} {low}"),
        }
    }

    fn policies(&self, own: IpAddr) -> String {
        let (mut near, mut beyond) = self.ends();
        let mut other = self.family.far();
        if own == other {
            (near, beyond, other) = (beyond, near, self.family.gateway());
        }
        let (mode, reqid) = (self.mode(), self.reqid);
        let mut text = String::new();
        for upper in self.uppers() {
            let mut policy = |direction: &str, from: &str, to: &str, outer: (IpAddr, IpAddr)| {
                let _ = writeln!(
                    text,
                    "xfrm policy add dir {direction} src {from} dst {to} {upper} \
                     tmpl src {} dst {} proto esp reqid {reqid} mode {mode}",
                    outer.0, outer.1
                );
            };
            policy("out", &near, &beyond, (own, other));
            policy("in", &beyond, &near, (other, own));
            if self.mode == Mode::Tunnel {
                policy("fwd", &beyond, &near, (other, own));
            }
        }
        text
    }

    /// Protected networks or hosts, on the routers' side and on the far side.
    fn ends(&self) -> (String, String) {
        let family = self.family;
        match self.mode {
            Mode::Tunnel => (
                family.lan_network().to_owned(),
                family.inner_network().to_owned(),
            ),
            Mode::Transport => (family.gateway().to_string(), family.far().to_string()),
        }
    }

    fn uppers(&self) -> &'static [&'static str] {
        match (self.mode, self.family) {
            (Mode::Transport, Family::V6) => &[
                "proto ipv6-icmp type 128",
                "proto ipv6-icmp type 129",
                "proto udp",
            ],
            _ => &[""],
        }
    }

    fn mode(&self) -> &'static str {
        match self.mode {
            Mode::Tunnel => "tunnel",
            Mode::Transport => "transport",
        }
    }
}
