//! Calls of methods.

use crate::field;

const METHOD_CALL: u8 = 1;
/// Flag: the bus does not start the destination for the call.
pub const NO_AUTO_START: u8 = 2;

/// Destination and method of a call.
#[derive(Clone, Copy, Debug)]
pub struct Method<'a> {
    /// Name of the destination, "org.freedesktop.systemd1".
    pub destination: &'a str,
    /// Path of the object.
    pub path: &'a str,
    /// Interface of the method.
    pub interface: &'a str,
    /// Name of the method.
    pub member: &'a str,
}

/// Arguments of a call.
#[derive(Clone, Debug, Default)]
pub struct Body {
    signature: String,
    bytes: Vec<u8>,
}

impl Body {
    /// Adds a text.
    pub fn text(&mut self, text: &str) {
        self.signature.push('s');
        put_text(&mut self.bytes, text);
    }

    /// Adds an array of bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.signature.push_str("ay");
        put_length(&mut self.bytes, bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    /// Adds a 32-bit number.
    pub fn number(&mut self, number: u32) {
        self.signature.push('u');
        put_number(&mut self.bytes, number);
    }

    /// Adds a flag.
    pub fn flag(&mut self, flag: bool) {
        self.signature.push('b');
        put_number(&mut self.bytes, u32::from(flag));
    }
}

/// Encodes a call, with flags such as [`NO_AUTO_START`]. The serial number, by which the answer names the call, is not
/// 0.
pub fn encode(method: Method<'_>, serial: u32, flags: u8, body: &Body) -> Vec<u8> {
    let mut message = vec![b'l', METHOD_CALL, flags, 1];
    put_length(&mut message, body.bytes.len());
    put_number(&mut message, serial);
    let mut fields = Vec::new();
    put_field(&mut fields, field::PATH, 'o', method.path);
    put_field(&mut fields, field::INTERFACE, 's', method.interface);
    put_field(&mut fields, field::MEMBER, 's', method.member);
    put_field(&mut fields, field::DESTINATION, 's', method.destination);
    if !body.signature.is_empty() {
        align(&mut fields, 8);
        fields.extend_from_slice(&[field::SIGNATURE, 1, b'g', 0]);
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
