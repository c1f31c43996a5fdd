//! The control socket: requests of many clients, one at a time from each. No client can make the host wait.
//!
//! Root and the user who runs the host may send all requests. Members of the group `spared` may send the read-only
//! ones; the mode of the socket lets them open it.

mod claim;
mod client;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::Caller;
use spared_message::control::{Answer, ErrorCode, Request, SOCKET_NAME, refusal};
use spared_process::account;
use spared_process::poller::{Key, Poller};

pub use claim::Claim;
use client::{Client, Line};

const CLIENTS_MAX: usize = 32;

/// The listening socket and its clients.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the path when the socket was created.
    place: Option<[u64; 2]>,
    /// True if the path no longer belongs to the listener and cannot be created again. Logged once.
    is_lost: bool,
    clients: BTreeMap<u64, Client>,
    serial: u64,
    /// Spare descriptor, used to accept and refuse clients when no other descriptor is left. Otherwise they would keep
    /// the listener readable, and the loop busy.
    reserve_fd: Option<File>,
}

/// A request to be answered by [`Server::answer`] under the same client number.
#[derive(Debug, PartialEq)]
pub struct Asked {
    pub client: u64,
    pub caller: Caller,
    pub request: Request,
}

impl Server {
    /// Listens in the runtime folder, which a [`Claim`] must hold.
    ///
    /// # Errors
    /// A sentence about what the system refused.
    pub fn open(runtime_dir: &Path) -> Result<Self, String> {
        let path = runtime_dir.join(SOCKET_NAME);
        let listener = listen(runtime_dir, &path)
            .map_err(|error| format!("{}: {error}", runtime_dir.display()))?;
        Ok(Self {
            listener,
            place: place(&path),
            is_lost: false,
            path,
            clients: BTreeMap::new(),
            serial: 0,
            reserve_fd: reserve_fd(),
        })
    }

    pub fn watch(&self, poller: &Poller) -> io::Result<()> {
        poller.watch(&self.listener, Key::Listener)
    }

    /// Accepts clients, a limited number in one turn, so that endless connections delay nobody else.
    pub fn handle_listener(&mut self, poller: &Poller, now: Instant) {
        for _ in 0..CLIENTS_MAX {
            let Some(stream) = self.accept(now) else {
                return;
            };
            if let Some(client) = Client::new(stream, now) {
                self.admit(poller, now, client);
            }
        }
    }

    // Adds a client. At `CLIENTS_MAX` another client is dropped; if none may be, the new one is.
    fn admit(&mut self, poller: &Poller, now: Instant, client: Client) {
        if self.clients.len() >= CLIENTS_MAX {
            let other = self.client_to_evict(&client.caller);
            let other = other.and_then(|number| self.clients.remove(&number));
            let why = format!(
                "{CLIENTS_MAX} programs use the control socket, which is the most: \
                 try again when one has ended"
            );
            let why = refusal(ErrorCode::Refused, why);
            match other {
                Some(other) => other.close_with(now, &why),
                None => return client.close_with(now, &why),
            }
        }
        self.serial += 1;
        let key = Key::Client(self.serial);
        if poller.watch(client.stream(), key).is_ok() {
            self.clients.insert(self.serial, client);
        }
    }

    // Client that is dropped for a new one. Nobody loses a place to a user with fewer rights. To root, users who may
    // only read lose their place even if they are busy; otherwise they could keep root out.
    fn client_to_evict(&self, new: &Caller) -> Option<u64> {
        let is_dispensable = |client: &Client| match (new.may_change(), client.caller.may_change())
        {
            (true, false) => true,
            (false, true) => false,
            _ => client.is_idle(),
        };
        let clients = self.clients.iter();
        let clients = clients.filter(|(_, client)| is_dispensable(client));
        let first = clients.min_by_key(|(_, client)| {
            let rank = (client.caller.may_change(), !client.is_idle());
            (rank, client.seen_at)
        });
        first.map(|(number, _)| *number)
    }

    /// Handles a client that wrote, can be written to, has a waiting request, or is gone. It takes one line at a time,
    /// so that other clients have their turn before the next line.
    pub fn handle_client(&mut self, poller: &Poller, now: Instant, number: u64) -> Option<Asked> {
        let client = self.clients.get_mut(&number)?;
        if client.read(now).is_err() || client.write(now).is_err() {
            self.clients.remove(&number);
            return None;
        }
        let asked = self.next_request(now, number);
        self.rewatch(poller, number);
        asked
    }

    /// Returns true if an order may be carried out; called directly before that. False if its client is gone or has
    /// given up: the order must not be carried out, because the client may have reported that nothing was done.
    pub fn begin(&mut self, now: Instant, number: u64) -> bool {
        let is_there = |client: &mut Client| client.write_begun(now);
        let begun = self.clients.get_mut(&number).is_some_and(is_there);
        if !begun {
            self.clients.remove(&number);
        }
        begun
    }

