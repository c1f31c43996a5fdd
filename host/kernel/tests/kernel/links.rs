//! Tests the links' addresses, and the sockets that plugins get for heartbeats and pings.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::net::{RecvFlags, SendFlags, recv, send};
use spared_abi::{SOCKETS_HEARTBEAT, SOCKETS_PING, SOCKETS_VRRP};
use spared_contract::SocketKind;
use spared_kernel::{ANY, Kernel, KernelEvent};
use spared_message::link::LinkPath;

use crate::lab::*;

const PORT: u16 = 3780;
const LIMIT: Duration = Duration::from_secs(5);

fn path(own: &str, peer: &str) -> LinkPath {
    let (own, prefix) = own.split_once('/').unwrap();
    LinkPath {
        interface: "lan2".to_owned(),
        own: own.parse().unwrap(),
        prefix: prefix.parse().unwrap(),
        peer: peer.parse().unwrap(),
    }
}

fn v4() -> LinkPath {
    path("10.8.0.1/30", "10.8.0.2")
}

/// Makes the router's end of the link, with the sockets that the elector follows. The station has the peer's end.
fn linked(net: &Net, path: &LinkPath) -> Kernel {
    let station = format!("addr add {}/{} dev peer", path.peer, path.prefix);
    net.station_ip(&station);
    let mut kernel = Kernel::open().unwrap();
    kernel.set_links(vec![path.clone()], PORT);
    kernel.follow("lan2", SOCKETS_HEARTBEAT).unwrap();
    drive_until(&mut kernel, |kernel, _| kernel.is_link_usable(path));
    kernel
}

fn socket(kernel: &Kernel, interface: &str, kind: SocketKind) -> OwnedFd {
    let (event, sockets) = kernel.interface(interface).unwrap();
    let mut kinds = event.sockets.iter();
    let position = kinds.position(|found| *found == kind).unwrap();
    sockets[position].try_clone_to_owned().unwrap()
}

/// Waits for `count` packets. Returns them, and others that have arrived by then.
fn received(socket: BorrowedFd<'_>, count: usize) -> Vec<Vec<u8>> {
    let until = Instant::now() + LIMIT;
    let mut packets = Vec::new();
    let mut buffer = [0; 2048];
    loop {
        while let Ok((length, _)) = recv(socket, &mut buffer, RecvFlags::DONTWAIT) {
            packets.push(buffer[..length].to_vec());
        }
        let left = until.saturating_duration_since(Instant::now());
        if packets.len() >= count || left.is_zero() {
            return packets;
        }
        wait(&[socket], left);
    }
}

fn addresses(net: &Net) -> String {
    net.output("ip", "-d addr show dev lan2")
}

/// Sends from the station's address and port to the router's.
fn tell(net: &Net, from: SocketAddr, to: SocketAddr, text: &str) {
    let socket = bind(net, from);
    socket.send_to(text.as_bytes(), to).unwrap();
}

/// Opens a socket of the station. This fails until its kernel has found that the IPv6 address is unique.
fn bind(net: &Net, at: SocketAddr) -> UdpSocket {
    net.inside(|| {
        let until = Instant::now() + LIMIT;
        loop {
            match UdpSocket::bind(at) {
                Err(_) if Instant::now() < until => std::thread::sleep(Duration::from_millis(1)),
                bound => return bound.unwrap(),
            }
        }
    })
}

fn at(address: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address, port)
}

#[test]
fn an_address_that_is_missing_is_set_put_back_and_removed() {
    let Some(net) = Net::new() else { return };
    let path = v4();
    let mut kernel = linked(&net, &path);
    assert!(
        addresses(&net).contains("10.8.0.1/30"),
        "{}",
        addresses(&net)
    );
    assert!(kernel.is_link_usable(&path));
    assert_eq!(kernel.link_lacks(&path), None);

    net.ip("addr del 10.8.0.1/30 dev lan2");
    let events = drive_until(&mut kernel, |_, events| {
        let told = |event: &KernelEvent| matches!(event, KernelEvent::Warning(text) if text.contains("10.8.0.1/30"));
        events.iter().any(told)
    });
    assert!(addresses(&net).contains("10.8.0.1/30"), "{events:?}");
    // The address is deleted again at once: restoring is slowed down, not given up.
    net.ip("addr del 10.8.0.1/30 dev lan2");
    drive_until(&mut kernel, |kernel, _| !kernel.is_link_usable(&path));
    drive_until(&mut kernel, |kernel, _| kernel.is_link_usable(&path));

    kernel.close();
    assert!(!addresses(&net).contains("10.8.0.1"), "{}", addresses(&net));
}

#[test]
fn an_address_of_the_administrators_stays() {
    let Some(net) = Net::new() else { return };
    net.ip("addr add 10.8.0.1/30 dev lan2");
    let kernel = linked(&net, &v4());
    assert!(kernel.is_link_usable(&v4()));
    kernel.close();
    assert!(addresses(&net).contains("10.8.0.1/30"));
}

