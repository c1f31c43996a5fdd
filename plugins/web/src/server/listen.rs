//! Sockets that wait for browsers: of the network, and Unix sockets for proxies of this node.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net;
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::config::{Place, is_local};

/// Number of connections that wait for the loop.
const BACKLOG: i32 = 128;
/// Time after which a connection ends whose other end takes nothing.
const UNTAKEN: Duration = Duration::from_secs(20);
const KEEPALIVE: Duration = Duration::from_secs(30);
/// Mode of a Unix socket: its group, that of the plugin's account, may connect.
const SOCKET_MODE: u32 = 0o660;
/// Mode of the plugin's folder with a Unix socket: others may go through it, and list nothing.
const FOLDER_MODE: u32 = 0o711;

/// Socket that waits for browsers.
#[derive(Debug)]
pub enum Listener {
    Network(TcpListener),
    Socket(UnixListener),
}

/// Connection of a browser, or of a proxy.
#[derive(Debug)]
pub enum Stream {
    Network(TcpStream),
    Socket(UnixStream),
}

impl Listener {
    /// Next connection, with the address of its other end.
    pub async fn accept(&self) -> std::io::Result<(Stream, IpAddr)> {
        match self {
            Self::Network(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Stream::Network(stream), peer.ip()))
            }
            Self::Socket(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Stream::Socket(stream), Ipv4Addr::LOCALHOST.into()))
            }
        }
    }
}

impl Stream {
    /// True if this end is no address that others reach.
    pub fn is_to_this_node(&self) -> bool {
        match self {
            Self::Network(stream) => stream.local_addr().is_ok_and(|it| is_local(it.ip())),
            Self::Socket(_) => true,
        }
    }
}

/// Opens a place. An address need not be there yet: a virtual address comes with its role. `folder` is the plugin's own.
///
/// # Errors
/// A sentence about the place.
pub fn open(place: &Place, folder: Option<&Path>) -> Result<Listener, String> {
    match place {
        Place::Network(address) => open_address(*address).map(Listener::Network),
        Place::Socket(name) => {
            let folder = folder.ok_or("there is no folder for the socket")?;
            open_socket(folder, &folder.join(name)).map(Listener::Socket)
        }
    }
}

fn open_address(address: SocketAddr) -> Result<TcpListener, String> {
    opened(address).map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::ADDRINUSE) => {
            let port = address.port();
            format!("another program listens there: `ss -ltnp sport = {port}` says which")
        }
        _ => format!("cannot listen there: {error}"),
    })
}

fn opened(address: SocketAddr) -> std::io::Result<TcpListener> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if domain == Domain::IPV6 {
        socket.set_only_v6(true)?;
        socket.set_freebind_v6(true)?;
    } else {
        socket.set_freebind_v4(true)?;
    }
    // connections inherit these
    socket.set_tcp_user_timeout(Some(UNTAKEN))?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn open_socket(folder: &Path, path: &Path) -> Result<UnixListener, String> {
    let shown = path.display();
    remove_stale(path)?;
    let fault = |error: std::io::Error| format!("cannot listen at {shown}: {error}");
    let listener = net::UnixListener::bind(path).map_err(fault)?;
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    mode(path, SOCKET_MODE).map_err(fault)?;
    mode(folder, FOLDER_MODE).map_err(fault)?;
    listener.set_nonblocking(true).map_err(fault)?;
    UnixListener::from_std(listener).map_err(fault)
}

/// Removes the socket that an earlier run has left.
fn remove_stale(path: &Path) -> Result<(), String> {
    let shown = path.display();
    let Ok(about) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !about.file_type().is_socket() {
        return Err(format!(
            "{shown} is there and is no socket: move it away with `mv`, or choose another name"
        ));
    }
    if net::UnixStream::connect(path).is_ok() {
        return Err(format!(
            "another program listens at {shown}: `ss -lxp src {shown}` says which"
        ));
    }
    fs::remove_file(path).map_err(|error| format!("cannot remove the old socket {shown}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_socket_is_replaced_and_nothing_else() {
        let folder = std::env::temp_dir().join(format!("spared-web-socket-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("page.sock");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let _entered = runtime.enter();
        let open = || open_socket(&folder, &path);
        let listener = open().unwrap();
        assert_eq!((mode(&path), mode(&folder)), (SOCKET_MODE, FOLDER_MODE));
        let why = open().unwrap_err();
        assert!(why.starts_with("another program listens at "), "{why}");
        drop(listener);
        drop(open().unwrap());
        fs::remove_file(&path).unwrap();
        fs::write(&path, "mine").unwrap();
        let why = open().unwrap_err();
        assert!(why.contains("page.sock is there and is no socket"), "{why}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        fs::remove_dir_all(&folder).unwrap();
    }
}
