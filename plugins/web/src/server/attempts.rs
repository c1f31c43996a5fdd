//! Attempts to log in: after a failure an address has to wait, each time longer, and all addresses together have a
//! number of attempts. So guesses are few, and cost the processor little.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::quota::network_of;

/// Pause after the first failure of an address, which doubles with each further one, up to the longest.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Time after which the failures of an address are forgotten.
const MEMORY: Duration = Duration::from_secs(15 * 60);
/// Maximum number of addresses that are remembered; those that failed longest ago are forgotten first.
const ADDRESSES_MAX: usize = 1024;
/// Attempts of all addresses that failed, per minute, after which others have to wait.
const FAILURES_PER_MINUTE: u32 = 30;

/// Failures of all addresses.
#[derive(Debug)]
pub struct Attempts {
    addresses: HashMap<IpAddr, Failures>,
    /// Failures that all addresses may still have, which grow with time.
    left: f64,
    filled_at: Instant,
}

#[derive(Debug)]
struct Failures {
    count: u32,
    last: Instant,
    /// True while an attempt is being judged: a second one of the address has to wait.
    is_trying: bool,
}

impl Attempts {
    pub fn new(now: Instant) -> Self {
        Self {
            addresses: HashMap::new(),
            left: FAILURES_PER_MINUTE.into(),
            filled_at: now,
        }
    }

    /// Begins an attempt, of which [`end`](Self::end) has to be told.
    ///
    /// # Errors
    /// The time to wait.
    pub fn begin(&mut self, now: Instant, address: IpAddr) -> Result<(), Duration> {
        self.fill(now);
        self.addresses
            .retain(|_, it| it.is_trying || now.duration_since(it.last) < MEMORY);
        let address = network_of(address);
        if let Some(failures) = self.addresses.get_mut(&address) {
            if failures.is_trying {
                return Err(PAUSE);
            }
            let passed = now.duration_since(failures.last);
            let left = failures.pause().saturating_sub(passed);
            if !left.is_zero() {
                return Err(left);
            }
        }
        if self.left < 1.0 {
            let seconds = 60.0 / f64::from(FAILURES_PER_MINUTE);
            return Err(Duration::from_secs_f64(seconds * (1.0 - self.left)));
        }
        // several addresses at once must not have more than there is
        self.left -= 1.0;
        self.make_room();
        let entry = self.addresses.entry(address).or_insert(Failures {
            count: 0,
            last: now,
            is_trying: true,
        });
        entry.is_trying = true;
        Ok(())
    }

    /// Ends an attempt that was begun.
    pub fn end(&mut self, now: Instant, address: IpAddr, was_right: bool) {
        let address = network_of(address);
        if was_right {
            self.addresses.remove(&address);
            self.left = (self.left + 1.0).min(FAILURES_PER_MINUTE.into());
            return;
        }
        if let Some(failures) = self.addresses.get_mut(&address) {
            failures.count = failures.count.saturating_add(1);
            (failures.last, failures.is_trying) = (now, false);
        }
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.duration_since(self.filled_at).as_secs_f64();
        let most = f64::from(FAILURES_PER_MINUTE);
        self.left = (self.left + passed * most / 60.0).min(most);
        self.filled_at = now;
    }

    fn make_room(&mut self) {
        if self.addresses.len() < ADDRESSES_MAX {
            return;
        }
        let idle = self.addresses.iter().filter(|(_, it)| !it.is_trying);
        let oldest = idle
            .min_by_key(|(_, it)| it.last)
            .map(|(address, _)| *address);
        if let Some(oldest) = oldest {
            self.addresses.remove(&oldest);
        }
    }
}

impl Failures {
    fn pause(&self) -> Duration {
        match self.count.checked_sub(1) {
            None => Duration::ZERO,
            Some(doublings) => (PAUSE * 2u32.pow(doublings.min(10))).min(PAUSE_MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn each_failure_of_an_address_doubles_its_pause_and_a_right_password_ends_it() {
        let (mut now, mut attempts) = (Instant::now(), Attempts::new(Instant::now()));
        for pause_s in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(attempts.begin(now, address(1)), Ok(()), "{pause_s}");
            attempts.end(now, address(1), false);
            let pause = Duration::from_secs(pause_s);
            assert_eq!(attempts.begin(now, address(1)), Err(pause));
            assert_eq!(attempts.begin(now, address(2)), Ok(()), "another one");
            attempts.end(now, address(2), true);
            now += pause;
        }
        assert_eq!(attempts.begin(now, address(1)), Ok(()));
        attempts.end(now, address(1), true);
        assert_eq!(attempts.begin(now, address(1)), Ok(()));
    }

    #[test]
    fn an_address_tries_one_password_at_a_time() {
        let now = Instant::now();
        let mut attempts = Attempts::new(now);
        assert_eq!(attempts.begin(now, address(1)), Ok(()));
        assert_eq!(attempts.begin(now, address(1)), Err(PAUSE));
        attempts.end(now, address(1), true);
        assert_eq!(attempts.begin(now, address(1)), Ok(()));
    }

    #[test]
    fn many_addresses_together_have_thirty_failures_a_minute() {
        let now = Instant::now();
        let mut attempts = Attempts::new(now);
        let mut begun = |now: Instant, addresses: std::ops::Range<u8>| {
            let tried = addresses.filter(|last| attempts.begin(now, address(*last)).is_ok());
            tried.count()
        };
        assert_eq!(begun(now, 0..200), 30);
        assert_eq!(begun(now + Duration::from_secs(20), 200..250), 10);
    }

    #[test]
    fn the_memory_of_addresses_is_bounded() {
        let mut now = Instant::now();
        let mut attempts = Attempts::new(now);
        for number in 0..3000u32 {
            now += Duration::from_secs(2);
            let address = IpAddr::from((0x0a00_0000 + number).to_be_bytes());
            assert_eq!(attempts.begin(now, address), Ok(()));
            attempts.end(now, address, false);
            assert!(attempts.addresses.len() <= ADDRESSES_MAX);
        }
        let whole = "2001:db8::1".parse().unwrap();
        let same = "2001:db8::2".parse().unwrap();
        assert_eq!(attempts.begin(now, whole), Ok(()));
        attempts.end(now, whole, false);
        assert!(attempts.begin(now, same).is_err(), "one network of a user");
    }
}
