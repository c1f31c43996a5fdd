//! A plugin of a later version: it sends what no daemon knows yet, and says what was answered. It does without the
//! SDK's loop, as a plugin in another language would.

use std::ffi::c_int;
use std::io::Error;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use spared_contract::{FromPlugin, LogLevel, ToPlugin};
use spared_records::{Receiver, send, transmit};
use spared_sdk::run::{Note, Writer};

/// `{0: 0x300, 1: {0: "news"}}`: a message.
const MESSAGE: &[u8] = b"\xa2\x00\x19\x03\x00\x01\xa1\x00\x64news";
/// `{0: 0x1ff, 1: {0: 7, 1: "office"}}`: a call with the number 7.
const CALL: &[u8] = b"\xa2\x00\x19\x01\xff\x01\xa2\x00\x07\x01\x66office";
/// `{0: 0x80000300, 1: {}}`: a message that must be understood.
const DEMAND: &[u8] = b"\xa2\x00\x1a\x80\x00\x03\x00\x01\xa0";

const DESCRIPTOR: Writer =
    Writer::new("newer", "2.0", "is newer than its daemon").line("vendor", "tests");

#[unsafe(no_mangle)]
#[unsafe(link_section = ".note.spared")]
#[allow(non_upper_case_globals)]
pub static spared_plugin_note: Note<{ DESCRIPTOR.length() }> = DESCRIPTOR.note();

#[unsafe(no_mangle)]
pub extern "C" fn spared_plugin_main(socket: c_int) -> c_int {
    // SAFETY: the contract: the socket is this function's own.
    let socket = unsafe { spared_sdk::run::socket(socket) };
    match serve(&socket) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error}");
            1
        }
    }
}

/// Serves the daemon until it ends the plugin.
fn serve(socket: &OwnedFd) -> Result<(), Error> {
    let mut receiver = Receiver::default();
    let mut demands = false;
    loop {
        poll(&mut [PollFd::new(socket, PollFlags::IN)], None)?;
        let received = receiver.receive(socket).map_err(Error::other)?;
        let Some((message, _)) = received else {
            continue;
        };
        match message {
            ToPlugin::Configure { token, table, .. } => {
                demands = table.0.contains_key("demands");
                returned(socket, token)?;
            }
            ToPlugin::Start { token } => {
                returned(socket, token)?;
                let first = if demands { DEMAND } else { MESSAGE };
                for record in [first, CALL] {
                    transmit(socket.as_fd(), record, &[]).map_err(Error::other)?;
                }
            }
            ToPlugin::Answer { number, statuses } => {
                let text = format!("call {number} of a later version: {statuses:?}");
                let level = LogLevel::Info;
                say(socket, &FromPlugin::Log { level, text })?;
            }
            ToPlugin::Ping { number } => {
                let slow_calls = 0;
                say(socket, &FromPlugin::Pong { number, slow_calls })?;
            }
            ToPlugin::Stop { token } => return returned(socket, token),
            _ => {}
        }
    }
}

fn returned(socket: &OwnedFd, token: u64) -> Result<(), Error> {
    say(
        socket,
        &FromPlugin::Returned {
            token,
            status: 0,
            failures: Vec::new(),
            rows: Vec::new(),
            missing: false,
        },
    )
}

fn say(socket: &OwnedFd, message: &FromPlugin) -> Result<(), Error> {
    send(socket.as_fd(), message, &[]).map_err(Error::other)
}
