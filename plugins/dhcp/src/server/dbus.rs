//! The part of D-Bus that calling one method needs: the D-Bus specification's "Message Protocol".
//!
//! Crates for it either bring an asynchronous runtime or wait without end for a bus that has gone.
//!
//! ```text
//! 0       1       2       3        4                8                12
//! +-------+-------+-------+--------+----------------+----------------+
//! | 'l'/B | type  | flags | 1      | length of body | serial         |
//! +-------+-------+-------+--------+----------------+----------------+
//! | length of fields | fields: (code, signature, value) each at 8 ... |
//! +------------------+----------------------------------------------+
//! | padding to 8 | body                                             |
//! ```

use std::time::Duration;

use rustix::net::SocketAddrUnix;
use spared_sdk::hex;

use super::End;
use super::call::Call;

const TIMEOUT: Duration = Duration::from_secs(5);
/// Limit of a message's fields, and of its body.
const MESSAGE_MAX: usize = 1 << 20;
const FIXED: usize = 16;

const METHOD_CALL: u8 = 1;
const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;
/// Whom it is for shall not be started for it.
const NO_AUTO_START: u8 = 2;

#[derive(Debug)]
pub struct Bus {
    call: Call,
    serial: u32,
    unread: Vec<u8>,
}

/// Destination and method of a call.
#[derive(Clone, Copy, Debug)]
pub struct Method<'a> {
    pub destination: &'a str,
    pub path: &'a str,
    pub interface: &'a str,
    pub member: &'a str,
}

/// Result of a method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Return,
    /// Its name and text.
    Error(String),
}

impl Bus {
    /// # Errors
    /// A sentence without its object.
    pub fn open(address: &str, end: &End) -> Result<Self, String> {
        let call = Call::connect(&socket_address(address)?, end, TIMEOUT)?;
        let mut bus = Self {
            call,
            serial: 0,
            unread: Vec::new(),
        };
        bus.authenticate()?;
        let hello = Method {
            destination: "org.freedesktop.DBus",
            path: "/org/freedesktop/DBus",
            interface: "org.freedesktop.DBus",
            member: "Hello",
        };
        match bus.call(hello, &Body::default())? {
            Reply::Return => Ok(bus),
            Reply::Error(why) => Err(why),
        }
    }

    pub fn call(&mut self, method: Method<'_>, body: &Body) -> Result<Reply, String> {
        self.call.extend(TIMEOUT);
        self.serial = self.serial.wrapping_add(1).max(1);
        self.call.write(&encode(method, self.serial, body))?;
        loop {
            while let Some(size) = size(&self.unread)? {
                if self.unread.len() < size {
                    break;
                }
                let message: Vec<u8> = self.unread.drain(..size).collect();
                if let Some(reply) = decode(&message, self.serial)? {
                    return Ok(reply);
                }
            }
            if !self.call.read(&mut self.unread, 3 * MESSAGE_MAX)? {
                return Err("the bus closed the connection".to_owned());
            }
        }
    }

    fn authenticate(&mut self) -> Result<(), String> {
        let uid = rustix::process::geteuid().as_raw().to_string();
        let uid = hex::text(uid.as_bytes(), "");
        self.call
            .write(format!("\0AUTH EXTERNAL {uid}\r\n").as_bytes())?;
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            if !self.call.read(&mut line, 4096)? {
                return Err("the bus closed the connection".to_owned());
            }
        }
        if !line.starts_with(b"OK ") {
            return Err("the bus refuses this account".to_owned());
        }
        self.call.write(b"BEGIN\r\n")
    }
}

/// The arguments of a call.
#[derive(Clone, Debug, Default)]
pub struct Body {
    signature: String,
    bytes: Vec<u8>,
}

