//! `spared worker` as a whole: confines itself, loads the plugin, confines itself more, and runs the plugin.

use std::ffi::c_int;
use std::os::fd::{AsFd, FromRawFd, IntoRawFd, OwnedFd};
use std::process::ExitCode;
use std::time::Duration;

use crate::child;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use signal_hook::consts::SIGTERM;
use spared_contract::{Descriptor, FromPlugin, LogLevel};
use spared_message::load::Load;
use spared_records::Receiver;

use crate::worker::confine;
use crate::worker::loader::{self, Main};
use crate::worker::process::PLUGIN_FD;

/// Maximum wait for the starter's first message.
const LOAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum time in seconds for a plugin to resign once the host is gone.
const RESIGN_S: u32 = 2;

/// Exit code if the plugin is broken or refused: sysexits' EX_SOFTWARE.
const EXIT_BROKEN: u8 = 70;
/// Exit code if the starter did not start this process: sysexits' EX_USAGE.
const EXIT_USAGE: u8 = 64;

/// Runs one plugin: the socket is descriptor 3, the plugin's file descriptor 4.
pub fn run() -> ExitCode {
    let Some(socket) = child::inherited_socket() else {
        eprintln!("spared worker is started by spared starter, not by hand");
        return ExitCode::from(EXIT_USAGE);
    };
    die_with_the_host();
    child::close_from(PLUGIN_FD + 1);
    let Some(load) = receive_load(&socket) else {
        return ExitCode::from(EXIT_USAGE);
    };
    match serve(socket, &load) {
        0 => ExitCode::SUCCESS,
        // No destructors of the plugin's library run: they rely on what may be broken.
        // SAFETY: ends the process.
        _ => unsafe { libc::_exit(EXIT_BROKEN.into()) },
    }
}

fn serve(socket: OwnedFd, load: &Load) -> c_int {
    let mut missed = confine::before_load(load);
    // The change of uid in before_load clears this setting.
    die_with_the_host();
    // SAFETY: the host placed it there, and nothing else owns it.
    let file = unsafe { OwnedFd::from_raw_fd(PLUGIN_FD) };
    let (descriptor, main) = match open(load, &file) {
        Ok(opened) => opened,
        Err(why) => {
            say(&socket, &FromPlugin::Loaded(Err(why)));
            return 0;
        }
    };
    drop(file);
    confine::after_load(load, &mut missed);
    say(&socket, &FromPlugin::Loaded(Ok(descriptor)));
    if let Some(text) = lacks(load, &missed.0) {
        let level = LogLevel::Warn;
        say(&socket, &FromPlugin::Log { level, text });
    }
    // SAFETY: the contract: it is called once, and takes the socket.
    unsafe { main(socket.into_raw_fd()) }
}

/// Opens the plugin in this file.
///
/// # Errors
/// It is none, or asks for other rights than this process was started with.
fn open(load: &Load, file: &OwnedFd) -> Result<(Descriptor, Main), String> {
    let name = &load.name;
    let descriptor = crate::worker::describe(name, file.as_fd())?;
    if let Some(asks) = &load.asks {
        asks.permit(&descriptor)?;
    }
    let main = loader::load(name, file.as_fd())?;
    Ok((descriptor, main))
}

/// Sends the first messages of a socket, which has room for them.
fn say(socket: &OwnedFd, message: &FromPlugin) {
    let _ = spared_records::send(socket.as_fd(), message, &[]);
}

/// Sentence about the steps of confinement, and the rights, that a worker lacks.
fn lacks(load: &Load, missed: &[String]) -> Option<String> {
    let how = if load.root { "runs" } else { "confined" };
    let is_told = !missed.is_empty() && !load.check_only;
    is_told.then(|| format!("{how}, but without: {}", missed.join(", ")))
}

/// Requests SIGTERM for when the starter dies, which ends with the host. The signal must not end the process, because
/// the plugin has to resign first, once the loop finds the socket closed. Its handler only limits the time for that.
fn die_with_the_host() {
    // SAFETY: alarm is async-signal-safe, and all that the handler does.
    let handler = unsafe { signal_hook::low_level::register(SIGTERM, limit_remaining_time) };
    let _ = handler;
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::TERM));
}

/// Ends this process in [`RESIGN_S`] seconds by SIGALRM, whatever it is doing then.
fn limit_remaining_time() {
    // SAFETY: always is.
    unsafe { libc::alarm(RESIGN_S) };
}

fn receive_load(socket: &OwnedFd) -> Option<Load> {
    let timeout = Timespec::try_from(LOAD_TIMEOUT).ok()?;
    let socket = socket.as_fd();
    poll(&mut [PollFd::new(&socket, PollFlags::IN)], Some(&timeout)).ok()?;
    match Receiver::default().receive(socket) {
        Ok(Some((load, _))) => Some(load),
        _ => None,
    }
}