#[test]
fn what_an_earlier_run_left_is_swept() {
    let Some(net) = Net::new() else { return };
    std::mem::forget(linked(&net, &v4()));
    let mut kernel = Kernel::open().unwrap();
    let leftovers = kernel.remove_leftovers().unwrap();
    assert!(
        leftovers.contains(&"address 10.8.0.1/30 on lan2".to_owned()),
        "{leftovers:?}"
    );
}

#[test]
fn a_path_follows_its_interface() {
    let Some(net) = Net::new() else { return };
    let path = v4();
    let mut kernel = linked(&net, &path);
    net.ip("link set lan2 down");
    drive_until(&mut kernel, |kernel, _| !kernel.is_link_usable(&path));
    assert_eq!(kernel.link_lacks(&path), Some("its interface is down"));
    net.ip("link set lan2 up");
    drive_until(&mut kernel, |kernel, _| kernel.is_link_usable(&path));
    net.station_ip("link set peer down");
    drive_until(&mut kernel, |kernel, _| !kernel.is_link_usable(&path));
    assert_eq!(kernel.link_lacks(&path), Some("no carrier"));
    net.ip("link del lan2");
    drive_until(&mut kernel, |kernel, _| {
        kernel.link_lacks(&path) == Some("its interface is absent")
    });
    // An interface that is created again gets the address again, and new sockets.
    let (before, _) = kernel.interface("lan2").unwrap();
    assert_eq!(before.sockets, []);
    net.add_link("lan2", "peer");
    drive_until(&mut kernel, |kernel, _| kernel.is_link_usable(&path));
    let (after, sockets) = kernel.interface("lan2").unwrap();
    assert_eq!(sockets.len(), 2);
    assert_ne!(before.generation, after.generation);
}

/// The kernel deletes the IPv6 addresses of an interface that goes down.
#[test]
fn an_ipv6_address_that_goes_with_its_interface_is_deleted_by_nobody_and_back_with_it() {
    let Some(net) = Net::new() else { return };
    let path = path("fd08::1/64", "fd08::2");
    net.ip("addr add fd08::1/64 dev lan2 nodad");
    let mut kernel = linked(&net, &path);
    net.ip("link set lan2 down");
    let mut events = drive_until(&mut kernel, |kernel, _| !kernel.is_link_usable(&path));
    events.extend(drive_for(&mut kernel, Duration::from_millis(200)));
    assert!(!addresses(&net).contains("fd08::1"), "{}", addresses(&net));
    assert_eq!(kernel.link_lacks(&path), Some("its interface is down"));
    net.ip("link set lan2 up");
    events.extend(drive_until(&mut kernel, |kernel, _| {
        kernel.is_link_usable(&path)
    }));
    assert!(addresses(&net).contains("fd08::1/64"));
    // down and up, before the first event is read
    net.ip("link set lan2 down");
    net.ip("link set lan2 up");
    events.extend(drive_for(&mut kernel, Duration::from_millis(200)));
    drive_until(&mut kernel, |kernel, _| kernel.is_link_usable(&path));
    assert!(addresses(&net).contains("fd08::1/64"));
    let is_warning = |event: &KernelEvent| matches!(event, KernelEvent::Warning(_));
    assert!(!events.iter().any(is_warning), "{events:?}");
}

#[test]
fn heartbeats_are_heard_from_the_peer_alone_before_any_firewall() {
    let Some(net) = Net::new() else { return };
    for path in [
        v4(),
        path("fd08::1/64", "fd08::2"),
        path("fd09::/127", "fd09::1"),
    ] {
        let kernel = linked(&net, &path);
        net.output("nft", "add table inet closed");
        net.output(
            "nft",
            "add chain inet closed input { type filter hook input priority 0 ; policy drop ; }",
        );
        // No router's firewall drops neighbour discovery.
        net.output(
            "nft",
            "add rule inet closed input meta l4proto icmpv6 accept",
        );
        let heard = socket(&kernel, "lan2", SocketKind::HeartbeatIn);
        let other: IpAddr = match path.own {
            IpAddr::V4(_) => "10.8.0.9".parse().unwrap(),
            IpAddr::V6(_) => "fd08::3".parse().unwrap(),
        };
        net.station_ip(&format!("addr replace {other}/16 dev peer"));
        let (own, peer) = (at(path.own, PORT), at(path.peer, PORT));
        // Packets from another port, to another port, and from another address.
        tell(&net, at(path.peer, 4000), own, "port");
        tell(&net, peer, at(path.own, 4000), "port");
        tell(&net, at(other, PORT), own, "stranger");
        // A fragmented packet.
        tell(&net, peer, own, &"x".repeat(3000));
        tell(&net, peer, own, "heartbeat");
        let packets = received(heard.as_fd(), 1);
        assert_eq!(packets.len(), 1, "{path:?}: {packets:?}");
        assert!(packets[0].ends_with(b"heartbeat"));
        let version = if path.own.is_ipv4() { 4 } else { 6 };
        assert_eq!(packets[0][0] >> 4, version);

        let everything = [(0x06, 0, 0, u32::MAX)];
        let changed = spared_netlink::attach_filter(&heard, &everything, false);
        assert_eq!(changed.unwrap_err().raw_os_error(), Some(1));
        net.output("nft", "delete table inet closed");
        kernel.close();
        net.station_ip("addr flush dev peer scope global");
    }
}

