//! How the nodes find each other on a cable before either has an address there: a datagram to all nodes of the interface,
//! whose answer comes from the link-local address that TCP then goes to. All sockets are bound to the interface.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Protocol, Socket, Type};
use spared_netlink::Requests;

/// Port of the links, which a firewall lets pass on their interfaces.
const PORT: u16 = 3780;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const QUESTION: &[u8] = b"spared pairing 1: who has a code?";
const ANSWER: &str = "spared pairing 1: a code waits on port ";
/// Interval between questions.
const INTERVAL: Duration = Duration::from_millis(500);
/// Time in which a fresh link-local address becomes usable (RFC 4862).
const ADDRESS: Duration = Duration::from_secs(4);
const CONNECT: Duration = Duration::from_secs(3);
/// Flag of an address that cannot be used yet (IFA_F_TENTATIVE).
const TENTATIVE: u32 = 0x40;
/// Flag of an address that another node has (IFA_F_DADFAILED).
const DUPLICATE: u32 = 0x08;

/// An interface with its link-local address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    pub interface: String,
    index: u32,
    address: Ipv6Addr,
    /// True if the interface has an address of a network, as a link seldom has.
    has_network: bool,
}

/// Ethernet interfaces that are up.
struct Ports {
    /// Interfaces with a usable link-local address.
    ready: Vec<Port>,
    /// One more will have such an address soon.
    is_any_tentative: bool,
}

impl Port {
    /// Finds an interface, and waits for its address.
    ///
    /// # Errors
    /// The interface is missing or down, or has no IPv6; a sentence says what to do.
    pub fn of(interface: &str) -> Result<Self, String> {
        let begun = Instant::now();
        loop {
            let all = Self::all().map_err(|error| format!("{interface}: {error}"))?;
            match all.ready.into_iter().find(|it| it.interface == interface) {
                Some(port) => return Ok(port),
                None if begun.elapsed() > ADDRESS => return Err(why_none(interface)),
                None => sleep(INTERVAL / 5),
            }
        }
    }

    /// Interfaces on which the first node may be: those of this node's links, else those without an address of a network,
    /// else all. A network may have a stranger who answers in its place, and a try costs a code. Addresses that are
    /// checked for duplicates are waited for: the cable may just have been connected.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub fn likely(links: &[String]) -> io::Result<Vec<Self>> {
        let begun = Instant::now();
        let mut all = Self::all()?;
        while all.is_any_tentative && begun.elapsed() < ADDRESS {
            sleep(INTERVAL / 5);
            all = Self::all()?;
        }
        let all = all.ready;
        let is_link = |it: &&Self| links.contains(&it.interface);
        let is_free = |it: &&Self| !it.has_network;
        let of_links: Vec<Self> = all.iter().filter(is_link).cloned().collect();
        let free: Vec<Self> = all.iter().filter(is_free).cloned().collect();
        let mut choices = [of_links, free, all].into_iter();
        Ok(choices.find(|it| !it.is_empty()).unwrap_or_default())
    }

    /// Interfaces that are none of these, but for the same search.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub fn others(looked_on: &[Self]) -> io::Result<Vec<Self>> {
        let mut all = Self::all()?.ready;
        all.retain(|it| looked_on.iter().all(|other| other.index != it.index));
        Ok(all)
    }

    /// Ethernet interfaces that are up.
    fn all() -> io::Result<Ports> {
        let mut kernel = Requests::open()?;
        let links = kernel.links()?;
        let addresses = kernel.addresses()?;
        let usable = links
            .into_iter()
            .filter(|it| it.up && it.carrier && it.is_ethernet);
        let mut is_any_tentative = false;
        let mut port = |link: spared_netlink::Link| {
            let own = addresses.iter().filter(|it| it.index == link.index);
            let mut own = own.filter_map(|it| match it.address {
                IpAddr::V6(v6) if is_link_local(v6) => Some((v6, it.flags)),
                _ => None,
            });
            let usable = own
                .clone()
                .find(|(_, flags)| flags & (TENTATIVE | DUPLICATE) == 0);
            is_any_tentative |= usable.is_none()
                && own.any(|(_, flags)| flags & (TENTATIVE | DUPLICATE) == TENTATIVE);
            let (address, _) = usable?;
            let mut here = addresses.iter().filter(|it| it.index == link.index);
            let has_network = here.any(|it| match it.address {
                IpAddr::V4(_) => true,
                IpAddr::V6(v6) => !is_link_local(v6),
            });
            Some(Self {
                has_network,
                interface: link.name,
                index: link.index,
                address,
            })
        };
        let ready = usable.filter_map(&mut port).collect();
        Ok(Ports {
            ready,
            is_any_tentative,
        })
    }

    fn at(&self, address: Ipv6Addr, port: u16) -> SocketAddr {
        let scope = if address.is_unspecified() {
            0
        } else {
            self.index
        };
        SocketAddrV6::new(address, port, 0, scope).into()
    }

    fn socket(&self, kind: Type, protocol: Protocol) -> io::Result<Socket> {
        let socket = Socket::new(Domain::IPV6, kind, Some(protocol))?;
        socket.set_only_v6(true)?;
        socket.bind_device(Some(self.interface.as_bytes()))?;
        socket.set_reuse_address(true)?;
        Ok(socket)
    }

    fn datagrams(&self, address: Ipv6Addr, port: u16) -> io::Result<UdpSocket> {
        let socket = self.socket(Type::DGRAM, Protocol::UDP)?;
        socket.set_multicast_if_v6(self.index)?;
        socket.set_multicast_hops_v6(1)?;
        socket.set_multicast_loop_v6(false)?;
        socket.bind(&self.at(address, port).into())?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    }
}

