//! The conversation by which systemd tells over the message bus that a unit has changed; sans I/O.
//!
//! Fed by [`Bus::handle_bytes`]; what it says is to be written to the socket.

use std::fmt::Write as _;

use spared_dbus::{
    BEGIN, Body, DAEMON, DAEMON_PATH, Kind, Message, Method, encode, greeting, welcome,
};

const SYSTEMD: &str = "org.freedesktop.systemd1";
/// Object of systemd itself: it tells of each daemon-reload.
pub const MANAGER: &str = "/org/freedesktop/systemd1";
/// Rules for changes of units, and for the daemon-reload that follows a change of their files.
const RULES: [&str; 2] = [
    "type='signal',sender='org.freedesktop.systemd1',path_namespace='/org/freedesktop/systemd1/unit',\
     interface='org.freedesktop.DBus.Properties',member='PropertiesChanged'",
    "type='signal',sender='org.freedesktop.systemd1',path='/org/freedesktop/systemd1',\
     interface='org.freedesktop.systemd1.Manager',member='Reloading'",
];

/// What the other end has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It knows who this is: these bytes are to be said.
    Welcome(Vec<u8>),
    /// From now on systemd tells of changes.
    Watching,
    /// One of those objects has changed.
    Changed,
    /// The last ping was answered: what changed before it has been told.
    Answered,
}

/// A conversation with the message bus.
#[derive(Debug, Default)]
pub struct Bus {
    is_welcome: bool,
    buffer: Vec<u8>,
    serial: u32,
    /// Serial number of the call after which systemd tells of changes.
    subscribed: u32,
}

impl Bus {
    /// The first bytes to say.
    pub fn greeting(uid: u32) -> Vec<u8> {
        greeting(uid)
    }

    /// Takes what came; `is_ours` tells the objects whose changes matter.
    ///
    /// # Errors
    /// The other end refuses something, or speaks no D-Bus; the reason.
    pub fn handle_bytes(
        &mut self,
        bytes: &[u8],
        mut is_ours: impl FnMut(&str) -> bool,
    ) -> Result<Vec<Heard>, String> {
        self.buffer.extend_from_slice(bytes);
        let mut heard = Vec::new();
        if !self.is_welcome {
            let Some(length) = welcome(&self.buffer)? else {
                return Ok(heard);
            };
            self.buffer.drain(..length);
            self.is_welcome = true;
            heard.push(Heard::Welcome(self.introduction()));
        }
        let mut rest = self.buffer.as_slice();
        while let Some((message, after)) = Message::read(rest).map_err(|why| why.to_string())? {
            heard.extend(self.judge(&message, &mut is_ours)?);
            rest = after;
        }
        self.buffer = rest.to_vec();
        Ok(heard)
    }

    /// Asks systemd for an answer.
    pub fn ping(&mut self) -> Vec<u8> {
        let ping = Method {
            destination: SYSTEMD,
            path: MANAGER,
            interface: "org.freedesktop.DBus.Peer",
            member: "Ping",
        };
        self.call(ping, &Body::default())
    }

    fn introduction(&mut self) -> Vec<u8> {
        let daemon = |member| Method {
            destination: DAEMON,
            path: DAEMON_PATH,
            interface: DAEMON,
            member,
        };
        let mut bytes = BEGIN.to_vec();
        bytes.extend(self.call(daemon("Hello"), &Body::default()));
        for rule in RULES {
            let mut body = Body::default();
            body.text(rule);
            bytes.extend(self.call(daemon("AddMatch"), &body));
        }
        let subscribe = Method {
            destination: SYSTEMD,
            path: MANAGER,
            interface: "org.freedesktop.systemd1.Manager",
            member: "Subscribe",
        };
        bytes.extend(self.call(subscribe, &Body::default()));
        self.subscribed = self.serial;
        bytes
    }

    fn call(&mut self, method: Method<'_>, body: &Body) -> Vec<u8> {
        // zero is no serial number
        self.serial = self.serial.checked_add(1).unwrap_or(1);
        encode(method, self.serial, 0, body)
    }

    fn judge(
        &self,
        message: &Message<'_>,
        is_ours: impl FnMut(&str) -> bool,
    ) -> Result<Option<Heard>, String> {
        let heard = match message.kind {
            Kind::Error => return Err(message.error.unwrap_or("it refuses a call").to_owned()),
            Kind::Return if message.answers == Some(self.subscribed) => Heard::Watching,
            Kind::Return if message.answers == Some(self.serial) => Heard::Answered,
            Kind::Signal if message.path.is_some_and(is_ours) => Heard::Changed,
            _ => return Ok(None),
        };
        Ok(Some(heard))
    }
}

/// Object of a unit: what is no letter or digit is written as its number.
pub fn object(unit: &str) -> String {
    let mut path = format!("{MANAGER}/unit/");
    for (at, byte) in unit.bytes().enumerate() {
        let is_plain = byte.is_ascii_alphabetic() || at > 0 && byte.is_ascii_digit();
        match is_plain {
            true => path.push(char::from(byte)),
            false => {
                let _ = write!(path, "_{byte:02x}");
            }
        }
    }
    path
}
