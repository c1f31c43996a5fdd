//! Messages of D-Bus: calls of methods, their answers, and signals; sans I/O.
//!
//! D-Bus Specification 0.43, "Authentication Protocol" and "Message Protocol". The crates for D-Bus need an
//! asynchronous runtime or are not maintained, and a plugin must not wait for a bus.
//!
//! ```text
//!  0  byte order, l or B
//!  1  kind: 1 call, 2 return, 3 error, 4 signal
//!  2  flags
//!  3  version
//!  4  length of the body
//!  8  serial number
//! 12  length of the fields
//! 16  fields, each at a multiple of 8: code, signature, value
//!     body, at a multiple of 8
//! ```

mod call;
mod read;

pub use call::{Body, Method, NO_AUTO_START, encode};
pub use read::{Kind, MESSAGE_MAX, Message, NotDbus};

/// Name of the bus itself.
pub const DAEMON: &str = "org.freedesktop.DBus";
/// Path of the bus's object.
pub const DAEMON_PATH: &str = "/org/freedesktop/DBus";
/// Line to send once the bus has accepted the user; messages follow.
pub const BEGIN: &[u8] = b"BEGIN\r\n";
/// Maximum length in bytes of a line of the bus before the first message.
const LINE_MAX: usize = 4096;

/// Codes of the header fields.
mod field {
    pub(crate) const PATH: u8 = 1;
    pub(crate) const INTERFACE: u8 = 2;
    pub(crate) const MEMBER: u8 = 3;
    pub(crate) const ERROR: u8 = 4;
    pub(crate) const ANSWERED: u8 = 5;
    pub(crate) const DESTINATION: u8 = 6;
    pub(crate) const SIGNATURE: u8 = 8;
}

/// First bytes to send: this process has the user id `uid`.
pub fn greeting(uid: u32) -> Vec<u8> {
    let digits = uid.to_string();
    let digits: String = digits.bytes().map(|it| format!("{it:02x}")).collect();
    format!("\0AUTH EXTERNAL {digits}\r\n").into_bytes()
}

/// Length of the line by which the bus accepts the user; None: the line is incomplete.
///
/// # Errors
/// The bus refuses the user, or the other end is not a bus; the reason.
pub fn welcome(bytes: &[u8]) -> Result<Option<usize>, String> {
    let Some(length) = bytes.windows(2).position(|it| it == b"\r\n") else {
        return if bytes.len() > LINE_MAX {
            Err(NotDbus.to_string())
        } else {
            Ok(None)
        };
    };
    if bytes.starts_with(b"OK ") {
        Ok(Some(length.saturating_add(2)))
    } else {
        Err("it does not accept this user".to_owned())
    }
}

#[cfg(test)]
mod tests;
