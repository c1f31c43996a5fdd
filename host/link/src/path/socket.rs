//! Opens the TCP sockets of a path: on its interface only, from its own address, without delay.

use std::fmt::Debug;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::message::PathSetup;
use crate::session::SILENCE_NS;

/// Maximum size of unsent data in TCP, in bytes. More would delay later writes.
const UNSENT_MAX: u32 = 32 << 10;
const BACKLOG: i32 = 8;

/// Source of a path's connections. Tests have one without a kernel.
pub trait Network: Debug {
    type Listener: Debug;
    type Socket: Connection;

    /// # Errors
    /// Errors of the kernel: no such interface, or another process has the port.
    fn listen(&self, setup: &PathSetup, port: u16) -> io::Result<Self::Listener>;

    /// Starts to connect. The socket becomes writable at the end.
    ///
    /// # Errors
    /// Errors of the kernel: no such interface or address, no route.
    fn connect(&self, setup: &PathSetup, port: u16) -> io::Result<Self::Socket>;

    /// Accepts the next connection. If it is not from the peer, returns its source address.
    ///
    /// # Errors
    /// Errors of the kernel; WouldBlock without a connection.
    fn accept(
        &self,
        listener: &Self::Listener,
        setup: &PathSetup,
    ) -> io::Result<Result<Self::Socket, String>>;
}

/// Connection, which never blocks. It is closed when it is dropped.
pub trait Connection: Read + Write + Debug {
    /// Returns the reason why it could not connect, if it could not.
    fn take_error(&self) -> io::Result<Option<io::Error>>;
}

/// TCP of the kernel.
#[derive(Debug)]
pub struct Tcp;

impl Network for Tcp {
    type Listener = Socket;
    type Socket = Socket;

    fn listen(&self, setup: &PathSetup, port: u16) -> io::Result<Socket> {
        let socket = open(setup)?;
        socket.set_reuse_address(true)?;
        // The address may be set later: spared adds it if it is missing.
        match setup.own {
            IpAddr::V4(_) => socket.set_freebind_v4(true)?,
            IpAddr::V6(_) => socket.set_freebind_v6(true)?,
        }
        socket.bind(&address(setup, setup.own, port)?)?;
        socket.listen(BACKLOG)?;
        Ok(socket)
    }

    fn connect(&self, setup: &PathSetup, port: u16) -> io::Result<Socket> {
        let socket = open(setup)?;
        socket.bind(&address(setup, setup.own, 0)?)?;
        prepare(&socket)?;
        match socket.connect(&address(setup, setup.peer, port)?) {
            Err(error)
                if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) =>
            {
                Err(error)
            }
            _ => Ok(socket),
        }
    }

    fn accept(&self, listener: &Socket, setup: &PathSetup) -> io::Result<Result<Socket, String>> {
        let (socket, from) = listener.accept()?;
        let from = from.as_socket().map(|address| address.ip());
        if from != Some(setup.peer) {
            let from = from.map_or_else(|| "nowhere".to_owned(), |from| from.to_string());
            return Ok(Err(from));
        }
        socket.set_nonblocking(true)?;
        prepare(&socket)?;
        Ok(Ok(socket))
    }
}

impl Connection for Socket {
    fn take_error(&self) -> io::Result<Option<io::Error>> {
        Socket::take_error(self)
    }
}

fn open(setup: &PathSetup) -> io::Result<Socket> {
    let domain = match setup.own {
        IpAddr::V4(_) => Domain::IPV4,
        IpAddr::V6(_) => Domain::IPV6,
    };
    let socket = Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.bind_device(Some(setup.interface.as_bytes()))?;
    if domain == Domain::IPV6 {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

fn prepare(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(UNSENT_MAX)?;
    // Pings detect a silent path. This timeout ends a connection that is never written to again.
    socket.set_tcp_user_timeout(Some(Duration::from_nanos(2 * SILENCE_NS)))?;
    Ok(())
}

/// Returns a socket address. A link-local address needs the interface.
pub fn address(setup: &PathSetup, address: IpAddr, port: u16) -> io::Result<SockAddr> {
    Ok(match address {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            let socket = rustix::net::socket(
                rustix::net::AddressFamily::INET6,
                rustix::net::SocketType::DGRAM,
                None,
            )?;
            let scope = rustix::net::netdevice::name_to_index(&socket, &setup.interface)?;
            SocketAddrV6::new(v6, port, 0, scope).into()
        }
        _ => SocketAddr::new(address, port).into(),
    })
}
