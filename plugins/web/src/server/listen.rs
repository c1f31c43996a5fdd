//! Sockets that wait for browsers.

use std::net::SocketAddr;
use std::time::Duration;

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::net::TcpListener;

/// Number of connections that wait for the loop.
const BACKLOG: i32 = 128;
/// Time after which a connection ends whose other end takes nothing.
const UNTAKEN: Duration = Duration::from_secs(20);
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Opens an address. It need not be there yet: a virtual address comes with its role.
///
/// # Errors
/// A sentence about the address.
pub fn open(address: SocketAddr) -> Result<TcpListener, String> {
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
