//! The words of D-Bus by which systemd tells that a unit has changed; sans I/O.
//!
//! D-Bus Specification 0.43, "Message Protocol" and "Authentication Protocol". Fed by [`Bus::handle_bytes`]; what it says is
//! to be written to the socket.
//!
//! ```text
//!  0  byte order, l or B
//!  1  kind: 1 call, 2 reply, 3 error, 4 signal
//!  2  flags
//!  3  version
//!  4  length of the body
//!  8  serial number
//! 12  length of the fields
//! 16  fields, each at a multiple of 8: code, signature, value
//!     body, at a multiple of 8
//! ```

use std::fmt::Write as _;

const SYSTEMD: &str = "org.freedesktop.systemd1";
/// Object of systemd itself: it tells of each daemon-reload.
pub const MANAGER: &str = "/org/freedesktop/systemd1";
const DAEMON: &str = "org.freedesktop.DBus";
/// Rules for changes of units, and for the daemon-reload that follows a change of their files.
const RULES: [&str; 2] = [
    "type='signal',sender='org.freedesktop.systemd1',path_namespace='/org/freedesktop/systemd1/unit',\
     interface='org.freedesktop.DBus.Properties',member='PropertiesChanged'",
    "type='signal',sender='org.freedesktop.systemd1',path='/org/freedesktop/systemd1',\
     interface='org.freedesktop.systemd1.Manager',member='Reloading'",
];

const HEADER: usize = 16;
const FIELDS_MAX: usize = 64 * 1024;
/// All properties of a unit are some 10 kB.
const BODY_MAX: usize = 1024 * 1024;
const LINE_MAX: usize = 4096;

const REPLY: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;

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
        let digits = uid.to_string();
        let mut line = "\0AUTH EXTERNAL ".to_owned();
        for digit in digits.bytes() {
            let _ = write!(line, "{digit:02x}");
        }
        line.push_str("\r\n");
        line.into_bytes()
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
        while let Some((message, after)) = Message::read(rest).ok_or("it speaks no D-Bus")? {
            heard.extend(self.judge(&message, &mut is_ours)?);
            rest = after;
        }
        self.buffer = rest.to_vec();
        Ok(heard)
    }

    /// Asks systemd for an answer.
    pub fn ping(&mut self) -> Vec<u8> {
        self.call(&Call {
            destination: SYSTEMD,
            path: MANAGER,
            interface: "org.freedesktop.DBus.Peer",
            member: "Ping",
            argument: None,
        })
    }

    fn introduction(&mut self) -> Vec<u8> {
        let daemon = |member, argument| Call {
            destination: DAEMON,
            path: "/org/freedesktop/DBus",
            interface: DAEMON,
            member,
            argument,
        };
        let mut bytes = b"BEGIN\r\n".to_vec();
        bytes.extend(self.call(&daemon("Hello", None)));
        for rule in RULES {
            bytes.extend(self.call(&daemon("AddMatch", Some(rule))));
        }
        bytes.extend(self.call(&Call {
            destination: SYSTEMD,
            path: MANAGER,
            interface: "org.freedesktop.systemd1.Manager",
            member: "Subscribe",
            argument: None,
        }));
        self.subscribed = self.serial;
        bytes
    }

    fn call(&mut self, call: &Call<'_>) -> Vec<u8> {
        // zero is no serial number
        self.serial = self.serial.checked_add(1).unwrap_or(1);
        call.encode(self.serial)
    }

    fn judge(
        &self,
        message: &Message<'_>,
        is_ours: impl FnMut(&str) -> bool,
    ) -> Result<Option<Heard>, String> {
        let heard = match message.kind {
            ERROR => return Err(message.error.unwrap_or("it refuses a call").to_owned()),
            REPLY if message.reply == Some(self.subscribed) => Heard::Watching,
            REPLY if message.reply == Some(self.serial) => Heard::Answered,
            SIGNAL if message.path.is_some_and(is_ours) => Heard::Changed,
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

/// Length of the line that says who is welcome; None: more has to come.
fn welcome(bytes: &[u8]) -> Result<Option<usize>, String> {
    let Some(length) = bytes.windows(2).position(|it| it == b"\r\n") else {
        return match bytes.len() > LINE_MAX {
            true => Err("it speaks no D-Bus".to_owned()),
            false => Ok(None),
        };
    };
    match bytes.starts_with(b"OK ") {
        true => Ok(Some(length.saturating_add(2))),
        false => Err("it does not accept this user".to_owned()),
    }
}

struct Call<'c> {
    destination: &'c str,
    path: &'c str,
    interface: &'c str,
    member: &'c str,
    argument: Option<&'c str>,
}

impl Call<'_> {
    fn encode(&self, serial: u32) -> Vec<u8> {
        let mut body = Vec::new();
        if let Some(argument) = self.argument {
            put_text(&mut body, argument);
        }
        let mut fields = Vec::new();
        for (code, kind, text) in [
            (1, b'o', self.path),
            (2, b's', self.interface),
            (3, b's', self.member),
            (6, b's', self.destination),
        ] {
            pad(&mut fields, 8);
            fields.extend([code, 1, kind, 0]);
            put_text(&mut fields, text);
        }
        if self.argument.is_some() {
            pad(&mut fields, 8);
            fields.extend([8, 1, b'g', 0, 1, b's', 0]);
        }
        let mut bytes = vec![b'l', 1, 0, 1];
        bytes.extend(length(&body));
        bytes.extend(serial.to_le_bytes());
        bytes.extend(length(&fields));
        bytes.extend(fields);
        pad(&mut bytes, 8);
        bytes.extend(body);
        bytes
    }
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    pad(bytes, 4);
    bytes.extend(length(text.as_bytes()));
    bytes.extend(text.as_bytes());
    bytes.push(0);
}