#[test]
fn heartbeats_go_to_the_peer_from_the_links_address_and_port() {
    let Some(net) = Net::new() else { return };
    for path in [v4(), path("fd08::1/64", "fd08::2")] {
        let kernel = linked(&net, &path);
        let (own, peer) = (at(path.own, PORT), at(path.peer, PORT));
        let listener = bind(&net, peer);
        listener
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let sender = socket(&kernel, "lan2", SocketKind::HeartbeatOut);
        send(&sender, b"heartbeat", SendFlags::empty()).unwrap();
        let mut buffer = [0; 16];
        let (length, from) = listener.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], from), (&b"heartbeat"[..], own));
        // Replies are for the packet socket; this socket would only fill up. If it received replies, the first one
        // would be in it when the second one has arrived in the packet socket.
        let heard = socket(&kernel, "lan2", SocketKind::HeartbeatIn);
        for answer in [b"answer", b"second"] {
            listener.send_to(answer, own).unwrap();
        }
        assert_eq!(received(heard.as_fd(), 2).len(), 2);
        assert_eq!(received(sender.as_fd(), 0).len(), 0);
        kernel.close();
        net.station_ip("addr flush dev peer scope global");
    }
}

#[test]
fn an_interface_without_a_link_has_no_heartbeats() {
    let Some(_net) = Net::new() else { return };
    let mut kernel = Kernel::open().unwrap();
    kernel.follow("lan2", SOCKETS_HEARTBEAT).unwrap();
    drive_until(&mut kernel, |kernel, _| {
        kernel.interface("lan2").is_some_and(|(it, _)| it.up)
    });
    let (event, sockets) = kernel.interface("lan2").unwrap();
    assert_eq!((event.sockets.len(), sockets.len()), (0, 0));
    // A link that is configured later adds its sockets.
    kernel.set_links(vec![v4()], PORT);
    let (event, _) = kernel.interface("lan2").unwrap();
    assert_eq!(
        event.sockets,
        [SocketKind::HeartbeatIn, SocketKind::HeartbeatOut]
    );
}

#[test]
fn what_one_plugin_asks_for_leaves_the_sockets_of_another() {
    let Some(_net) = Net::new() else { return };
    let mut kernel = Kernel::open().unwrap();
    kernel.follow("lan2", SOCKETS_VRRP).unwrap();
    let (before, _) = kernel.interface_with("lan2", SOCKETS_VRRP).unwrap();
    kernel.follow("lan2", SOCKETS_PING).unwrap();
    let (after, sockets) = kernel.interface_with("lan2", SOCKETS_VRRP).unwrap();
    assert_eq!((after.generation, sockets.len()), (before.generation, 5));
    let (pings, sockets) = kernel.interface_with("lan2", SOCKETS_PING).unwrap();
    assert_eq!(pings.sockets, [SocketKind::PingIpv4, SocketKind::PingIpv6]);
    assert_eq!(sockets.len(), 2);
    assert_ne!(pings.generation, after.generation);
    let (nothing, sockets) = kernel.interface_with("lan2", 0).unwrap();
    assert_eq!((nothing.sockets.len(), sockets.len()), (0, 0));
}

#[test]
fn pings_hear_answers_and_errors_and_nothing_else() {
    let Some(net) = Net::new() else { return };
    net.ip("addr add 10.8.0.1/24 dev lan2");
    net.station_ip("addr add 10.8.0.2/24 dev peer");
    net.station_ip("route add unreachable 10.99.0.0/16");
    net.ip("route add 10.99.0.0/16 via 10.8.0.2");
    net.inside(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap());
    let mut kernel = Kernel::open().unwrap();
    for interface in ["lan2", ANY] {
        kernel.follow(interface, SOCKETS_PING).unwrap();
        let (event, _) = kernel.interface(interface).unwrap();
        assert!(event.present && event.up && event.carrier, "{interface}");
        let pings = socket(&kernel, interface, SocketKind::PingIpv4);
        for target in ["10.8.0.2", "10.99.0.1"] {
            let to = at(target.parse().unwrap(), 0);
            rustix::net::sendto(&pings, &echo_request(), SendFlags::empty(), &to).unwrap();
        }
        // The kernel answers a request of the station.
        assert!(net.pings("10.8.0.1"));
        let kinds: Vec<u8> = received(pings.as_fd(), 2)
            .iter()
            .map(|packet| packet[20])
            .collect();
        const ANSWER: u8 = 0;
        const UNREACHABLE: u8 = 3;
        assert_eq!(kinds, [ANSWER, UNREACHABLE], "{interface}");
    }
}

fn echo_request() -> [u8; 8] {
    // An echo request: type 8, its checksum, identifier 0x5a5a, number 1.
    let sum = !(0x0800u16 + 0x5a5a + 1);
    let [high, low] = sum.to_be_bytes();
    [8, 0, high, low, 0x5a, 0x5a, 0, 1]
}
