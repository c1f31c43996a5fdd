//! Raw sockets in a network namespace: the kernel drops the answers to echoes of other processes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, ipproto, recv, sendto, socket};
use spared_health::wire::icmp::{Echo, filter_ipv4, filter_ipv6, request};
use spared_netlink::attach_filter;
use spared_netlink::test_namespace::is_inside;

const OURS: [u8; 4] = *b"ours";
const PATIENCE: Duration = Duration::from_secs(5);

/// Tokens of the answers that a socket receives after echoes with these tokens to `to`, up to the last one.
fn answered(socket: &OwnedFd, to: IpAddr, tokens: &[[u8; 8]]) -> Vec<[u8; 8]> {
    for (sequence, &token) in (1..).zip(tokens) {
        let echo = Echo {
            identifier: 7,
            sequence,
            token,
        };
        let address = SocketAddr::new(to, 0);
        let sent = sendto(socket, &request(to, echo, 8), SendFlags::empty(), &address);
        sent.expect("the loopback is up");
    }
    let until = Instant::now() + PATIENCE;
    let mut found = Vec::new();
    let mut buffer = [0; 256];
    while found.last() != tokens.last() {
        assert!(Instant::now() < until, "only {found:?}");
        let Ok((length, _)) = recv(socket, &mut buffer, RecvFlags::DONTWAIT) else {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        };
        let icmp = if to.is_ipv4() {
            &buffer[20..length]
        } else {
            &buffer[..length]
        };
        let is_answer = icmp[0] == if to.is_ipv4() { 0 } else { 129 };
        if is_answer {
            found.push(icmp[8..16].try_into().expect("eight bytes"));
        }
    }
    found
}

#[test]
fn only_answers_to_own_echoes_wake_the_process() {
    if !is_inside("only_answers_to_own_echoes_wake_the_process") {
        return;
    }
    let up = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status();
    assert!(up.expect("iproute2").success());
    let ipv4 = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::ICMP));
    let ipv6 = socket(AddressFamily::INET6, SocketType::RAW, Some(ipproto::ICMPV6));
    let (ipv4, ipv6) = (ipv4.expect("root's"), ipv6.expect("root's"));
    attach_filter(&ipv4, &filter_ipv4(OURS), false).expect("a filter");
    attach_filter(&ipv6, &filter_ipv6(OURS), false).expect("a filter");
    let tokens = [*b"ours1234", *b"else1234", *b"ours5678"];
    let kept = [tokens[0], tokens[2]];
    assert_eq!(answered(&ipv4, Ipv4Addr::LOCALHOST.into(), &tokens), kept);
    assert_eq!(answered(&ipv6, Ipv6Addr::LOCALHOST.into(), &tokens), kept);
}