impl Body {
    pub fn text(&mut self, text: &str) {
        self.signature.push('s');
        put_text(&mut self.bytes, text);
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.signature.push_str("ay");
        put_length(&mut self.bytes, bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    pub fn number(&mut self, number: u32) {
        self.signature.push('u');
        put_number(&mut self.bytes, number);
    }

    pub fn flag(&mut self, flag: bool) {
        self.signature.push('b');
        put_number(&mut self.bytes, u32::from(flag));
    }
}

/// Address of the first socket in a list: "unix:path=/run/x,guid=...;tcp:...".
fn socket_address(list: &str) -> Result<SocketAddrUnix, String> {
    for address in list.split(';') {
        let Some(("unix", keys)) = address.split_once(':') else {
            continue;
        };
        for (key, value) in keys.split(',').filter_map(|pair| pair.split_once('=')) {
            let address = match key {
                "path" => SocketAddrUnix::new(value),
                "abstract" => SocketAddrUnix::new_abstract_name(value.as_bytes()),
                _ => continue,
            };
            return address.map_err(|error| error.to_string());
        }
    }
    Err("the address of the bus has no unix:path= and no unix:abstract=".to_owned())
}

fn encode(method: Method<'_>, serial: u32, body: &Body) -> Vec<u8> {
    let mut message = vec![b'l', METHOD_CALL, NO_AUTO_START, 1];
    put_length(&mut message, body.bytes.len());
    put_number(&mut message, serial);
    let mut fields = Vec::new();
    put_field(&mut fields, 1, 'o', method.path);
    put_field(&mut fields, 2, 's', method.interface);
    put_field(&mut fields, 3, 's', method.member);
    put_field(&mut fields, 6, 's', method.destination);
    if !body.signature.is_empty() {
        align(&mut fields, 8);
        fields.extend_from_slice(&[8, 1, b'g', 0]);
        put_signature(&mut fields, &body.signature);
    }
    put_length(&mut message, fields.len());
    message.extend_from_slice(&fields);
    align(&mut message, 8);
    message.extend_from_slice(&body.bytes);
    message
}

fn put_field(fields: &mut Vec<u8>, code: u8, kind: char, text: &str) {
    align(fields, 8);
    fields.push(code);
    put_signature(fields, kind.encode_utf8(&mut [0; 4]));
    put_text(fields, text);
}

fn put_signature(bytes: &mut Vec<u8>, signature: &str) {
    bytes.push(u8::try_from(signature.len()).unwrap_or(u8::MAX));
    bytes.extend_from_slice(signature.as_bytes());
    bytes.push(0);
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put_length(bytes, text.len());
    bytes.extend_from_slice(text.as_bytes());
    bytes.push(0);
}

fn put_length(bytes: &mut Vec<u8>, length: usize) {
    put_number(bytes, u32::try_from(length).unwrap_or(u32::MAX));
}

fn put_number(bytes: &mut Vec<u8>, number: u32) {
    align(bytes, 4);
    bytes.extend_from_slice(&number.to_le_bytes());
}

fn align(bytes: &mut Vec<u8>, to: usize) {
    bytes.resize(bytes.len().next_multiple_of(to), 0);
}

/// Length of the first message in `bytes`; None: too few bytes.
fn size(bytes: &[u8]) -> Result<Option<usize>, String> {
    let mut reader = Reader::new(bytes);
    let Some((body, fields)) = reader.lengths() else {
        return Ok(None);
    };
    if fields > MESSAGE_MAX || body > MESSAGE_MAX {
        return Err("the bus sent a message that is too long".to_owned());
    }
    Ok(Some(FIXED + fields.next_multiple_of(8) + body))
}

/// None: it is no answer to this call.
fn decode(message: &[u8], serial: u32) -> Result<Option<Reply>, String> {
    let garbled = || "the bus sent a message that cannot be read".to_owned();
    let mut reader = Reader::new(message);
    let (_, fields) = reader.lengths().ok_or_else(garbled)?;
    let kind = message.get(1).copied().unwrap_or_default();
    if kind != METHOD_RETURN && kind != ERROR {
        return Ok(None);
    }
    let end = FIXED.saturating_add(fields);
    let mut name = String::new();
    let mut answered = None;
    let mut has_text = false;
    while reader.at < end {
        let field = reader.field().ok_or_else(garbled)?;
        match field {
            (4, Value::Text(text)) => name = text,
            (5, Value::Number(number)) => answered = Some(number),
            (8, Value::Text(signature)) => has_text = signature.starts_with('s'),
            _ => {}
        }
    }
    if answered != Some(serial) {
        return Ok(None);
    }
    if kind == METHOD_RETURN {
        return Ok(Some(Reply::Return));
    }
    reader.align(8);
    let text = if has_text { reader.text() } else { None };
    let text = text.map_or_else(|| name.clone(), |text| format!("{name}: {text}"));
    Ok(Some(Reply::Error(text)))
}

enum Value {
    Text(String),
    Number(u32),
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    is_little: bool,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            is_little: bytes.first() != Some(&b'B'),
        }
    }

    /// Of the body and of the fields; what follows are those.
    fn lengths(&mut self) -> Option<(usize, usize)> {
        self.at = 4;
        let body = self.number()?;
        self.at = 12;
        let fields = self.number()?;
        Some((usize::try_from(body).ok()?, usize::try_from(fields).ok()?))
    }

