//! A plugin for tests that claims to be sets and sends nonsense to its peer: valid beginnings with invalid ends, random
//! bytes, and sometimes messages of the real plugin.

use spared_sdk::config::Config;
use spared_sdk::*;

const TICK: u32 = 1;
const TICK_NS: u64 = 2_000_000;
/// Length of a message's head in bytes.
const HEAD: usize = 20;

struct Babble {
    host: Host,
    up: bool,
    state: u64,
}

impl Plugin for Babble {
    type Settings = ();

    fn create(host: Host) -> Result<Self, Error> {
        Ok(Self {
            host,
            up: false,
            state: 0x2545_f491_4f6c_dd1d,
        })
    }

    fn read(_config: &Config) -> Result<(), Error> {
        Ok(())
    }

    fn start(&mut self, _token: Token) -> Result<Progress, Error> {
        self.again()?;
        Ok(Progress::Done)
    }

    fn timer(&mut self, _id: u32) {
        for _ in 0..8 {
            let nonsense = self.nonsense();
            if self.up {
                let _ = self.host.peer().send(&nonsense);
            }
        }
        if let Err(error) = self.again() {
            log::warn!("{error}");
        }
    }
}

impl Babble {
    fn again(&self) -> Result<(), Error> {
        let at_ns = self.host.now().saturating_add(TICK_NS);
        self.host.timer(TICK, at_ns)
    }

    fn random(&mut self, below: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state % below.max(1)
    }

    fn nonsense(&mut self) -> Vec<u8> {
        let mut message = match self.random(4) {
            0 => vec![1, self.random(3) as u8],
            1 => Vec::new(),
            // heads whose serials may be the present ones
            _ => (0..HEAD).map(|_| self.random(3) as u8).collect(),
        };
        if let Some(kind) = message.first_mut() {
            *kind = self.random(16) as u8;
        }
        // small numbers make plausible lengths
        let most = if self.random(2) == 0 { 9 } else { 256 };
        for _ in 0..self.random(60) {
            message.push(self.random(most) as u8);
        }
        if message.is_empty() {
            message.push(0);
        }
        message
    }
}

impl Peer for Babble {
    fn up(&mut self, _wire: u32) {
        self.up = true;
        let _ = self.host.peer().in_sync(true, "");
    }

    fn down(&mut self) {
        self.up = false;
    }

    fn message(&mut self, _message: &[u8]) {}
}

spared_sdk::plugin!(Babble {
    name: "sets",
    summary: "nonsense for sets",
    wire: (1, 1),
    parts: [peer],
});
