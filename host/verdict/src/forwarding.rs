//! Lists the kernel settings that a router needs to forward, and words what follows from one that is 0. The daemon and
//! `spared check` both use it.

use std::collections::BTreeMap;

use crate::setting::setting_of;

/// Setting that forwards IPv4 on all interfaces.
pub const IPV4: &str = "net.ipv4.ip_forward";
/// Setting that forwards IPv6 on all interfaces.
pub const IPV6: &str = "net.ipv6.conf.all.forwarding";

/// Need of a node to forward packets of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The node has no virtual addresses of that family.
    Nothing,
    /// The node may be a server, which need not forward.
    Perhaps,
    /// The node is a router.
    Forwarding,
}

impl Need {
    /// Returns the need, from the number of interfaces on which the node has virtual addresses of the family.
    pub fn of(interfaces: usize) -> Self {
        match interfaces {
            0 => Self::Nothing,
            1 => Self::Perhaps,
            _ => Self::Forwarding,
        }
    }
}

/// Returns the IPv4 settings that are 0, from the state of each interface. If no interface forwards, the setting for
/// all interfaces is returned.
pub fn off_ipv4(everywhere: bool, interfaces: &BTreeMap<String, bool>) -> Vec<String> {
    let off = interfaces.iter().filter(|(_, is_on)| !**is_on);
    let off: Vec<String> = off.map(|(name, _)| of_interface(name)).collect();
    if !everywhere && off.len() == interfaces.len() {
        vec![IPV4.to_owned()]
    } else {
        off
    }
}

/// Returns a sentence about what follows from a setting that is 0, without a full stop.
pub fn sentence(setting: &str) -> String {
    let what = match (setting, interface_of(setting)) {
        (IPV4, _) => "no IPv4 packet is forwarded".to_owned(),
        (IPV6, _) => "no IPv6 packet is forwarded".to_owned(),
        (_, Some(name)) => format!("IPv4 packets that arrive on {name} are not forwarded"),
        (_, None) => "packets are not forwarded".to_owned(),
    };
    format!("{setting} is 0: {what}")
}

/// Returns the command that sets the setting to 1.
pub fn command(setting: &str) -> String {
    format!("sysctl -w {setting}=1")
}

fn of_interface(name: &str) -> String {
    setting_of("ipv4", name, "forwarding")
}

fn interface_of(setting: &str) -> Option<String> {
    let name = setting.strip_prefix("net.ipv4.conf.")?;
    Some(name.strip_suffix(".forwarding")?.replace('/', "."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn off(everywhere: bool, interfaces: &[(&str, bool)]) -> Vec<String> {
        let interfaces = interfaces.iter();
        let interfaces = interfaces.map(|(name, is_on)| ((*name).to_owned(), *is_on));
        off_ipv4(everywhere, &interfaces.collect())
    }

    #[test]
    fn one_setting_is_named_if_nothing_forwards() {
        assert_eq!(off(false, &[("lan", false), ("wan", false)]), [IPV4]);
        assert_eq!(off(true, &[("lan", true), ("wan", true)]), [""; 0]);
    }

    #[test]
    fn an_interface_that_does_not_forward_is_named() {
        let wan = "net.ipv4.conf.wan.forwarding";
        assert_eq!(off(true, &[("lan", true), ("wan", false)]), [wan]);
        assert_eq!(off(false, &[("lan", true), ("wan", false)]), [wan]);
        // each setting was switched off by itself
        let both = off(true, &[("lan.7", false), ("wan", false)]);
        assert_eq!(both, ["net.ipv4.conf.lan/7.forwarding", wan]);
    }

    #[test]
    fn interfaces_that_forward_need_no_other_setting() {
        assert_eq!(off(false, &[("lan", true), ("wan", true)]), [""; 0]);
    }

    #[test]
    fn a_sentence_names_the_setting_and_what_is_not_forwarded() {
        assert_eq!(
            sentence("net.ipv4.conf.lan/7.forwarding"),
            "net.ipv4.conf.lan/7.forwarding is 0: IPv4 packets that arrive on lan.7 are not forwarded"
        );
        assert_eq!(command(IPV6), "sysctl -w net.ipv6.conf.all.forwarding=1");
    }
}
