//! A notice that both nodes have, in a file that only root may write: the half with a peer.
//!
//! It runs confined, reads what the peer sends, and passes a notice on to `courier-root`, which is
//! root, has no peer, and checks every byte again (`examples/root.rs`). Both files must be there:
//!
//!     touch /etc/spared/plugins/courier.toml /etc/spared/plugins/courier-root.toml
//!
//! `sparectl courier say TEXT`, `flood N SIZE` (numbered messages, to see that none is lost),
//! `status`.

mod message;

use message::{notice, numbered, refusal};
use spared_sdk::config::Config;
use spared_sdk::*;

const ROOT: usize = 0;
/// Shortest message of a flood: its kind and its number.
const NUMBERED_MIN: usize = 1 + size_of::<u64>();
/// Messages sent in one callback, so that the loop can do other things.
const BURST: u32 = 64;
const GO_ON: u32 = 1;
const USAGE: &str = "usage: sparectl courier say TEXT | flood N SIZE | status";

struct Courier {
    host: Host,
    is_up: bool,
    notice: String,
    answer: String,
    /// The notice that is still to be sent to the other half.
    waiting: Option<Vec<u8>>,
    /// Next number of the flood, its end, and the message.
    flood: (u64, u64, Vec<u8>),
    refused: u64,
}

impl Plugin for Courier {
    type Settings = ();

    fn create(host: Host) -> Result<Self, Error> {
        Ok(Self {
            host,
            is_up: false,
            notice: String::new(),
            answer: String::new(),
            waiting: None,
            flood: (0, 0, Vec::new()),
            refused: 0,
        })
    }

    fn read(_config: &Config) -> Result<(), Error> {
        Ok(())
    }

    fn timer(&mut self, _id: u32) {
        self.go_on();
    }
}

impl Courier {
    fn take(&mut self, text: &str) -> Result<(), Error> {
        self.waiting = Some(notice(text).map_err(Error::Peer)?);
        self.notice = text.to_owned();
        self.go_on();
        Ok(())
    }

    /// Sends what waits for the other half: the notice, then the flood.
    fn go_on(&mut self) {
        if let Some(message) = self.waiting.take() {
            if !self.pass_on(&message) {
                self.waiting = Some(message);
                return;
            }
        }
        for _ in 0..BURST {
            let (next, end, mut message) = std::mem::take(&mut self.flood);
            if next >= end {
                return;
            }
            numbered(&mut message, next);
            let is_sent = self.pass_on(&message);
            self.flood = (next + u64::from(is_sent), end, message);
            if !is_sent {
                return;
            }
        }
        let _ = self.host.timer(GO_ON, self.host.now());
    }

    /// False if there is no room: `partner_writable` or `partner_up` follows.
    fn pass_on(&mut self, message: &[u8]) -> bool {
        match self.host.local().send(ROOT, message) {
            Ok(()) => true,
            Err(SendError::Full | SendError::Down) => {
                self.refused += 1;
                false
            }
            Err(error) => {
                log::error!("{error}");
                true
            }
        }
    }
}

impl Local for Courier {
    const PARTNERS: &'static [Partner] = &[Partner::named(c"courier-root")];

    fn partner_up(&mut self, _partner: usize) {
        self.is_up = true;
        if !self.notice.is_empty() {
            self.waiting = notice(&self.notice).ok();
        }
        self.go_on();
    }

    fn partner_down(&mut self, _partner: usize) {
        self.is_up = false;
    }

    fn partner_message(&mut self, _partner: usize, message: &[u8]) {
        self.answer = String::from_utf8_lossy(message).into_owned();
    }

    fn partner_writable(&mut self, _partner: usize) {
        self.go_on();
    }
}

impl Peer for Courier {
    fn up(&mut self, _wire: u32) {
        self.report();
        let notice = self.notice.clone();
        self.tell_peer(&notice);
    }

    fn down(&mut self) {
        self.report();
    }

    fn message(&mut self, message: &[u8]) {
        let taken = match std::str::from_utf8(message) {
            Ok(text) => self.take(text),
            Err(_) => Err(Error::Peer("a notice that is not UTF-8".to_owned())),
        };
        if let Err(error) = taken {
            log::warn!("{error}");
        }
    }
}

impl Courier {
    // A notice is there or comes with the next `up`: nothing that a failover has to wait for.
    fn report(&self) {
        if let Err(error) = self.host.peer().in_sync(true, "") {
            log::warn!("{error}");
        }
    }

    fn tell_peer(&self, text: &str) {
        // Without a peer it is sent by the next `up`.
        if !text.is_empty() {
            let _ = self.host.peer().send(text.as_bytes());
        }
    }
}

impl Query for Courier {
    const VERBS: &'static [Verb] = &[
        Verb::ROWS,
        Verb::STATUS,
        Verb::changes(c"say", c"TEXT", c"sets the notice of both nodes"),
        Verb::changes(c"flood", c"N SIZE", c"sends the other half messages"),
    ];

    fn query(&mut self, argv: &[&str], answer: &mut Answer) -> Result<Progress, Error> {
        match *argv {
            ["say", text] => {
                if let Some(why) = refusal(text) {
                    return Err(Error::Usage(why.to_owned()));
                }
                self.take(text)?;
                self.tell_peer(text);
            }
            ["flood", count, size] => {
                let (Ok(count), Ok(size)) = (count.parse(), size.parse::<usize>()) else {
                    return Err(Error::Usage(USAGE.to_owned()));
                };
                let size = size.clamp(NUMBERED_MIN, abi::LOCAL_MESSAGE_MAX as usize);
                self.flood = (0, count, vec![0; size]);
                self.go_on();
            }
            [] | ["status"] => {
                answer.row("root_half_up", &Value::Flag(self.is_up))?;
                answer.text("notice", &self.notice)?;
                answer.text("answer", &self.answer)?;
                answer.row("flood.sent", &Value::Number(self.flood.0))?;
                answer.row("refused", &Value::Counter(self.refused))?;
            }
            _ => return Err(Error::Usage(USAGE.to_owned())),
        }
        Ok(Progress::Done)
    }
}

plugin!(Courier {
    name: "courier",
    summary: "a notice that both nodes have",
    wire: (1, 1),
    parts: [query, peer, local],
});
