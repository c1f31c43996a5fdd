//! Sessions of browsers that logged in. They are in memory alone, and end with the plugin.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};

/// Time after which one has to log in again.
pub const LIFETIME: Duration = Duration::from_secs(12 * 3600);
/// Maximum number of sessions; the oldest ends for a new one.
const SESSIONS_MAX: usize = 64;

/// Digest of a session's secret. The secret itself is known to the browser alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionKey([u8; 32]);

impl SessionKey {
    /// Key of the session with this secret.
    pub fn of(secret: &str) -> Self {
        let mut key = [0; 32];
        key.copy_from_slice(digest(&SHA256, secret.as_bytes()).as_ref());
        Self(key)
    }
}

/// Sessions with the time of their begin.
#[derive(Debug, Default)]
pub struct Sessions(HashMap<SessionKey, Instant>);

impl Sessions {
    /// Begins a session. Returns its secret, for the browser; None if the kernel gives no randomness.
    pub fn begin(&mut self, now: Instant) -> Option<String> {
        let mut random = [0; 32];
        SystemRandom::new().fill(&mut random).ok()?;
        let secret = Base64UrlUnpadded::encode_string(&random);
        self.0
            .retain(|_, begun| now.duration_since(*begun) < LIFETIME);
        while self.0.len() >= SESSIONS_MAX {
            let oldest = self.0.iter().min_by_key(|(_, begun)| **begun);
            let oldest = oldest.map(|(key, _)| *key)?;
            self.0.remove(&oldest);
        }
        self.0.insert(SessionKey::of(&secret), now);
        Some(secret)
    }

    /// True while the session lasts.
    pub fn is_valid(&self, now: Instant, key: SessionKey) -> bool {
        let begun = self.0.get(&key);
        begun.is_some_and(|begun| now.duration_since(*begun) < LIFETIME)
    }

    pub fn end(&mut self, key: SessionKey) {
        self.0.remove(&key);
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_lasts_for_its_time_and_ends_when_it_is_ended() {
        let (now, mut sessions) = (Instant::now(), Sessions::default());
        let secret = sessions.begin(now).unwrap();
        assert_eq!(secret.len(), 43);
        let key = SessionKey::of(&secret);
        let last = now + LIFETIME - Duration::from_secs(1);
        assert!(sessions.is_valid(last, key) && !sessions.is_valid(now + LIFETIME, key));
        assert!(!sessions.is_valid(now, SessionKey::of("guessed")));
        sessions.end(key);
        assert!(!sessions.is_valid(now, key));
    }

    #[test]
    fn there_is_an_end_to_sessions_and_the_oldest_goes_first() {
        let (now, mut sessions) = (Instant::now(), Sessions::default());
        let begun: Vec<String> = (0..SESSIONS_MAX as u64 + 1)
            .map(|second| sessions.begin(now + Duration::from_secs(second)).unwrap())
            .collect();
        let is_valid = |at: usize| sessions.is_valid(now, SessionKey::of(&begun[at]));
        assert_eq!(sessions.count(), SESSIONS_MAX);
        assert!(!is_valid(0) && is_valid(1) && is_valid(SESSIONS_MAX));
    }
}