fn is_link_local(address: Ipv6Addr) -> bool {
    address.segments()[0] & 0xffc0 == 0xfe80
}

fn why_none(interface: &str) -> String {
    let folder = format!("/proc/sys/net/ipv6/conf/{interface}");
    let otherwise = "or use `sparectl pair --ssh HOST`";
    let links = Requests::open().and_then(|mut kernel| kernel.links());
    let links = links.unwrap_or_default();
    let Some(link) = links.iter().find(|it| it.name == interface) else {
        return format!(
            "there is no interface {interface}: `ip -br link` lists those of this machine; --interface IF names another"
        );
    };
    if !link.up || !link.carrier {
        return format!(
            "{interface} is down or has no carrier: `ip link set {interface} up`, and check the cable"
        );
    }
    let is_off = fs::read_to_string(format!("{folder}/disable_ipv6"));
    if is_off.ok().as_deref().map(str::trim) != Some("0") {
        return format!(
            "IPv6 is off on {interface}, and pairing needs its link-local address: `sysctl \
             net.ipv6.conf.{interface}.disable_ipv6=0`, {otherwise}"
        );
    }
    format!(
        "{interface} has no link-local IPv6 address: `ip -6 address show dev {interface}`, {otherwise}"
    )
}

/// The first node's end: it answers questions and accepts connections, on one interface alone.
pub struct Listener {
    questions: UdpSocket,
    listener: TcpListener,
    port: u16,
}

impl Listener {
    /// # Errors
    /// A sentence with the interface.
    pub fn open(port: &Port) -> Result<Self, String> {
        let failed = |error: io::Error| format!("{}: port {PORT}: {error}", port.interface);
        let questions = port.datagrams(ALL_NODES, PORT).map_err(failed)?;
        // a link that has this address already has the port
        let listen = |number| -> io::Result<TcpListener> {
            let socket = port.socket(Type::STREAM, Protocol::TCP)?;
            socket.bind(&port.at(port.address, number).into())?;
            socket.listen(4)?;
            socket.set_nonblocking(true)?;
            Ok(socket.into())
        };
        let listener = listen(PORT).or_else(|_| listen(0)).map_err(failed)?;
        let number = listener.local_addr().map_err(failed)?.port();
        Ok(Self {
            questions,
            listener,
            port: number,
        })
    }

