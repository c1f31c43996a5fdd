//! Answers requests of workers for signatures and verifications, with a rate limit.

use spared_contract::channel::{SIGN, SIGNATURE_SIZE, SIGNED, STATEMENT_MAX, VERIFIED, VERIFY};

use super::trust::Trust;

/// Number of requests of a plugin that are answered per second, and in a burst after a pause.
const RATE: u64 = 20;
const NS_PER_REQUEST: u64 = 1_000_000_000 / RATE;
const BURST_NS: u64 = RATE * NS_PER_REQUEST;
/// Share of the burst that is reserved for signatures, so that forged statements to verify cannot
/// stop a node from signing.
const RESERVED_NS: u64 = 4 * NS_PER_REQUEST;

/// Remaining allowance of a plugin, in nanoseconds.
#[derive(Debug, Default)]
pub struct Allowance {
    left_ns: u64,
    at_ns: Option<u64>,
}

impl Allowance {
    fn take(&mut self, now_ns: u64, reserved_ns: u64) -> bool {
        let passed_ns = self.at_ns.map_or(BURST_NS, |at| now_ns.saturating_sub(at));
        self.left_ns = self.left_ns.saturating_add(passed_ns).min(BURST_NS);
        self.at_ns = Some(now_ns);
        if self.left_ns < NS_PER_REQUEST + reserved_ns {
            return false;
        }
        self.left_ns -= NS_PER_REQUEST;
        true
    }
}

/// Returns true for a request: the first byte distinguishes it from a message.
pub fn is_request(record: &[u8]) -> bool {
    matches!(record.first(), Some(&(SIGN | VERIFY)))
}

/// Returns the answer as a record; None if the request is malformed or exceeds the limit.
pub fn answer(
    trust: &Trust,
    allowance: &mut Allowance,
    now_ns: u64,
    plugin: &str,
    request: &[u8],
) -> Option<Vec<u8>> {
    let (kind, rest) = request.split_first()?;
    let (ticket, rest) = rest.split_first_chunk::<8>()?;
    if *kind == SIGN {
        if rest.len() > STATEMENT_MAX || !allowance.take(now_ns, 0) {
            return None;
        }
        let signature = trust.sign(plugin, rest);
        return Some([&[SIGNED], &ticket[..], &signature].concat());
    }
    let (signature, statement) = rest.split_first_chunk::<SIGNATURE_SIZE>()?;
    if statement.len() > STATEMENT_MAX || !allowance.take(now_ns, RESERVED_NS) {
        return None;
    }
    let yes = trust.verify(plugin, statement, signature);
    Some([&[VERIFIED], &ticket[..], &[u8::from(yes)]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    #[test]
    fn a_burst_then_twenty_a_second_and_never_more() {
        let mut allowance = Allowance::default();
        let mut take = |now_ns| allowance.take(now_ns, 0);
        assert_eq!((0..100).filter(|_| take(7)).count(), 20);
        let later = (1..=1000).filter(|ms| take(7 + ms * SECOND_NS / 1000));
        assert_eq!(later.count(), 20);
        // a pause adds at most the burst, and a clock that stands still adds nothing
        let at_ns = 7 + 600 * SECOND_NS;
        assert_eq!((0..100).filter(|_| take(at_ns)).count(), 20);
        assert_eq!((0..100).filter(|_| take(0)).count(), 0);
    }

    #[test]
    fn statements_to_verify_leave_room_for_signatures() {
        let mut allowance = Allowance::default();
        let verified = (0..100).filter(|_| allowance.take(7, RESERVED_NS));
        assert_eq!(verified.count(), 16);
        assert_eq!((0..100).filter(|_| allowance.take(7, 0)).count(), 4);
    }
}
