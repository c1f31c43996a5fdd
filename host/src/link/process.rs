//! One process of the link.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::Stdio;

use spared_abi::{LOG_DEBUG, LOG_ERROR, LOG_INFO, LOG_WARN};
use spared_config as config;
use spared_link::message::{FromLink, PathSetup, Setup, ToLink};
use spared_link::word::Introduction;
use spared_process::account::Account;
use spared_process::child::SOCKET_FD;
use spared_process::codec::{self, Receiver};
use spared_process::{Child, Pings};
use zeroize::Zeroizing;

#[derive(Debug)]
pub(super) struct Process {
    pub(super) serial: u64,
    child: Child,
    socket: OwnedFd,
    receiver: Receiver,
    pub(super) pings: Pings,
}

impl Process {
    pub(super) fn spawn(exe: &Path, account: Option<Account>, serial: u64) -> io::Result<Self> {
        let (socket, theirs) = codec::pair()?;
        let child = Child::spawn(
            exe,
            &["link"],
            account,
            Stdio::inherit(),
            [(theirs.as_fd(), SOCKET_FD)],
        )?;
        Ok(Self {
            serial,
            child,
            socket,
            receiver: Receiver::default(),
            pings: Pings::default(),
        })
    }

    /// Tells it all that it must know; no copy of a secret is left behind.
    pub(super) fn configure(
        &self,
        setup: &config::Link,
        introduction: &Introduction,
    ) -> Result<(), String> {
        let paths = setup.paths.iter().map(|path| PathSetup {
            interface: path.interface.clone(),
            own: path.own,
            peer: path.peer,
        });
        let message = Setup {
            node: introduction.node.clone(),
            peer: setup.peer.clone(),
            port: setup.port,
            keys: setup.keys.reveal(),
            paths: paths.collect(),
            introduction: introduction.clone(),
        };
        let message = ToLink::Configure(Box::new(message));
        let record = codec::encode(&message).map(Zeroizing::new);
        if let ToLink::Configure(mut setup) = message {
            setup.keys.wipe();
        }
        let record = record.map_err(|error| error.to_string())?;
        codec::transmit(self.socket.as_fd(), &record, &[]).map_err(unreachable)
    }

    pub(super) fn send(
        &self,
        message: &ToLink,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), String> {
        codec::send(self.socket.as_fd(), message, descriptors).map_err(unreachable)
    }

    /// Descriptors from it are closed.
    pub(super) fn receive(&mut self) -> Result<Option<FromLink>, String> {
        let received = self.receiver.receive(&self.socket);
        received
            .map(|received| received.map(|(message, _descriptors)| message))
            .map_err(|error| error.of_it())
    }

    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    pub(super) fn pidfd(&self) -> BorrowedFd<'_> {
        self.child.pidfd()
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.pid()
    }

    pub(super) fn into_child(self) -> Child {
        self.child
    }

    pub(super) fn exit_reason(&mut self) -> Option<String> {
        self.child.exit_reason()
    }
}

fn unreachable(error: codec::SendError) -> String {
    format!("cannot be reached: {error}")
}

/// The texts may hold what the network said.
pub(super) fn log(level: u32, text: &str) {
    let text = printable(text);
    match level {
        LOG_ERROR => log::error!("link: {text}"),
        LOG_WARN => log::warn!("link: {text}"),
        LOG_INFO => log::info!("link: {text}"),
        LOG_DEBUG => log::debug!("link: {text}"),
        _ => log::trace!("link: {text}"),
    }
}

/// Without what draws on terminals or makes one line of log look like two.
pub(super) fn printable(text: &str) -> String {
    text.trim_end().replace(char::is_control, " ")
}