    /// Waits for a connection, and answers questions meanwhile; None after this time.
    pub fn accept(&self, patience: Duration) -> Option<TcpStream> {
        let until = Instant::now() + patience;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            let mut ready = [
                PollFd::from_borrowed_fd(self.questions.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(self.listener.as_fd(), PollFlags::IN),
            ];
            let wait = Timespec::try_from(left).ok();
            let _ = poll(&mut ready, wait.as_ref());
            self.answer();
            if let Ok((stream, _)) = self.listener.accept() {
                if stream.set_nonblocking(false).is_ok() {
                    return Some(stream);
                }
            }
        }
        None
    }

    fn answer(&self) {
        let mut buffer = [0; 64];
        while let Ok((length, from)) = self.questions.recv_from(&mut buffer) {
            if buffer.get(..length) == Some(QUESTION) {
                let answer = format!("{ANSWER}{}", self.port);
                let _ = self.questions.send_to(answer.as_bytes(), from);
            }
        }
    }
}

/// Asks on these interfaces until a node answers, and connects to it; None after this time.
///
/// # Errors
/// No interface can be asked.
pub fn find(ports: &[Port], patience: Duration) -> Result<Option<(Port, TcpStream)>, String> {
    let socket = |port: &Port| {
        // the port that firewalls let pass, or any if a link has it
        let socket = port.datagrams(port.address, PORT);
        socket.or_else(|_| port.datagrams(port.address, 0)).ok()
    };
    let asked: Vec<(&Port, UdpSocket)> = ports
        .iter()
        .filter_map(|port| Some((port, socket(port)?)))
        .collect();
    if asked.is_empty() {
        return Err(
            "no interface has a link-local IPv6 address: connect the cable of the link and set its interface up, or run \
             `sparectl pair --ssh HOST` on the first node"
                .to_owned(),
        );
    }
    let until = Instant::now() + patience;
    while Instant::now() < until {
        for (port, socket) in &asked {
            let _ = socket.send_to(QUESTION, port.at(ALL_NODES, PORT));
        }
        let next = Instant::now() + INTERVAL;
        while let Some(left) = next.checked_duration_since(Instant::now()) {
            let mut ready: Vec<PollFd<'_>> = asked
                .iter()
                .map(|(_, socket)| PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN))
                .collect();
            let wait = Timespec::try_from(left).ok();
            let _ = poll(&mut ready, wait.as_ref());
            for (port, socket) in &asked {
                if let Some(stream) = answered(port, socket) {
                    return Ok(Some(((*port).clone(), stream)));
                }
            }
        }
    }
    Ok(None)
}

/// Connection to a node that answered.
fn answered(port: &Port, socket: &UdpSocket) -> Option<TcpStream> {
    let mut buffer = [0; 64];
    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
        let text = std::str::from_utf8(buffer.get(..length)?).unwrap_or_default();
        let number = text.strip_prefix(ANSWER).and_then(|it| it.parse().ok());
        let (Some(number), SocketAddr::V6(from)) = (number, from) else {
            continue;
        };
        if !is_link_local(*from.ip()) {
            continue;
        }
        let connect = || -> io::Result<TcpStream> {
            let socket = port.socket(Type::STREAM, Protocol::TCP)?;
            socket.bind(&port.at(port.address, 0).into())?;
            socket.connect_timeout(&port.at(*from.ip(), number).into(), CONNECT)?;
            Ok(socket.into())
        };
        if let Ok(stream) = connect() {
            return Some(stream);
        }
    }
    None
}

/// This node's address of a connection, and the other one's.
pub fn addresses(stream: &TcpStream) -> [String; 2] {
    let shown =
        |address: io::Result<SocketAddr>| address.map_or(String::new(), |it| it.ip().to_string());
    [shown(stream.local_addr()), shown(stream.peer_addr())]
}
