// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads SAs, policies and errors of a machine's kernel.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::Result;
use crate::machine::Machine;

/// Counters of /proc/net/xfrm_stat.
pub type Stats = BTreeMap<String, u64>;

/// Greatest number of packets, of 200 a second, that a switchover between machines may lose. One was lost at the fence,
/// because a machine reads its cards only when its host schedules it. Packets that the old node forwards after the new
/// node's first packet are behind the jump of sequence numbers, too late for the far gateway.
pub const SWITCH_PACKETS_MAX: u64 = 5;

/// Packets that were refused for their sequence number.
#[must_use]
pub fn late_packets(stats: &Stats) -> u64 {
    let names = ["XfrmInStateSeqError", "XfrmInStateProtoError"];
    names.iter().filter_map(|name| stats.get(*name)).sum()
}

/// An SA in `ip -s xfrm state`; 0 and None if it does not show a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sa {
    pub source: Option<IpAddr>,
    pub destination: Option<IpAddr>,
    pub spi: u32,
    pub reqid: u32,
    pub mode: String,
    /// Sequence number of the last sent packet, all 64 bits if it has them.
    pub sent: u64,
    /// Highest received sequence number.
    pub received: u64,
    pub bytes: u64,
    pub packets: u64,
    /// Time at which it was added, by its kernel's clock: "2026-11-20 21:00:00".
    pub added: String,
    pub text: String,
}

impl Machine {
    pub fn sas(&self) -> Result<Vec<Sa>> {
        Ok(parse(&self.ok("ip -s xfrm state")?))
    }

    pub fn sa(&self, spi: u32) -> Result<Sa> {
        let found = self.sas()?.into_iter().find(|sa| sa.spi == spi);
        found.ok_or_else(|| format!("{}: no SA {spi:#x}", self.name).into())
    }

    /// Policies, one text each, without those of sockets and those that block below others.
    pub fn policies(&self) -> Result<Vec<String>> {
        let text = self.ok("ip xfrm policy")?;
        let all = blocks(&text).into_iter();
        let counts = |policy: &String| !policy.contains("socket ") && !is_block(policy);
        Ok(all.filter(counts).collect())
    }

    /// Number of policies that block below others.
    pub fn blocks(&self) -> Result<usize> {
        let text = self.ok("ip xfrm policy")?;
        Ok(blocks(&text).iter().filter(|it| is_block(it)).count())
    }

    /// Counters of refused packets, by reason.
    pub fn xfrm_stat(&self) -> Result<Stats> {
        let text = self.ok("cat /proc/net/xfrm_stat")?;
        let pairs = text.lines().filter_map(|line| {
            let (name, number) = line.split_once(char::is_whitespace)?;
            Some((name.to_owned(), number.trim().parse().ok()?))
        });
        Ok(pairs.collect())
    }

    /// Counters that are not 0.
    pub fn xfrm_errors(&self) -> Result<Stats> {
        let mut stats = self.xfrm_stat()?;
        stats.retain(|_, count| *count > 0);
        Ok(stats)
    }
}

/// Returns true for the plugin's blocking policies, which have the last priority.
fn is_block(policy: &str) -> bool {
    policy.contains("action block") && policy.contains("priority 4294967295")
}

fn parse(text: &str) -> Vec<Sa> {
    blocks(text).into_iter().map(parse_one).collect()
}

/// Entries of the output; each begins with "src" at the start of a line.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    for line in text.lines() {
        if line.starts_with("src ") || blocks.is_empty() {
            blocks.push(String::new());
        }
        if let Some(block) = blocks.last_mut() {
            block.push_str(line);
            block.push('\n');
        }
    }
    blocks.retain(|block| !block.trim().is_empty());
    blocks
}

fn parse_one(text: String) -> Sa {
    let hex = |word: &str| after(&text, word).map_or(0, number);
    // earlier lines use "seq" for something else
    let replay = text.split_once("anti-replay").map_or("", |(_, rest)| rest);
    let count = |high: &str, low: &str| {
        let half = |word: &str| after(replay, word).map_or(0, number);
        half(high) << 32 | half(low)
    };
    let present = text
        .split_once("lifetime current:")
        .map_or("", |(_, rest)| rest);
    let added = present.split_once("add ").map_or("", |(_, rest)| rest);
    let address = |word: &str| after(&text, word).and_then(|word| word.parse().ok());
    Sa {
        source: address("src"),
        destination: address("dst"),
        spi: hex("spi") as u32,
        reqid: hex("reqid") as u32,
        mode: after(&text, "mode").unwrap_or_default().to_owned(),
        sent: count("oseq-hi", "oseq"),
        received: count("seq-hi", "seq"),
        bytes: number_before(present, "(bytes)"),
        packets: number_before(present, "(packets)"),
        added: added
            .split_whitespace()
            .take(2)
            .collect::<Vec<_>>()
            .join(" "),
        text,
    }
}

/// Returns the word after this one.
fn after<'t>(text: &'t str, word: &str) -> Option<&'t str> {
    let mut words = text
        .split(|is: char| is.is_whitespace() || is == ',')
        .filter(|is| !is.is_empty());
    words.find(|is| *is == word)?;
    words.next()
}

/// Returns the number before a unit: 10 packets in "1000(bytes), 10(packets)".
fn number_before(text: &str, unit: &str) -> u64 {
    let before = text.split(unit).next().unwrap_or_default();
    let digits = before.rsplit(|is: char| !is.is_ascii_digit()).next();
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// Parses "0x1f", "0x1f(31)" or "31(0x1f)".
fn number(word: &str) -> u64 {
    let word = word.split('(').next().unwrap_or_default();
    match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).unwrap_or(0),
        None => word.parse().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ESN: &str = "\
src 10.2.0.3 dst 10.2.0.1
\tproto esp spi 0xc0000102(3221225730) reqid 4242(0x00001092) mode tunnel
\treplay-window 0 seq 0x00000000 flag esn (0x10000000)
\taead rfc4106(gcm(aes)) 0x00 (160 bits) 128
\tanti-replay esn context:
\t seq-hi 0x1, seq 0x54, oseq-hi 0x0, oseq 0x0
\t replay_window 128, bitmap-length 4
\tsel src 0.0.0.0/0 dst 0.0.0.0/0 uid 0
\tlifetime config:
\t  limit: soft (INF)(bytes), hard (INF)(bytes)
\tlifetime current:
\t  3600(bytes), 100(packets)
\t  add 2026-11-20 21:25:48 use 2026-11-20 21:25:48
src fd02::1 dst fd02::3
\tproto esp spi 0x00000007(7) reqid 1(0x00000001) mode transport
\tanti-replay context: seq 0x0, oseq 0x1f, bitmap 0x00000000
";

    #[test]
    fn both_kinds_of_counters_are_read() {
        let [esn, short] = <[Sa; 2]>::try_from(parse(ESN)).expect("two entries");
        assert_eq!(
            (esn.spi, esn.reqid, esn.mode.as_str()),
            (0xc000_0102, 4242, "tunnel")
        );
        assert_eq!((esn.received, esn.sent), (0x1_0000_0054, 0));
        assert_eq!((esn.bytes, esn.packets), (3600, 100));
        assert_eq!(esn.added, "2026-11-20 21:25:48");
        assert_eq!(short.destination, "fd02::3".parse().ok());
        assert_eq!((short.received, short.sent), (0, 0x1f));
    }
}
