// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the ends of leases from the servers' own files.

use super::server::Make;

/// Returns the end of an address's lease in seconds since 1970, from the lease file of a server of this make. The last
/// entry counts. None if there is none, or if the lease has ended.
pub fn ends(make: Make, text: &str, address: &str) -> Option<i64> {
    match make {
        Make::Kea4 | Make::Kea6 => kea(text, address),
        Make::Dnsmasq4 | Make::Dnsmasq6 | Make::Dnsmasq => dnsmasq(text, address),
        Make::Dhcpd4 | Make::Dhcpd6 => dhcpd(text, address),
    }
}

fn kea(text: &str, address: &str) -> Option<i64> {
    let is_its = |line: &&str| line.split(',').next() == Some(address);
    let line = text.lines().rev().find(is_its)?;
    let (v6, fields) = (address.contains(':'), line.split(',').collect::<Vec<_>>());
    let at = if v6 { 2 } else { 3 };
    (*fields.get(at)? != "0").then_some(())?;
    fields.get(at + 1)?.parse().ok()
}

fn dnsmasq(text: &str, address: &str) -> Option<i64> {
    let is_its = |line: &&str| line.split(' ').nth(2) == Some(address);
    text.lines().find(is_its)?.split(' ').next()?.parse().ok()
}

fn dhcpd(text: &str, address: &str) -> Option<i64> {
    let heads = [
        format!("\nlease {address} {{"),
        format!(" iaaddr {address} {{"),
        format!(" iaprefix {address}/64 {{"),
    ];
    let blocks = heads.iter().filter_map(|head| text.rsplit_once(head));
    let block = blocks.map(|(_, block)| block).next()?.split('}').next()?;
    if !block.contains("binding state active") {
        return None;
    }
    let words = block.split_once(" ends ")?.1.split(';').next()?;
    let words: Vec<&str> = words.split_whitespace().collect();
    match words.as_slice() {
        ["epoch", seconds] => seconds.parse().ok(),
        [_weekday, date, time] => {
            let date = numbers(date, '/')?;
            let time = numbers(time, ':')?;
            Some(days(date) * 86_400 + time[0] * 3600 + time[1] * 60 + time[2])
        }
        _ => None,
    }
}

fn numbers(text: &str, between: char) -> Option<[i64; 3]> {
    let numbers: Vec<i64> = text
        .split(between)
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    numbers.try_into().ok()
}

/// Returns the days from 1970 to a date between 1970 and 2099.
fn days([year, month, day]: [i64; 3]) -> i64 {
    const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let leap = i64::from(year % 4 == 0 && month > 2);
    let before = usize::try_from(month - 1)
        .ok()
        .and_then(|at| BEFORE.get(at));
    (year - 1970) * 365 + (year - 1969) / 4 + before.copied().unwrap_or(0) + leap + day - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_makes_words_are_understood() {
        let kea = "address,hwaddr\n10.1.0.5,a,b,600,1000,1\n10.1.0.5,a,b,600,1700000000,1\n\
                   10.1.0.6,a,b,0,1700000000,1\n";
        assert_eq!(ends(Make::Kea4, kea, "10.1.0.5"), Some(1_700_000_000));
        assert_eq!(ends(Make::Kea4, kea, "10.1.0.6"), None);
        let dnsmasq = "1700000001 m 10.1.0.5 * *\nduid 00\n1700000002 7 fd01::5 * 00\n";
        assert_eq!(ends(Make::Dnsmasq, dnsmasq, "fd01::5"), Some(1_700_000_002));
        let dhcpd = "\nlease 10.1.0.5 {\n  ends epoch 7;\n  binding state active;\n}\n\
                     lease 10.1.0.5 {\n  ends 2 2023/11/14 22:13:20;\n  binding state active;\n}\n\
                     lease 10.1.0.6 {\n  ends 2 2023/11/14 22:13:20;\n  binding state free;\n}\n";
        assert_eq!(ends(Make::Dhcpd4, dhcpd, "10.1.0.5"), Some(1_700_000_000));
        assert_eq!(ends(Make::Dhcpd4, dhcpd, "10.1.0.6"), None);
        assert_eq!(days([2024, 3, 1]), 19_783);
        assert_eq!(days([2026, 11, 20]), 20_777);
    }
}
