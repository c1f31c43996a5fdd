//! Judges what somebody offers to log in: the password, or the token.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::State;
use crate::config::Token;

/// Maximum wait for the checks of other passwords.
const PATIENCE: Duration = Duration::from_secs(5);

/// Verdict about a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Right,
    Wrong,
    /// It was not looked at: the address, or all together, failed too often.
    Wait(Duration),
}

/// Judges a password or token that a browser sent.
pub async fn judge_password(state: &Arc<State>, address: IpAddr, secret: String) -> Verdict {
    let attempt = match Attempt::begin(state, address) {
        Ok(attempt) => attempt,
        Err(wait) => return Verdict::Wait(wait),
    };
    let is_right = is_token(state, &secret) || is_password(state, secret).await;
    attempt.end(is_right)
}

/// Judges a token that a program sent.
pub fn judge_token(state: &Arc<State>, address: IpAddr, token: &str) -> Verdict {
    match Attempt::begin(state, address) {
        Ok(attempt) => attempt.end(is_token(state, token)),
        Err(wait) => Verdict::Wait(wait),
    }
}

// Digests are compared: how long it takes says nothing about the token.
fn is_token(state: &State, offered: &str) -> bool {
    let token = state.settings.login.token.as_ref();
    token.is_some_and(|it| *it == Token::new(offered))
}

async fn is_password(state: &Arc<State>, offered: String) -> bool {
    let Some(hash) = state.settings.login.password.clone() else {
        return false;
    };
    let turn = timeout(PATIENCE, state.checks.acquire()).await;
    let Ok(Ok(_turn)) = turn else {
        return false;
    };
    let checked = spawn_blocking(move || hash.is_of(&offered)).await;
    checked.unwrap_or(false)
}

/// Attempt that is being judged. If it is dropped before, as its connection ended, it failed.
struct Attempt {
    state: Arc<State>,
    address: IpAddr,
    was_right: bool,
}

impl Attempt {
    fn begin(state: &Arc<State>, address: IpAddr) -> Result<Self, Duration> {
        state.attempts().begin(Instant::now(), address)?;
        Ok(Self {
            state: state.clone(),
            address,
            was_right: false,
        })
    }

    fn end(mut self, is_right: bool) -> Verdict {
        self.was_right = is_right;
        if is_right {
            Verdict::Right
        } else {
            Verdict::Wrong
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let now = Instant::now();
        self.state.attempts().end(now, self.address, self.was_right);
    }
}