    /// Sends an answer.
    pub fn answer(&mut self, poller: &Poller, now: Instant, number: u64, answer: &Answer) {
        self.send(now, number, answer);
        self.rewatch(poller, number);
    }

    /// Drops clients that do not read their answers.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.clients.retain(|_, client| !client.is_stuck(now));
    }

    /// Listens again if somebody removed the socket or put something else in its place: otherwise nobody could give an
    /// order.
    pub fn restore_socket(&mut self, poller: &Poller) {
        let there = place(&self.path);
        if there.is_some() && there == self.place {
            return;
        }
        match self.listen_again(poller) {
            Ok(()) => {
                self.is_lost = false;
                log::warn!(
                    "control socket: {} was removed and has been created again",
                    self.path.display()
                );
            }
            Err(error) if !self.is_lost => {
                self.is_lost = true;
                log::warn!(
                    "control socket: {} was removed and cannot be created again: {error}",
                    self.path.display()
                );
            }
            Err(_) => {}
        }
    }

    fn listen_again(&mut self, poller: &Poller) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let listener = listen(folder, &self.path)?;
        poller.watch(&listener, Key::Listener)?;
        self.place = place(&self.path);
        // this closes the old listener, and the poller forgets it
        self.listener = listener;
        Ok(())
    }

    /// Removes the socket. The folder stays: it may be systemd's.
    pub fn close(self) {
        let _ = std::fs::remove_file(&self.path);
    }

    /// Accepts the next connection. Without a free descriptor all waiting connections are refused.
    fn accept(&mut self, now: Instant) -> Option<UnixStream> {
        let error = match self.listener.accept() {
            Ok((stream, _)) => return Some(stream),
            Err(error) => error,
        };
        let full = [libc::EMFILE, libc::ENFILE].map(Some);
        if full.contains(&error.raw_os_error()) && self.reserve_fd.take().is_some() {
            log::warn!("control socket: cannot accept sparectl: {error}");
            let why = format!("spared cannot accept the connection: {error}");
            let why = refusal(ErrorCode::Failed, why);
            let waiting = (0..CLIENTS_MAX).map_while(|_| self.listener.accept().ok());
            for client in waiting.filter_map(|(stream, _)| Client::new(stream, now)) {
                client.close_with(now, &why);
            }
            self.reserve_fd = reserve_fd();
        }
        None
    }

    fn next_request(&mut self, now: Instant, number: u64) -> Option<Asked> {
        let client = self.clients.get_mut(&number)?;
        let refusal = match client.next_line() {
            Line::None => return None,
            Line::TooLong => {
                self.clients.remove(&number);
                return None;
            }
            Line::Request(request) => {
                let caller = client.caller.clone();
                if caller.may(&request) {
                    return Some(Asked {
                        client: number,
                        caller,
                        request,
                    });
                }
                let why = format!("only root may do this; you are user {}", caller.uid);
                refusal(ErrorCode::Permission, why)
            }
            Line::Wrong(why) => refusal(ErrorCode::Usage, why),
        };
        self.send(now, number, &refusal);
        None
    }

    fn send(&mut self, now: Instant, number: u64, answer: &Answer) {
        let Some(client) = self.clients.get_mut(&number) else {
            return;
        };
        if client.answer(now, answer).is_err() {
            self.clients.remove(&number);
        }
    }

    // Watches a client for the events that it needs. A client whose next line waits is woken like one that can be
    // written to.
    fn rewatch(&mut self, poller: &Poller, number: u64) {
        let Some(client) = self.clients.get(&number) else {
            return;
        };
        if client.is_done() {
            self.clients.remove(&number);
            return;
        }
        let writes = client.has_output() || client.has_line();
        let _ = poller.rewatch(client.stream(), Key::Client(number), client.reads(), writes);
    }
}

fn listen(folder: &Path, path: &Path) -> io::Result<UnixListener> {
    std::fs::set_permissions(folder, Permissions::from_mode(0o750))?;
    // A host that was killed leaves its socket behind.
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o660))?;
    if let Some(gid) = account::group("spared") {
        // Without the right to do this, only the user who runs the host can open the socket.
        let _ = chown(folder, None, Some(gid));
        let _ = chown(path, None, Some(gid));
    }
    Ok(listener)
}

fn place(path: &Path) -> Option<[u64; 2]> {
    let found = path.symlink_metadata().ok()?;
    Some([found.dev(), found.ino()])
}

fn reserve_fd() -> Option<File> {
    File::open("/dev/null").ok()
}
