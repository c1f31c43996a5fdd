//! Recognizes leases that this plugin gave to a running server, which writes them to its file like
//! its own.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::SECOND;
use crate::lease::{Change, Key, Lease};

/// Time for which an echo is expected. A server writes before it answers, but a rewritten file may
/// be read a second later.
const FOR: Duration = Duration::from_secs(60);
/// Difference of times that counts as equal: servers use whole seconds of their own clock.
const TOLERANCE_NS: u64 = 2 * SECOND;

#[derive(Debug, Default)]
pub struct Echoes {
    expected: BTreeMap<Key, (Instant, Change)>,
}

impl Echoes {
    pub fn expect(&mut self, changes: &[Change], now: Instant) {
        self.expected
            .retain(|_, (since, _)| now.duration_since(*since) < FOR);
        let expected = changes
            .iter()
            .map(|change| (change.key(), (now, change.clone())));
        self.expected.extend(expected);
    }

    /// Forgets a lease that the server refused.
    pub fn forget(&mut self, key: Key) {
        self.expected.remove(&key);
    }

    pub fn is_echo(&mut self, change: &Change, now: Instant) -> bool {
        let Some((since, expected)) = self.expected.get(&change.key()) else {
            return false;
        };
        let is_old = now.duration_since(*since) >= FOR;
        let is_echo = !is_old
            && match (expected, change) {
                (Change::Gone { .. }, Change::Gone { .. }) => true,
                (Change::Put(a), Change::Put(b)) => is_same(a, b),
                _ => false,
            };
        // a client has the address again: the next deletion is its release. A server writes nothing of the deletion of
        // a lease that it does not have
        let is_over = matches!((expected, change), (Change::Gone { .. }, Change::Put(_)));
        if is_echo || is_old || is_over {
            self.expected.remove(&change.key());
        }
        is_echo
    }
}

/// Returns true if both leases have the same client and end.
pub fn is_same(a: &Lease, b: &Lease) -> bool {
    let ends_alike = match (a.expires_ns, b.expires_ns) {
        (Some(a), Some(b)) => a.abs_diff(b) < TOLERANCE_NS,
        (None, None) => true,
        _ => false,
    };
    let (x, y) = (&a.client, &b.client);
    // not every file contains the hardware type
    let has_it = x.hardware == y.hardware && x.id == y.id && x.iaid == y.iaid;
    ends_alike && has_it && a.key == b.key && a.state == b.state
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MS;
    use crate::lease::{Client, Kind, State, signed};
    use std::net::{IpAddr, Ipv4Addr};

    fn lease(host: u8, expires_ms: u64) -> Lease {
        Lease {
            key: Key {
                kind: Kind::V4,
                address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, host)),
                prefix: 32,
            },
            client: Client::default(),
            hostname: Vec::new(),
            state: State::Leased,
            valid_s: 600,
            preferred_s: 0,
            expires_ns: Some(signed(expires_ms * MS)),
            committed_ns: 0,
            extra: std::collections::BTreeMap::new(),
        }
    }

    fn gone(host: u8) -> Change {
        let key = lease(host, 0).key;
        Change::Gone {
            key,
            committed_ns: 0,
        }
    }

    #[test]
    fn what_was_given_is_recognised_once() {
        let mut echoes = Echoes::default();
        let now = Instant::now();
        let given = [Change::Put(lease(1, 10_000)), gone(2)];
        echoes.expect(&given, now);
        assert!(echoes.is_echo(&Change::Put(lease(1, 11_900)), now));
        assert!(echoes.is_echo(&gone(2), now));
        assert!(!echoes.is_echo(&Change::Put(lease(1, 11_900)), now));
        assert!(!echoes.is_echo(&gone(2), now));
    }

    #[test]
    fn what_a_client_did_to_the_same_address_is_not_an_echo() {
        let mut echoes = Echoes::default();
        let now = Instant::now();
        let given = [Change::Put(lease(1, 10_000))];
        echoes.expect(&given, now);
        assert!(!echoes.is_echo(&Change::Put(lease(1, 12_000)), now));
        assert!(!echoes.is_echo(&gone(1), now));
        let mut other = lease(1, 10_000);
        other.client.iaid = 7;
        assert!(!echoes.is_echo(&Change::Put(other), now));
        assert!(
            echoes.is_echo(&given[0], now),
            "it comes behind the client's"
        );
    }

    #[test]
    fn what_was_refused_or_is_long_ago_is_not_expected() {
        let mut echoes = Echoes::default();
        let now = Instant::now();
        let given = [Change::Put(lease(1, 10_000))];
        echoes.expect(&given, now);
        echoes.forget(lease(1, 0).key);
        assert!(!echoes.is_echo(&given[0], now));
        echoes.expect(&given, now);
        echoes.expect(&[], now + FOR);
        assert!(!echoes.is_echo(&given[0], now));
    }

    #[test]
    fn a_deletion_without_an_echo_hides_no_later_release() {
        let mut echoes = Echoes::default();
        let now = Instant::now();
        echoes.expect(&[gone(1)], now);
        assert!(!echoes.is_echo(&gone(1), now + FOR + Duration::from_secs(1)));
        assert!(!echoes.is_echo(&gone(1), now), "it is no longer expected");
        echoes.expect(&[gone(1)], now);
        assert!(!echoes.is_echo(&Change::Put(lease(1, 10_000)), now));
        assert!(!echoes.is_echo(&gone(1), now));
    }
}
