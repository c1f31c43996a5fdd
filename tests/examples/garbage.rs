// SPDX-License-Identifier: MIT OR Apache-2.0
//! A plugin that calls itself conntrack and answers its peer with garbage: what it heard, with bits
//! turned, cut short, doubled and longer, and bytes that mean nothing.

use spared_sdk::config::Config;
use spared_sdk::replicated::{self, Map, Replicated, replica::wire::OWN};
use spared_sdk::*;

const TICK: u32 = 1;
const TICK_NS: u64 = 2_000_000;
/// Number of messages that were heard and are kept, for the peer to hear again.
const KEPT: usize = 64;
const KEPT_BYTES: usize = 4096;
/// The kind of message that says what is active on a node.
const ROLE: u8 = 2;

struct Garbage {
    host: Host,
    up: bool,
    /// Without it, everything else is dropped. What it says of this node is true, or the other node would
    /// rightly believe an active one.
    session: Replicated<Map>,
    state: u64,
    heard: Vec<Vec<u8>>,
    sent: u64,
}

impl Plugin for Garbage {
    type Settings = ();

    fn create(host: Host) -> Result<Self, Error> {
        Ok(Self {
            host,
            up: false,
            session: Replicated::with(replicated::config(host, []), Map::new(0)),
            state: 0x2545_f491_4f6c_dd1d,
            heard: Vec::new(),
            sent: 0,
        })
    }

    fn read(_config: &Config) -> Result<(), Error> {
        Ok(())
    }

    fn start(&mut self, _token: Token) -> Result<Progress, Error> {
        self.host.peer().in_sync(true, "")?;
        self.again()?;
        Ok(Progress::Done)
    }

    fn timer(&mut self, _id: u32) {
        self.introduce();
        if self.up {
            for _ in 0..8 {
                let message = self.garbage();
                if self.host.peer().send(&message).is_ok() {
                    self.sent += 1;
                }
            }
        }
        if let Err(error) = self.again() {
            log::warn!("{error}");
        }
    }
}

impl Garbage {
    fn again(&self) -> Result<(), Error> {
        self.host
            .timer(TICK, self.host.now().saturating_add(TICK_NS))
    }

    /// Well-formed.
    fn introduce(&mut self) {
        if !self.up {
            return;
        }
        while let Some(message) = self.session.poll_message(self.host.now()) {
            if self.host.peer().send(message).is_err() {
                return;
            }
            self.session.message_sent();
        }
    }

    fn random(&mut self, below: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state % below.max(1) as u64) as usize
    }

    fn garbage(&mut self) -> Vec<u8> {
        let mut message = match self.random(3) {
            0 => Vec::new(),
            _ => {
                let which = self.random(self.heard.len());
                self.heard.get(which).cloned().unwrap_or_default()
            }
        };
        if message.is_empty() {
            let length = 1 + self.random(400);
            message = (0..length).map(|_| self.random(256) as u8).collect();
            // a kind that may exist
            message[0] = self.random(20) as u8 + OWN * self.random(2) as u8;
        }
        match self.random(5) {
            0 => message.truncate(1 + self.random(message.len())),
            1 => message.extend_from_within(..),
            2 => message.resize(message.len() + 3, 0xff),
            _ => {}
        }
        for _ in 0..self.random(6) {
            let (at, bit) = (self.random(message.len()), self.random(8));
            message[at] ^= 1 << bit;
        }
        if message[0] == ROLE {
            message[0] = OWN;
        }
        message
    }
}

impl Peer for Garbage {
    fn up(&mut self, _wire: u32) {
        self.up = true;
        let _ = self.host.peer().in_sync(true, "");
        self.session.handle_up();
        self.introduce();
    }

    fn down(&mut self) {
        self.up = false;
        self.session.handle_down();
    }

    fn message(&mut self, message: &[u8]) {
        if message.first().is_some_and(|kind| *kind < OWN) {
            let _ = self.session.handle_message(self.host.now(), message);
            self.introduce();
        }
        let kept = message.get(..KEPT_BYTES).unwrap_or(message).to_vec();
        if self.heard.len() < KEPT {
            self.heard.push(kept);
        } else {
            let which = self.random(KEPT);
            self.heard[which] = kept;
        }
    }

    fn writable(&mut self) {}
}

impl Roles for Garbage {
    fn role(&mut self, event: &RoleEvent, _token: Token) -> Result<Progress, Error> {
        self.session.handle_role(&event.group, event.role);
        self.introduce();
        Ok(Progress::Done)
    }
}

impl Query for Garbage {
    fn query(&mut self, _argv: &[&str], answer: &mut Answer) -> Result<Progress, Error> {
        answer.number("sent", self.sent)?;
        answer.number("heard", self.heard.len() as u64)?;
        Ok(Progress::Done)
    }
}

spared_sdk::plugin!(Garbage {
    name: "conntrack",
    summary: "says nothing but garbage",
    wire: (1, 1),
    parts: [roles, query, peer],
});
