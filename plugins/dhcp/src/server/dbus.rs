//! Calls methods over the message bus, each with a time limit.

use std::time::Duration;

use rustix::net::SocketAddrUnix;
use spared_dbus::{
    BEGIN, Body, DAEMON, DAEMON_PATH, Kind, MESSAGE_MAX, Message, Method, NO_AUTO_START, encode,
    greeting, welcome,
};

use super::End;
use super::call::Call;

const TIMEOUT: Duration = Duration::from_secs(5);
const CLOSED: &str = "the bus closed the connection";

#[derive(Debug)]
pub struct Bus {
    call: Call,
    serial: u32,
    unread: Vec<u8>,
}

/// Result of a method call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Return,
    /// Name and text of an error.
    Error(String),
}

impl Bus {
    /// # Errors
    /// Text without the name of the server.
    pub fn open(address: &str, end: &End) -> Result<Self, String> {
        let call = Call::connect(&socket_address(address)?, end, TIMEOUT)?;
        let mut bus = Self {
            call,
            serial: 0,
            unread: Vec::new(),
        };
        bus.authenticate()?;
        let hello = Method {
            destination: DAEMON,
            path: DAEMON_PATH,
            interface: DAEMON,
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
        let message = encode(method, self.serial, NO_AUTO_START, body);
        self.call.write(&message)?;
        loop {
            while let Some((message, after)) = Message::read(&self.unread)
                .map_err(|error| format!("what the bus says cannot be read: {error}"))?
            {
                let reply = reply(&message, self.serial);
                let read = self.unread.len() - after.len();
                self.unread.drain(..read);
                if let Some(reply) = reply {
                    return Ok(reply);
                }
            }
            if !self.call.read(&mut self.unread, 3 * MESSAGE_MAX)? {
                return Err(CLOSED.to_owned());
            }
        }
    }

    fn authenticate(&mut self) -> Result<(), String> {
        let uid = rustix::process::geteuid().as_raw();
        self.call.write(&greeting(uid))?;
        let mut line = Vec::new();
        while welcome(&line)
            .map_err(|why| format!("the bus: {why}"))?
            .is_none()
        {
            if !self.call.read(&mut line, 2 * 4096)? {
                return Err(CLOSED.to_owned());
            }
        }
        self.call.write(BEGIN)
    }
}

/// Parses the answer to this call; None if the message is none.
fn reply(message: &Message<'_>, serial: u32) -> Option<Reply> {
    let is_answer = message.answers == Some(serial);
    match message.kind {
        Kind::Return if is_answer => Some(Reply::Return),
        Kind::Error if is_answer => {
            let name = message.error.unwrap_or_default();
            let text = message.text().map(|text| format!("{name}: {text}"));
            Some(Reply::Error(text.unwrap_or_else(|| name.to_owned())))
        }
        _ => None,
    }
}

/// Returns the address of the first Unix socket in a list: "unix:path=/run/x,guid=...;tcp:...".
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
