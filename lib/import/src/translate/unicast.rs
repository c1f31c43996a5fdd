//! Unicast adverts of an instance: their source and the peers.

use std::fmt::Write;
use std::net::IpAddr;

use spared_config_reader::toml_text;

use super::{Both, LOOK, Translation, child};
use crate::toml::{each, list};
use crate::tree::Statement;

/// TTL of a keepalived's unicast adverts at least, unless `unicast_ttl` says another: that of the kernel by IPv6.
const UNICAST_TTL: i64 = 64;

impl Translation<'_> {
    /// Keys of `[[group.interface]]` about adverts to one address and from one.
    pub(super) fn unicast(&mut self, both: &Both<'_>, is_ipv6: bool) -> String {
        let mut lines = String::new();
        let blocks = child(both, "unicast_peer");
        let named = ["unicast_src_ip", "mcast_src_ip"].map(|word| child(both, word));
        let named = [0, 1].map(|node| named[0][node].or(named[1][node]));
        let mut sources = named.map(|it| self.advert_source(it?, is_ipv6));
        let mut peers: Vec<String> = Vec::new();
        for peer in blocks.iter().flatten().flat_map(|it| it.block()) {
            let address = peer.word(0).parse::<IpAddr>();
            if address.is_ok_and(|it| it.is_ipv6() == is_ipv6) {
                peers.push(peer.word(0).to_owned());
            } else {
                let why = "it is no address of the family";
                self.list(peer, why, "write `unicast = true` and it into `peers`");
            }
            let mut options = peer.words.iter().skip(1);
            if options.clone().any(|it| it == "max_ttl") {
                let why = "adverts have a smallest TTL alone, `min_ttl`";
                self.tell(peer.place, "max_ttl of a peer", why, LOOK);
            }
            let is_option = |it: &str| matches!(it, "min_ttl" | "max_ttl");
            if options.any(|it| it.parse::<u8>().is_err() && !is_option(it)) {
                let why = "a line has one address";
                self.list(
                    peer,
                    why,
                    "write `unicast = true` and the others into `peers`",
                );
            }
        }
        if self.is_one {
            // the other node's own address is the only peer of this one
            sources[1] = Some(peers.clone())
                .filter(|it| it.len() == 1 && sources[0].is_some())
                .map(|it| it[0].clone())
                .filter(|it| self.is_own(it, is_ipv6));
        }
        if !peers.is_empty() {
            peers.extend(sources.iter().flatten().cloned());
            peers.sort();
            peers.dedup();
            let ttls = child(both, "unicast_ttl").into_iter().flatten();
            let ttl = ttls.filter_map(|it| self.number(it, 0..=255)).min();
            let least = blocks
                .iter()
                .flatten()
                .flat_map(|it| it.block())
                .filter_map(min_ttl)
                .min();
            let (ttl, why) = match (least, ttl.filter(|it| *it < UNICAST_TTL)) {
                (Some(least), _) => (least, "as keepalived"),
                (None, Some(sent)) => (sent, "`unicast_ttl` of keepalived"),
                (None, None) => (
                    UNICAST_TTL,
                    "keepalived takes any, and sends 255, or 64 by IPv6",
                ),
            };
            let _ = write!(lines, "unicast = true\npeers = {}\n", list(&peers));
            if !self.is_final || least.is_some() {
                let _ = writeln!(lines, "min_ttl = {}   # {why}", ttl.max(1));
            }
        }
        match sources {
            [Some(one), Some(two)] => {
                let both = [one, two].map(|it| toml_text(&it));
                let _ = writeln!(lines, "advert_source = {}", each(self.nodes, &both));
            }
            [None, None] => {}
            _ => {
                if let Some(statement) = named.into_iter().flatten().next() {
                    let why = "the other node's address is not known";
                    self.list(
                        statement,
                        why,
                        "write `advert_source = { ... }`, if a node has several addresses there",
                    );
                }
            }
        }
        lines
    }

    /// Source of a node's adverts.
    fn advert_source(&mut self, statement: &Statement, is_ipv6: bool) -> Option<String> {
        let source = statement.word(1).to_owned();
        if !self.is_own(&source, is_ipv6) {
            let why = "adverts need an address of the family that the node always has";
            self.list(statement, why, "write `advert_source = { ... }`");
            return None;
        }
        Some(source)
    }

    /// True for an address of the family that is no virtual one.
    fn is_own(&self, text: &str, is_ipv6: bool) -> bool {
        let address = text.parse::<IpAddr>();
        address.is_ok_and(|it| it.is_ipv6() == is_ipv6 && !self.virtual_addresses.contains(&it))
    }
}

fn min_ttl(peer: &Statement) -> Option<i64> {
    let at = peer.words.iter().position(|it| it == "min_ttl")?;
    let found = peer.word(at + 1).parse().ok();
    found.filter(|it| (1..=255).contains(it))
}
