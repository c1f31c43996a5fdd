//! Reads the number of packets that the kernel has forwarded, of both families.

use std::{fs, io};

/// File with "Ip: NAMES", and below it "Ip: NUMBERS".
const IPV4: &str = "/proc/thread-self/net/snmp";
/// File with "NAME NUMBER" in each line; it does not exist if IPv6 is off.
const IPV6: &str = "/proc/thread-self/net/snmp6";

/// # Errors
/// Errors of the files; InvalidData if there is no such counter.
pub fn forwarded() -> io::Result<u64> {
    let (ipv4, ipv6) = (fs::read_to_string(IPV4)?, fs::read_to_string(IPV6));
    let ipv4 = of_ipv4(&ipv4).ok_or(io::ErrorKind::InvalidData)?;
    Ok(ipv4 + ipv6.ok().and_then(|it| of_ipv6(&it)).unwrap_or(0))
}

fn of_ipv4(text: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Ip: "));
    let [names, numbers] = [lines.next()?, lines.next()?].map(str::split_whitespace);
    let mut both = names.zip(numbers);
    both.find(|(name, _)| *name == "ForwDatagrams")?
        .1
        .parse()
        .ok()
}

fn of_ipv6(text: &str) -> Option<u64> {
    let mut numbers = text
        .lines()
        .filter_map(|line| line.strip_prefix("Ip6OutForwDatagrams"));
    numbers.next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_are_counted() {
        let ipv4 =
            "Ip: Forwarding ForwDatagrams InDiscards\nIp: 1 42 7\nIcmp: ForwDatagrams\nIcmp: 9\n";
        assert_eq!(of_ipv4(ipv4), Some(42));
        assert_eq!(of_ipv4("Ip: Forwarding\nIp: 1\n"), None);
        assert_eq!(of_ipv4(""), None);
        let ipv6 = "Ip6InReceives \t3\nIp6OutForwDatagrams             \t12\n";
        assert_eq!(of_ipv6(ipv6), Some(12));
        assert!(forwarded().is_ok());
    }
}
