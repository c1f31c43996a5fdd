//! Conversation with the message bus by which systemd reports changes of units; sans I/O.
//!
//! Fed by [`Bus::handle_bytes`]; the returned bytes are to be written to the socket.

use std::fmt::Write as _;

use spared_dbus::{
    BEGIN, Body, DAEMON, DAEMON_PATH, Kind, Message, Method, encode, greeting, welcome,
};

const SYSTEMD: &str = "org.freedesktop.systemd1";
/// Object of systemd itself, which reports each daemon-reload.
pub const MANAGER: &str = "/org/freedesktop/systemd1";
/// Rules for changes of units, and for the daemon-reload that follows a change of their files.
const RULES: [&str; 2] = [
    "type='signal',sender='org.freedesktop.systemd1',path_namespace='/org/freedesktop/systemd1/unit',\
     interface='org.freedesktop.DBus.Properties',member='PropertiesChanged'",
    "type='signal',sender='org.freedesktop.systemd1',path='/org/freedesktop/systemd1',\
     interface='org.freedesktop.systemd1.Manager',member='Reloading'",
];

/// Event from the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BusEvent {
    /// The bus accepts this process: these bytes are to be sent.
    Welcome(Vec<u8>),
    /// systemd reports changes from now on.
    Watching,
    /// An object for which `is_ours` is true has changed.
    Changed,
    /// The last ping was answered: earlier changes have been reported.
    Answered,
}

/// State of a conversation with the message bus.
#[derive(Debug, Default)]
pub struct Bus {
    is_welcome: bool,
    buffer: Vec<u8>,
    serial: u32,
    /// Serial number of the call after which systemd reports changes.
    subscribed: u32,
}

impl Bus {
    /// First bytes to send.
    pub fn greeting(uid: u32) -> Vec<u8> {
        greeting(uid)
    }

    /// Handles received bytes; `is_ours` selects the objects whose changes matter.
    ///
    /// # Errors
    /// The other end refuses a call, or does not speak D-Bus; the reason.
    pub fn handle_bytes(
        &mut self,
        bytes: &[u8],
        mut is_ours: impl FnMut(&str) -> bool,
    ) -> Result<Vec<BusEvent>, String> {
        self.buffer.extend_from_slice(bytes);
        let mut heard = Vec::new();
        if !self.is_welcome {
            let Some(length) = welcome(&self.buffer)? else {
                return Ok(heard);
            };
            self.buffer.drain(..length);
            self.is_welcome = true;
            heard.push(BusEvent::Welcome(self.first_calls()));
        }
        let mut rest = self.buffer.as_slice();
        while let Some((message, after)) = Message::read(rest).map_err(|why| why.to_string())? {
            heard.extend(self.interpret(&message, &mut is_ours)?);
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

    fn first_calls(&mut self) -> Vec<u8> {
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
        // zero is not a serial number
        self.serial = self.serial.checked_add(1).unwrap_or(1);
        encode(method, self.serial, 0, body)
    }

    fn interpret(
        &self,
        message: &Message<'_>,
        is_ours: impl FnMut(&str) -> bool,
    ) -> Result<Option<BusEvent>, String> {
        let heard = match message.kind {
            Kind::Error => return Err(message.error.unwrap_or("it refuses a call").to_owned()),
            Kind::Return if message.answers == Some(self.subscribed) => BusEvent::Watching,
            Kind::Return if message.answers == Some(self.serial) => BusEvent::Answered,
            Kind::Signal if message.path.is_some_and(is_ours) => BusEvent::Changed,
            _ => return Ok(None),
        };
        Ok(Some(heard))
    }
}

/// Object of a unit: bytes other than letters and digits are written as numbers.
pub fn object(unit: &str) -> String {
    let mut path = format!("{MANAGER}/unit/");
    for (at, byte) in unit.bytes().enumerate() {
        let is_plain = byte.is_ascii_alphabetic() || at > 0 && byte.is_ascii_digit();
        if is_plain {
            path.push(char::from(byte))
        } else {
            let _ = write!(path, "_{byte:02x}");
        }
    }
    path
}