fn pad(bytes: &mut Vec<u8>, align: usize) {
    bytes.resize(bytes.len().next_multiple_of(align), 0);
}

fn length(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes()
}

/// What matters of a message.
#[derive(Debug, Default)]
struct Message<'b> {
    kind: u8,
    path: Option<&'b str>,
    error: Option<&'b str>,
    reply: Option<u32>,
}

impl<'b> Message<'b> {
    /// The first message, and the bytes after it; Some(None): more has to come.
    #[expect(clippy::option_option, reason = "no message is not yet a fault")]
    fn read(bytes: &'b [u8]) -> Option<Option<(Self, &'b [u8])>> {
        let Some(header) = bytes.get(..HEADER) else {
            return Some(None);
        };
        let is_big = match header.first()? {
            b'l' => false,
            b'B' => true,
            _ => return None,
        };
        let mut numbers = Reader::new(header.get(4..)?, is_big);
        let body = usize::try_from(numbers.number()?).ok()?;
        numbers.number()?;
        let fields = usize::try_from(numbers.number()?).ok()?;
        if fields > FIELDS_MAX || body > BODY_MAX {
            return None;
        }
        let whole = HEADER + fields.next_multiple_of(8) + body;
        let Some((whole, after)) = bytes.split_at_checked(whole) else {
            return Some(None);
        };
        let fields = whole.get(HEADER..)?.get(..fields)?;
        let mut message = Self {
            kind: *header.get(1)?,
            ..Self::default()
        };
        message.read_fields(&mut Reader::new(fields, is_big))?;
        Some(Some((message, after)))
    }

    fn read_fields(&mut self, fields: &mut Reader<'b>) -> Option<()> {
        while !fields.is_empty() {
            let code = *fields.take(8, 1)?.first()?;
            match *fields.take(1, 3)? {
                [1, b'o' | b's', 0] => {
                    let text = fields.text()?;
                    match code {
                        1 => self.path = Some(text),
                        4 => self.error = Some(text),
                        _ => {}
                    }
                }
                [1, b'u', 0] => {
                    let number = fields.number()?;
                    if code == 5 {
                        self.reply = Some(number);
                    }
                }
                [1, b'g', 0] => {
                    let length = *fields.take(1, 1)?.first()?;
                    fields.take(1, usize::from(length) + 1)?;
                }
                _ => return None,
            }
        }
        Some(())
    }
}

struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
    is_big: bool,
}

impl<'b> Reader<'b> {
    fn new(bytes: &'b [u8], is_big: bool) -> Self {
        Self {
            bytes,
            at: 0,
            is_big,
        }
    }

    fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    fn take(&mut self, align: usize, length: usize) -> Option<&'b [u8]> {
        let from = self.at.checked_next_multiple_of(align)?;
        let to = from.checked_add(length)?;
        let part = self.bytes.get(from..to)?;
        self.at = to;
        Some(part)
    }

    fn number(&mut self) -> Option<u32> {
        let bytes = self.take(4, 4)?.try_into().ok()?;
        Some(match self.is_big {
            true => u32::from_be_bytes(bytes),
            false => u32::from_le_bytes(bytes),
        })
    }

    fn text(&mut self) -> Option<&'b str> {
        let length = usize::try_from(self.number()?).ok()?;
        let text = self.take(1, length)?;
        self.take(1, 1)?;
        std::str::from_utf8(text).ok()
    }
}
