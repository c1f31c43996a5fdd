//! The process: answers one host after the other's request, until the host is gone.

use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with, sockopt};
use rustix::process::Signal;
use spared_message::starter::{Answer, Answered, Asked, Request};
use spared_process::child::{self, SOCKET_FD};
use spared_process::codec::{self, ReceiveError, Receiver};
use spared_process::starter::{Started, Starts};

use crate::{Files, Launcher};

/// Not started by the host or by systemd: sysexits' EX_USAGE.
const EXIT_USAGE: u8 = 64;
/// What the host says makes no sense, or the kernel refuses what is needed: sysexits' EX_SOFTWARE.
const EXIT_BROKEN: u8 = 70;

/// Serves one host. Descriptor 3 is the socket to it, or the one that it connects to, from systemd.
pub fn run(files: Files) -> ExitCode {
    let Some(socket) = child::inherited_socket() else {
        eprintln!(
            "spared starter is started by spared run or by spared-starter.socket, not by hand"
        );
        return ExitCode::from(EXIT_USAGE);
    };
    child::close_from(SOCKET_FD + 1);
    let _ = rustix::thread::set_name(c"spared-starter");
    let served = host(socket).and_then(|host| serve(&host, Launcher::new(files)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("spared starter: {why}");
            ExitCode::from(EXIT_BROKEN)
        }
    }
}

/// The host that connects, if the socket is one to connect to.
fn host(socket: OwnedFd) -> Result<OwnedFd, String> {
    if !sockopt::socket_acceptconn(&socket).unwrap_or(false) {
        let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
        return Ok(socket);
    }
    // Owner and mode of its file decide who may.
    accept_with(&socket, SocketFlags::CLOEXEC).map_err(|errno| errno.to_string())
}

fn serve(host: &OwnedFd, mut launcher: Launcher) -> Result<(), String> {
    let mut receiver = Receiver::default();
    loop {
        wait(host)?;
        let (request, descriptors) = match receiver.receive::<Request>(host) {
            Ok(Some(received)) => received,
            Ok(None) => continue,
            Err(ReceiveError::Closed) => {
                launcher.end();
                return Ok(());
            }
            Err(error) => return Err(format!("the host {}", error.of_it())),
        };
        let (what, started) = handle(&mut launcher, request.what, descriptors);
        let answer = Answer {
            number: request.number,
            what,
        };
        let parts = started.iter().flat_map(|it| {
            let errors = it.errors.iter().map(AsFd::as_fd);
            [it.socket.as_fd()].into_iter().chain(errors)
        });
        let parts: Vec<_> = parts.collect();
        match codec::send(host.as_fd(), &answer, &parts) {
            Ok(()) => {}
            Err(codec::SendError::Closed) => return Ok(()),
            Err(error) => return Err(error.to_string()),
        }
    }
}

fn handle(
    launcher: &mut Launcher,
    asked: Asked,
    descriptors: Vec<OwnedFd>,
) -> (Answered, Option<Started>) {
    let answered = match asked {
        Asked::Configure { version } => {
            launcher.set_errors(descriptors.into_iter().next());
            launcher.set_host_version(&version);
            let fault = launcher.configure().err();
            keep_pace(launcher);
            let groups = launcher.groups();
            Answered::Configured { groups, fault }
        }
        Asked::Start(start) => match launcher.start(&start) {
            Ok(started) => return (Answered::Started { pid: started.pid }, Some(started)),
            Err(why) => Answered::NotStarted(why),
        },
        Asked::Kill { pid } => {
            launcher.kill(pid);
            Answered::Killed
        }
        Asked::Reap { pid } => Answered::Reaped(launcher.reap(pid)),
    };
    (answered, None)
}

// The host waits for each answer. What is started has ordinary priority, unless it sets its own.
fn keep_pace(launcher: &Launcher) {
    if launcher.is_realtime() {
        // Where it is not permitted, the host says so.
        let _ = spared_worker::real_time_for_host();
    }
}

fn wait(socket: &OwnedFd) -> Result<(), String> {
    match poll(&mut [PollFd::new(socket, PollFlags::IN)], None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(format!("cannot wait: {errno}")),
    }
}
