//! `spared worker` as a whole: confines itself, loads the plugin, confines itself more, and runs the plugin.

use std::os::fd::{AsFd, FromRawFd, IntoRawFd, OwnedFd};
use std::process::ExitCode;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use signal_hook::consts::SIGTERM;
use spared_contract::{Descriptor, FromPlugin, LogLevel};
use spared_message::load::Load;
use spared_process::child;
use spared_records::Receiver;

use crate::confine;
use crate::driver::{Driver, End, Outbound};
use crate::loader;
use crate::process::PLUGIN_FD;

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
    let mut receiver = Receiver::default();
    let Some(load) = receive_load(&socket, &mut receiver) else {
        return ExitCode::from(EXIT_USAGE);
    };
    match serve(socket, receiver, &load) {
        Ok(End::Stopped) => ExitCode::SUCCESS,
        // No destructors of the plugin's library run: they rely on what may be broken.
        // SAFETY: ends the process.
        Ok(End::Broken) => unsafe { libc::_exit(EXIT_BROKEN.into()) },
        Err(why) => {
            eprintln!("spared worker {}: {why}", load.name);
            ExitCode::from(EXIT_BROKEN)
        }
    }
}

fn serve(socket: OwnedFd, receiver: Receiver, load: &Load) -> Result<End, String> {
    let missed = confine::before_load(load);
    // The change of uid in before_load clears this setting.
    die_with_the_host();
    // SAFETY: the host placed it there, and nothing else owns it.
    let file = unsafe { OwnedFd::from_raw_fd(PLUGIN_FD) };
    match crate::describe(&load.name, file.as_fd()) {
        Ok(None) => serve_table(socket, receiver, load, file, missed),
        Ok(Some(descriptor)) => serve_main(socket, load, file, &descriptor, missed),
        Err(why) => {
            say(&socket, &FromPlugin::Loaded(Err(why)));
            Ok(End::Stopped)
        }
    }
}

/// Runs a plugin that has a loop of its own.
fn serve_main(
    socket: OwnedFd,
    load: &Load,
    file: OwnedFd,
    descriptor: &Descriptor,
    mut missed: Vec<String>,
) -> Result<End, String> {
    let permitted = load
        .asks
        .as_ref()
        .map_or(Ok(()), |it| it.permit(descriptor));
    let loaded = permitted.and_then(|()| loader::load_main(&load.name, file.as_fd()));
    drop(file);
    let main = match loaded {
        Ok(main) => main,
        Err(why) => {
            say(&socket, &FromPlugin::Loaded(Err(why)));
            return Ok(End::Stopped);
        }
    };
    confine::after_load(load, &mut missed);
    say(&socket, &FromPlugin::Loaded(Ok(descriptor.clone())));
    if let Some(text) = lacks(load, &missed) {
        let level = LogLevel::Warn;
        say(&socket, &FromPlugin::Log { level, text });
    }
    // SAFETY: the contract: it is called once, and takes the socket.
    match unsafe { main(socket.into_raw_fd()) } {
        0 => Ok(End::Stopped),
        _ => Ok(End::Broken),
    }
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

/// Runs a plugin that is called by its table of functions.
fn serve_table(
    socket: OwnedFd,
    receiver: Receiver,
    load: &Load,
    file: OwnedFd,
    mut missed: Vec<String>,
) -> Result<End, String> {
    let kernel = |errno: rustix::io::Errno| format!("cannot set up: {errno}");
    let outbound = Outbound::new(socket).map_err(kernel)?;
    let loaded = loader::load(&load.name, file.as_fd());
    drop(file);
    let plugin = match loaded {
        Ok(plugin) => plugin,
        Err(why) => {
            outbound.send(&FromPlugin::Loaded(Err(why)));
            return Ok(End::Stopped);
        }
    };
    let asks = load.asks.as_ref();
    if let Some(Err(why)) = asks.map(|it| it.permit(&plugin.descriptor)) {
        outbound.send(&FromPlugin::Loaded(Err(why)));
        return Ok(End::Stopped);
    }
    confine::after_load(load, &mut missed);
    outbound.send(&FromPlugin::Loaded(Ok(plugin.descriptor.clone())));
    if let Some(text) = lacks(load, &missed) {
        outbound.log(LogLevel::Warn, &text);
    }
    let driver = Driver::new(outbound, receiver, plugin, load).map_err(kernel)?;
    Ok(driver.run())
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
pub fn limit_remaining_time() {
    // SAFETY: always is.
    unsafe { libc::alarm(RESIGN_S) };
}

fn receive_load(socket: &OwnedFd, receiver: &mut Receiver) -> Option<Load> {
    let timeout = Timespec::try_from(LOAD_TIMEOUT).ok()?;
    let socket = socket.as_fd();
    poll(&mut [PollFd::new(&socket, PollFlags::IN)], Some(&timeout)).ok()?;
    match receiver.receive(socket) {
        Ok(Some((load, _))) => Some(load),
        _ => None,
    }
}
