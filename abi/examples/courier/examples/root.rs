//! The half that is root: writes the notice to a file of its own.

#[path = "../src/message.rs"]
mod message;

use message::{NOTICE, NUMBERED, refusal};
use spared_sdk::config::Config;
use spared_sdk::*;

const COURIER: usize = 0;

struct CourierRoot {
    host: Host,
    is_up: bool,
    ups: u64,
    /// Numbered messages since the last `partner_up`.
    received: u64,
    /// Number of records among them with another number than the next.
    gaps: u64,
}

impl Plugin for CourierRoot {
    type Settings = ();

    fn create(host: Host) -> Result<Self, Error> {
        Ok(Self {
            host,
            is_up: false,
            ups: 0,
            received: 0,
            gaps: 0,
        })
    }

    fn read(_config: &Config) -> Result<(), Error> {
        Ok(())
    }
}

impl CourierRoot {
    /// Every byte may be an attacker's: the other half reads the network.
    fn take(&mut self, message: &[u8]) -> Result<Option<String>, String> {
        match message {
            [NOTICE, text @ ..] => {
                let text = std::str::from_utf8(text).map_err(|_| "a notice that is not UTF-8")?;
                if let Some(why) = refusal(text) {
                    return Err(why.to_owned());
                }
                self.write(text).map(Some)
            }
            [NUMBERED, rest @ ..] => {
                let number = rest.first_chunk().ok_or("a message without its number")?;
                self.gaps += u64::from(u64::from_le_bytes(*number) != self.received);
                self.received += 1;
                Ok(None)
            }
            _ => Err("a message of no known kind".to_owned()),
        }
    }

    fn write(&self, text: &str) -> Result<String, String> {
        let folder = self.host.state_folder().ok_or("no folder of its own")?;
        let path = folder.join("notice");
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        let uid = rustix::process::geteuid();
        Ok(format!(
            "written by uid {} to {}",
            uid.as_raw(),
            path.display()
        ))
    }
}

impl Local for CourierRoot {
    const PARTNERS: &'static [Partner] = &[Partner::named(c"courier")];

    fn partner_up(&mut self, _partner: usize) {
        (self.is_up, self.received, self.gaps) = (true, 0, 0);
        self.ups += 1;
    }

    fn partner_down(&mut self, _partner: usize) {
        self.is_up = false;
    }

    fn partner_message(&mut self, _partner: usize, message: &[u8]) {
        let answer = match self.take(message) {
            Ok(None) => return,
            Ok(Some(done)) => done,
            Err(why) => format!("refused: {why}"),
        };
        // An answer that finds no room is lost; a service would keep it until `partner_writable`.
        if let Err(error) = self.host.local().send(COURIER, answer.as_bytes()) {
            log::warn!("an answer is lost: {error}");
        }
    }
}

impl Query for CourierRoot {
    fn query(&mut self, _argv: &[&str], answer: &mut Answer) -> Result<Progress, Error> {
        answer.row("courier_up", &Value::Flag(self.is_up))?;
        answer.row("ups", &Value::Counter(self.ups))?;
        answer.row("received", &Value::Number(self.received))?;
        answer.row("gaps", &Value::Number(self.gaps))?;
        Ok(Progress::Done)
    }
}

plugin!(CourierRoot {
    name: "courier-root",
    summary: "writes the notice of both nodes",
    flags: ROOT,
    parts: [query, local],
});