    fn field(&mut self) -> Option<(u8, Value)> {
        self.align(8);
        let code = self.byte()?;
        let signature = self.signature()?;
        let value = match signature {
            b"s" | b"o" => Value::Text(self.text()?),
            b"g" => Value::Text(String::from_utf8_lossy(self.signature()?).into_owned()),
            b"u" => Value::Number(self.number()?),
            _ => return None,
        };
        Some((code, value))
    }

    fn signature(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(self.byte()?);
        let signature = self.take(length)?;
        self.take(1)?;
        Some(signature)
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.number()?).ok()?;
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.take(1)?;
        Some(text)
    }

    fn number(&mut self) -> Option<u32> {
        self.align(4);
        let bytes = self.take(4)?.try_into().ok()?;
        Some(if self.is_little {
            u32::from_le_bytes(bytes)
        } else {
            u32::from_be_bytes(bytes)
        })
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CALLED: Method<'_> = Method {
        destination: "a.b",
        path: "/a",
        interface: "a.b",
        member: "C",
    };

    /// The error "e.f" with the text "no" to the call 7, in either byte order.
    fn refusal(big: bool) -> Vec<u8> {
        let number = |number: u32| {
            if big {
                number.to_be_bytes()
            } else {
                number.to_le_bytes()
            }
        };
        let mut bytes = vec![if big { b'B' } else { b'l' }, ERROR, 1, 1];
        bytes.extend(number(7));
        bytes.extend(number(99));
        bytes.extend(number(31));
        bytes.extend([5, 1, b'u', 0]);
        bytes.extend(number(7));
        bytes.extend([4, 1, b's', 0]);
        bytes.extend(number(3));
        bytes.extend(b"e.f\0\0\0\0\0");
        bytes.extend([8, 1, b'g', 0, 1, b's', 0, 0]);
        bytes.extend(number(2));
        bytes.extend(b"no\0");
        bytes
    }

    #[test]
    fn a_call_is_as_the_specification_has_it() {
        let mut body = Body::default();
        body.text("hi");
        body.bytes(&[1, 2]);
        body.number(3);
        body.flag(true);
        let message = encode(CALLED, 0x0102, &body);
        #[rustfmt::skip]
        let expected = [
            b'l', 1, 2, 1,  24, 0, 0, 0,  2, 1, 0, 0,  75, 0, 0, 0,
            1, 1, b'o', 0,  2, 0, 0, 0,  b'/', b'a', 0, 0,  0, 0, 0, 0,
            2, 1, b's', 0,  3, 0, 0, 0,  b'a', b'.', b'b', 0,  0, 0, 0, 0,
            3, 1, b's', 0,  1, 0, 0, 0,  b'C', 0, 0, 0,  0, 0, 0, 0,
            6, 1, b's', 0,  3, 0, 0, 0,  b'a', b'.', b'b', 0,  0, 0, 0, 0,
            8, 1, b'g', 0,  5, b's', b'a', b'y', b'u', b'b', 0,  0, 0, 0, 0, 0,
            2, 0, 0, 0,  b'h', b'i', 0, 0,  2, 0, 0, 0,  1, 2, 0, 0,
            3, 0, 0, 0,  1, 0, 0, 0,
        ];
        assert_eq!(message, expected);
        assert_eq!(size(&message), Ok(Some(message.len())));
    }

    #[test]
    fn a_refusal_says_why_in_either_byte_order() {
        for big in [false, true] {
            let bytes = refusal(big);
            assert_eq!(size(&bytes), Ok(Some(bytes.len())));
            let expected = Reply::Error("e.f: no".to_owned());
            assert_eq!(decode(&bytes, 7), Ok(Some(expected)));
            assert_eq!(decode(&bytes, 8), Ok(None), "of another call");
        }
    }

    #[test]
    fn an_address_may_name_a_path_or_an_abstract_socket() {
        let of = |text| socket_address(text).map(|address| format!("{address:?}"));
        assert!(of("unix:path=/run/x,guid=1").unwrap().contains("/run/x"));
        assert!(
            of("tcp:host=a;unix:guid=1,abstract=/tmp/y")
                .unwrap()
                .contains("/tmp/y")
        );
        assert!(of("tcp:host=a").is_err());
        assert!(of("/run/x").is_err());
    }

    proptest! {
        #[test]
        fn nothing_from_the_bus_panics(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            at in 0_usize..70,
            wrong: u8,
        ) {
            let _ = size(&bytes);
            let _ = decode(&bytes, 7);
            let mut bytes = refusal(false);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = wrong;
            }
            let _ = size(&bytes);
            let _ = decode(&bytes, 7);
            bytes.truncate(at);
            let _ = decode(&bytes, 7);
        }
    }
}
