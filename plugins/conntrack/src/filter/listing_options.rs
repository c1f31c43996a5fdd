//! Options of `sparectl conntrack flows`, `stats` and `diff`, as conntrack(8) has them: the filter of a listing.

use std::str::FromStr;

use spared_sdk::config::Network;

use super::{Known, Rule};
use crate::config::{Mark, Protocol, State};
use crate::flow::Flow;

/// Filter of a listing. An option that is given twice matches either value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    rule: Rule,
    source_ports: Vec<u16>,
}

/// Options for the usage text of verbs.
pub const OPTIONS: &str = "--src ADDRESS, --dst ADDRESS, --proto PROTOCOL, --sport PORT, --dport PORT, --state STATE, \
                           --mark MARK, --zone ZONE";

impl Selection {
    /// # Errors
    /// An unknown option or an invalid value, with a list of the valid options.
    pub fn parse(words: &[&str]) -> Result<Self, String> {
        let mut selection = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let (option, value) = match word.split_once('=') {
                Some((option, value)) => (option, Some(value)),
                None => (*word, None),
            };
            let Some(value) = value.or_else(|| words.next().copied()) else {
                return Err(format!(
                    "{option}: not a filter, or without a value; filters: {OPTIONS}"
                ));
            };
            selection.add(option, value)?;
        }
        Ok(selection)
    }

    /// Parses options for a comparison, without state and mark: those may differ between the nodes.
    ///
    /// # Errors
    /// As for [`parse`](Self::parse), and if a state or a mark is given.
    pub fn parse_ends(words: &[&str]) -> Result<Self, String> {
        let selection = Self::parse(words)?;
        if selection.rule.states.is_empty() && selection.rule.mark.is_none() {
            Ok(selection)
        } else {
            Err("diff compares states and marks: --state and --mark cannot be filters".to_owned())
        }
    }

    pub fn has(&self, flow: &Flow) -> bool {
        let original = &flow.original;
        let has_source = self.source_ports.is_empty()
            || original.has_ports() && self.source_ports.contains(&original.ports().0);
        has_source && self.rule.fits(flow, Known::WHOLE)
    }

    fn add(&mut self, option: &str, value: &str) -> Result<(), String> {
        let rule = &mut self.rule;
        match option {
            "-s" | "--src" | "--orig-src" => rule.sources.push(network(option, value)?),
            "-d" | "--dst" | "--orig-dst" => rule.destinations.push(network(option, value)?),
            "-p" | "--proto" => {
                let Protocol(number) =
                    parsed(option, value, "a protocol, such as tcp, or its number")?;
                rule.protocols.push(number);
            }
            "--sport" | "--orig-port-src" => self.source_ports.push(port(option, value)?),
            "--dport" | "--orig-port-dst" => rule.ports.push(port(option, value)?),
            "--state" => {
                let value = value.to_ascii_lowercase();
                let State(states) = parsed(option, &value, "a state, such as established")?;
                rule.states.extend(states);
            }
            "-m" | "--mark" => {
                let Mark(mark, mask) =
                    parsed(option, value, "a value, or value/mask, such as 0x10/0xf0")?;
                rule.mark = Some((mark, mask));
            }
            "-w" | "--zone" => rule
                .zones
                .push(parsed(option, value, "a number up to 65535")?),
            _ => return Err(format!("{option}: not a filter; filters: {OPTIONS}")),
        }
        Ok(())
    }
}

fn network(option: &str, value: &str) -> Result<super::Prefix, String> {
    let network: Network = parsed(
        option,
        value,
        "an address, or a network such as 192.0.2.0/24",
    )?;
    Ok(network.net().into())
}

fn port(option: &str, value: &str) -> Result<u16, String> {
    parsed(option, value, "a port, 0 to 65535")
}

fn parsed<T: FromStr>(option: &str, value: &str, allowed: &str) -> Result<T, String> {
    let parsed = value.parse();
    parsed.map_err(|_| format!("{option} {value}: must be {allowed}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::samples::{connection, flow};
    use crate::flow::{TCP, UDP};

    fn fits(words: &[&str], flow: &Flow) -> bool {
        let selection = Selection::parse(words);
        selection.is_ok_and(|it| it.has(flow))
    }

    #[test]
    fn an_option_selects_as_with_conntrack() {
        // from 192.0.2.2:40001 to 198.51.100.2:80
        let tcp = connection();
        let udp = flow(UDP, "192.0.2.9:5000", "198.51.100.2:53");
        for (words, wanted) in [
            (&[][..], (true, true)),
            (&["--src", "192.0.2.2"], (true, false)),
            (&["-s", "192.0.2.0/24"], (true, true)),
            (&["--orig-src=192.0.2.9"], (false, true)),
            (&["--dst", "198.51.100.2", "--dport", "53"], (false, true)),
            (&["-d", "198.51.100.9"], (false, false)),
            (&["--proto", "tcp"], (true, false)),
            (&["-p", "17"], (false, true)),
            (&["--proto", "tcp", "--proto", "udp"], (true, true)),
            (&["--sport", "40001"], (true, false)),
            (&["--dport", "80"], (true, false)),
            (&["--state", "ESTABLISHED"], (true, false)),
            (&["--state=time_wait"], (false, false)),
            (&["--mark", "0"], (true, true)),
            (&["--mark", "1/1"], (false, false)),
            (&["--zone", "0"], (true, true)),
            (&["-w", "7"], (false, false)),
        ] {
            assert_eq!((fits(words, &tcp), fits(words, &udp)), wanted, "{words:?}");
        }
        assert!(tcp.original.protocol == TCP);
    }

    #[test]
    fn what_is_no_filter_is_named_with_those_that_there_are() {
        for (words, wanted) in [
            (
                &["--port", "80"][..],
                "--port: not a filter; filters: --src ADDRESS, ",
            ),
            (&["tcp", "x"], "tcp: not a filter; filters: --src"),
            (
                &["--dport"],
                "--dport: not a filter, or without a value; filters: --src",
            ),
            (
                &["--dport", "http"],
                "--dport http: must be a port, 0 to 65535",
            ),
            (
                &["--src", "lan"],
                "--src lan: must be an address, or a network such as",
            ),
            (
                &["--state", "open?"],
                "--state open?: must be a state, such as established",
            ),
            (&["--proto", "tpc"], "--proto tpc: must be a protocol"),
            (&["--mark", "x"], "--mark x: must be a value"),
        ] {
            let said = Selection::parse(words).expect_err("no filter");
            assert!(said.starts_with(wanted), "{said}");
        }
    }

    #[test]
    fn what_may_differ_selects_nothing_for_a_comparison() {
        for words in [["--state", "close"], ["--mark", "7"]] {
            assert!(Selection::parse_ends(&words).is_err(), "{words:?}");
            assert!(Selection::parse(&words).is_ok());
        }
        assert!(Selection::parse_ends(&["--dport", "80"]).is_ok());
    }
}
