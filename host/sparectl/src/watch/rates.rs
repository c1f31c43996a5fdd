//! Computes bytes per second from counters that only grow.

use std::collections::BTreeMap;
use std::time::Instant;

use spared_message::control::LinkStatus;

/// Bytes per second: sent, received.
pub type Rate = (u64, u64);

#[derive(Default)]
pub struct Rates {
    seen: BTreeMap<String, (Instant, Rate)>,
    rates: BTreeMap<String, Rate>,
}

impl Rates {
    pub fn note(&mut self, now: Instant, links: &[LinkStatus]) {
        for link in links {
            let counted = (link.sent_bytes, link.received_bytes);
            let before = self.seen.insert(link.interface.clone(), (now, counted));
            let Some((then, (sent, received))) = before else {
                continue;
            };
            let passed_ms = u64::try_from(now.duration_since(then).as_millis()).unwrap_or(1);
            // the counters of a restarted link process begin at zero
            let per_second = |now: u64, before: u64| {
                now.saturating_sub(before).saturating_mul(1000) / passed_ms.max(1)
            };
            let rate = (per_second(counted.0, sent), per_second(counted.1, received));
            self.rates.insert(link.interface.clone(), rate);
        }
    }

    pub fn of(&self, interface: &str) -> Option<Rate> {
        self.rates.get(interface).copied()
    }
}

/// Rate such as "3.4 MB/s".
pub fn readable(bytes_per_s: u64) -> String {
    let tenths = |unit: u64| (bytes_per_s / unit, bytes_per_s % unit * 10 / unit);
    match bytes_per_s {
        0..1_000 => format!("{bytes_per_s} B/s"),
        1_000..1_000_000 => {
            let (whole, tenth) = tenths(1_000);
            format!("{whole}.{tenth} kB/s")
        }
        _ => {
            let (whole, tenth) = tenths(1_000_000);
            format!("{whole}.{tenth} MB/s")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn link(sent_bytes: u64, received_bytes: u64) -> Vec<LinkStatus> {
        vec![LinkStatus {
            interface: "hot".to_owned(),
            sent_bytes,
            received_bytes,
            ..LinkStatus::default()
        }]
    }

    #[test]
    fn a_rate_is_what_was_added_in_the_time_between() {
        let start = Instant::now();
        let mut rates = Rates::default();
        rates.note(start, &link(1000, 0));
        assert_eq!(rates.of("hot"), None);
        rates.note(start + Duration::from_millis(500), &link(3000, 100));
        assert_eq!(rates.of("hot"), Some((4000, 200)));
        rates.note(start + Duration::from_secs(1), &link(10, 100));
        assert_eq!(rates.of("hot"), Some((0, 0)));
    }

    #[test]
    fn rates_are_read_in_their_unit() {
        assert_eq!(readable(17), "17 B/s");
        assert_eq!(readable(4_250), "4.2 kB/s");
        assert_eq!(readable(3_400_000), "3.4 MB/s");
    }
}
