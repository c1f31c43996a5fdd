//! Tests which traffic, other than answers, a blocking fence passes.

use std::time::Duration;

use spared_kernel::Kernel;

use crate::lab::*;

#[test]
fn what_the_node_sends_from_a_virtual_address_reaches_who_it_never_heard_of() {
    let mut claims = claims(&["10.0.0.1/24"], LONG);
    claims.routers[0].vmac = true;
    let Some((net, mut kernel)) = installed(claims) else {
        return;
    };
    kernel.grant_lease("office").unwrap();
    assert!(
        net.output("ping", "-c1 -W1 -I 10.0.0.1 10.0.0.3")
            .contains(" 1 received")
    );
}

#[test]
fn what_asks_for_a_closed_address_does_not_even_come_in() {
    let claims = claims(&["10.0.0.1/24", "fe80::1/64", "2001:db8::1/64"], LONG);
    let Some((net, mut kernel)) = installed(claims) else {
        return;
    };
    let tap = net.tap();
    let ask = || {
        tap.send(&arp_request([10, 0, 0, 1]));
        tap.send(&solicitation("fe80::33", "fe80::1", [2, 0, 0, 0, 0, 0x33]));
        tap.send(&solicitation(
            "2001:db8::34",
            "2001:db8::1",
            [2, 0, 0, 0, 0, 0x34],
        ));
        std::thread::sleep(Duration::from_millis(100));
        net.output("ip", "neigh show dev lan2")
    };
    // The kernel notes who asks it, before it answers.
    let closed = ask();
    for asker in ["10.0.0.3 ", "fe80::33 ", "2001:db8::34 "] {
        assert!(!closed.contains(asker), "{asker} came in: {closed}");
    }
    kernel.grant_lease("office").unwrap();
    let open = ask();
    for asker in ["10.0.0.3 ", "fe80::33 ", "2001:db8::34 "] {
        assert!(open.contains(asker), "{asker} did not come in: {open}");
    }
}

#[test]
fn no_neighbour_message_about_a_closed_ipv6_address_leaves() {
    let claims = claims(&["fe80::1/64", "2001:db8::1/64"], LONG);
    let Some((_net, mut kernel)) = installed(claims) else {
        return;
    };
    let mac = [2, 0, 0, 0, 0, 1];
    for address in ["fe80::1", "2001:db8::1"] {
        let detection = solicitation("::", address, mac);
        let mut advertisement = solicitation("fe80::2", address, mac);
        advertisement[54] = 136;
        let from = solicitation(address, "fe80::3", mac);
        let question = solicitation("fe80::2", address, mac);
        for frame in [&detection, &advertisement, &from] {
            kernel.revoke_lease("office").unwrap();
            assert!(send(frame).is_err(), "{address}: leaves without a lease");
            kernel.grant_lease("office").unwrap();
            assert!(
                send(frame).is_ok(),
                "{address}: does not leave with a lease"
            );
        }
        kernel.revoke_lease("office").unwrap();
        assert!(
            send(&question).is_ok(),
            "a backup may ask who has {address}"
        );
    }
}

#[test]
fn a_backup_learns_from_the_announcements_of_the_active_router() {
    let Some(net) = Net::new() else { return };
    net.ip("addr add 10.0.0.2/24 dev lan2");
    let mut kernel = Kernel::open().unwrap();
    kernel
        .claim("office", claims(&["10.0.0.1/24"], LONG))
        .unwrap();
    net.ip("neigh add 10.0.0.1 lladdr 02:00:00:00:00:aa dev lan2 nud stale");
    let mac = [2, 0, 0, 0, 0, 0xbb];
    let vip = [10, 0, 0, 1];
    let arp = [0, 1, 8, 0, 6, 4, 0, 1];
    net.tap()
        .send(&[&[0xff; 6][..], &mac, &[8, 6], &arp, &mac, &vip, &mac, &vip].concat());
    std::thread::sleep(Duration::from_millis(100));
    let neighbours = net.output("ip", "neigh show 10.0.0.1");
    assert!(neighbours.contains("02:00:00:00:00:bb"), "{neighbours}");
}

#[test]
fn what_is_forwarded_from_a_closed_address_does_not_leave() {
    let Some((net, mut kernel)) = installed(claims(&["10.0.0.1/24"], LONG)) else {
        return;
    };
    let header = [
        0x45, 0, 0, 20, 0, 0, 0, 0, 64, 253, 0, 0, 10, 0, 0, 1, 10, 0, 0, 3,
    ];
    let frame = [
        &[0xff; 6][..],
        &mac_of(&net, "lan2"),
        &[8, 0],
        &header,
        &[0; 26],
    ]
    .concat();
    assert!(send(&frame).is_err());
    kernel.grant_lease("office").unwrap();
    assert!(send(&frame).is_ok());
}

#[test]
fn packets_to_a_closed_address_reach_no_socket() {
    let claims = claims(&["10.0.0.1/24", "2001:db8::1/64"], LONG);
    let Some((net, mut kernel)) = installed(claims) else {
        return;
    };
    let mac = mac_text(&net, "lan2");
    for address in ["10.0.0.1", "2001:db8::1"] {
        net.station_ip(&format!("neigh replace {address} lladdr {mac} dev peer"));
    }
    net.station_ip("addr add 2001:db8::3/64 dev peer nodad");
    for (bind, to) in [
        ("0.0.0.0:5555", "10.0.0.1:5555"),
        ("[::]:5556", "[2001:db8::1]:5556"),
    ] {
        let socket = std::net::UdpSocket::bind(bind).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        let sender = net.inside(|| {
            std::net::UdpSocket::bind(bind.replace("5555", "0").replace("5556", "0")).unwrap()
        });
        let arrives = || {
            sender.send_to(b"hello", to).unwrap();
            socket.recv(&mut [0; 16]).is_ok()
        };
        kernel.revoke_lease("office").unwrap();
        assert!(!arrives(), "{to}: reached through a blocking fence");
        kernel.grant_lease("office").unwrap();
        assert!(arrives(), "{to}: not reached through a passing fence");
    }
}
