//! The process of the starter: answers the requests of one host, until the host is gone.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::ExitCode;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{SocketAddrUnix, SocketFlags, accept_with, getsockname, sockopt};
use rustix::process::Signal;
use spared_message::starter::{Answer, Answered, Asked, Request};
use spared_process::child::{self, SOCKET_FD};
use spared_process::service::Service;
use spared_process::starter::{ProcessStarter, Started};
use spared_records::{ReceiveError, Receiver, SendError};

use super::{Files, Launcher};

/// Exit code if neither the host nor systemd started this process: sysexits' EX_USAGE.
const EXIT_USAGE: u8 = 64;
/// Exit code if the host sends invalid messages or the kernel refuses what is needed: sysexits' EX_SOFTWARE.
const EXIT_BROKEN: u8 = 70;

/// Serves one host. Descriptor 3 is the socket to the host or, from systemd, the socket that the host connects to.
pub fn run(files: Files) -> ExitCode {
    let Some(socket) = child::inherited_socket() else {
        eprintln!(
            "spared starter is started by spared run or by spared-starter.socket, not by hand"
        );
        return ExitCode::from(EXIT_USAGE);
    };
    child::close_from(SOCKET_FD + 1);
    let _ = rustix::thread::set_name(c"spared-starter");
    let service = Service::from_environment();
    let mut launcher = Launcher::new(files);
    let served = host(socket).and_then(|host| serve(&host, &mut launcher, &service));
    launcher.end();
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("spared starter: {why}");
            ExitCode::from(EXIT_BROKEN)
        }
    }
}

/// Returns the socket to the host. If `socket` is a listening one, waits until the host connects.
fn host(socket: OwnedFd) -> Result<OwnedFd, String> {
    if !sockopt::socket_acceptconn(&socket).unwrap_or(false) {
        let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
        return Ok(socket);
    }
    let say = |errno: Errno| format!("cannot be connected to: {errno}");
    let owner = owner(&socket).ok_or("its socket has no file")?;
    loop {
        let host = accept_with(&socket, SocketFlags::CLOEXEC).map_err(say)?;
        let uid = sockopt::socket_peercred(&host).map_err(say)?.uid.as_raw();
        if uid != 0 && uid != owner {
            eprintln!("spared starter: user {uid} is refused: its socket belongs to user {owner}");
        } else if !is_gone(&host) {
            return Ok(host);
        }
    }
}

/// User id of the owner of a socket's file.
fn owner(socket: &OwnedFd) -> Option<u32> {
    let address = SocketAddrUnix::try_from(getsockname(socket).ok()?).ok()?;
    let path = PathBuf::from(address.path()?.to_str().ok()?);
    Some(fs::metadata(path).ok()?.uid())
}

/// Returns true if a host has waited for too long and is gone.
fn is_gone(host: &OwnedFd) -> bool {
    let mut found = [PollFd::new(host, PollFlags::RDHUP)];
    let at_once = Timespec::default();
    matches!(poll(&mut found, Some(&at_once)), Ok(1..))
}

fn serve(host: &OwnedFd, launcher: &mut Launcher, service: &Service) -> Result<(), String> {
    let mut receiver = Receiver::default();
    loop {
        let request = match receiver.receive::<Request>(host) {
            Ok(Some((request, _))) => request,
            Ok(None) => {
                service.alive();
                wait(host, service)?;
                continue;
            }
            Err(ReceiveError::Closed) => return Ok(()),
            Err(error) => return Err(format!("the daemon {}", error.predicate())),
        };
        let (number, (what, started)) = (request.number, handle(launcher, request));
        let descriptors: Vec<_> = started.iter().flat_map(descriptors).collect();
        match spared_records::send(host.as_fd(), &Answer { number, what }, &descriptors) {
            Ok(()) => {}
            Err(SendError::Closed) => return Ok(()),
            Err(error) => return Err(error.to_string()),
        }
    }
}

fn descriptors(started: &Started) -> impl Iterator<Item = BorrowedFd<'_>> {
    let errors = started.errors.iter().map(AsFd::as_fd);
    std::iter::once(started.socket.as_fd()).chain(errors)
}

fn handle(launcher: &mut Launcher, request: Request) -> (Answered, Option<Started>) {
    const OWN: &str = env!("CARGO_PKG_VERSION");
    let answered = match request.what {
        Asked::Configure { version, .. } if version != OWN => Answered::Outdated {
            own: OWN.to_owned(),
        },
        Asked::Configure { digest, .. } => {
            let fault = launcher.configure(&digest).err();
            keep_pace(launcher);
            let about = launcher.about();
            Answered::Configured { about, fault }
        }
        Asked::KeepFiles { digest, term_s } => Answered::Files {
            fault: launcher.keep_files_of(&digest, term_s).err(),
        },
        Asked::EndTerm => Answered::Files {
            fault: launcher.end_term().err(),
        },
        Asked::ForgetFiles => Answered::Files {
            fault: launcher.forget_files().err(),
        },
        Asked::Start(start) => match launcher.start_as(request.number, &start) {
            Ok(started) => return (Answered::Started { pid: started.pid }, Some(started)),
            Err(why) => Answered::NotStarted(why),
        },
        Asked::Kill(process) => {
            launcher.kill(process);
            Answered::Killed
        }
        Asked::KillAndReap(process) => {
            launcher.kill_and_reap(process);
            Answered::Killed
        }
        Asked::Reap(process) => Answered::Reaped(launcher.reap(process)),
        Asked::Ping => Answered::Pong,
    };
    (answered, None)
}

// Sets a real-time priority, because the host waits for each answer. Started processes have ordinary priority unless
// they set their own.
fn keep_pace(launcher: &Launcher) {
    if launcher.is_realtime() {
        // If it is not permitted, the host reports that.
        let _ = spared_process::worker::real_time_for_host();
    }
}

fn wait(socket: &OwnedFd, service: &Service) -> Result<(), String> {
    let most = service
        .watchdog()
        .and_then(|it| Timespec::try_from(it).ok());
    match poll(&mut [PollFd::new(socket, PollFlags::IN)], most.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(format!("cannot wait: {errno}")),
    }
}
