//! Tests interfaces as followers see them: carrier, sockets, creation and removal.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::net::{RecvFlags, recv};
use spared_contract::{Family, SocketKind};
use spared_kernel::{FenceState, Kernel, KernelEvent};

use crate::lab::*;

const VRRP: u32 = 1;
const LONG: Duration = Duration::from_secs(30);

fn kernel_on(net: &Net) -> Kernel {
    let mut kernel = Kernel::open().unwrap();
    kernel.follow("lan2", VRRP).unwrap();
    drive_for(&mut kernel, Duration::from_millis(30));
    let _ = net;
    kernel
}

// Returns a duplicate of the descriptor of a kind.
fn socket(kernel: &Kernel, kind: SocketKind) -> OwnedFd {
    let (event, sockets) = kernel.interface("lan2").unwrap();
    let position = event
        .sockets
        .iter()
        .position(|found| *found == kind)
        .unwrap();
    sockets[position].try_clone_to_owned().unwrap()
}

fn received(socket: BorrowedFd<'_>) -> Vec<Vec<u8>> {
    std::thread::sleep(Duration::from_millis(50));
    let mut frames = Vec::new();
    let mut buffer = [0; 2048];
    while let Ok((length, _)) = recv(socket, &mut buffer, RecvFlags::DONTWAIT) {
        frames.push(buffer[..length].to_vec());
    }
    frames
}

#[test]
fn the_vrrp_socket_hears_adverts_of_both_families_and_nothing_else() {
    let Some(net) = Net::new() else { return };
    let mut kernel = kernel_on(&net);
    kernel
        .claim("office", claims(&["10.0.0.1/24", "2001:db8::1/64"], LONG))
        .unwrap();
    let link = socket(&kernel, SocketKind::VrrpLink);
    let tap = net.tap();
    let mac = [2, 0, 0, 0, 0, 9];
    tap.send(&advert(mac, Family::V4, 50, 100));
    tap.send(&advert(mac, Family::V6, 50, 100));
    // Frames that are tagged, of another protocol, truncated, or for another station.
    let mut tagged = advert(mac, Family::V4, 50, 100);
    tagged.splice(12..12, [0x81, 0x00, 0x00, 0x05]);
    tap.send(&tagged);
    let mut udp = advert(mac, Family::V4, 50, 100);
    udp[23] = 17;
    tap.send(&udp);
    tap.send(&advert(mac, Family::V4, 50, 100)[..20]);
    let mut other = advert(mac, Family::V4, 50, 100);
    other[..6].copy_from_slice(&[2, 0, 0, 0, 0, 77]);
    tap.send(&other);
    // A frame from the interface's own MAC.
    spared_netlink::PacketSocket::sender()
        .unwrap()
        .send(index_of("lan2"), &advert(mac, Family::V4, 51, 100))
        .unwrap();

    let frames = received(link.as_fd());
    let kinds: Vec<&[u8]> = frames.iter().map(|frame| &frame[12..14]).collect();
    assert_eq!(kinds, [&[0x08, 0x00], &[0x86, 0xdd]]);
}

#[test]
fn the_vrrp_socket_hears_the_routers_that_are_claimed_as_claims_change() {
    let Some(net) = Net::new() else { return };
    let mut kernel = kernel_on(&net);
    let tap = net.tap();
    let heard = |kernel: &Kernel| -> Vec<u8> {
        let link = socket(kernel, SocketKind::VrrpLink);
        for vrid in [50, 51, 52] {
            tap.send(&advert([2, 0, 0, 0, 0, 9], Family::V4, vrid, 100));
        }
        let mut through_a_router = advert([2, 0, 0, 0, 0, 9], Family::V4, 50, 101);
        through_a_router[22] = 254;
        tap.send(&through_a_router);
        let frames = received(link.as_fd());
        // the VRID of an advert, or the TTL of the one that came through a router
        let what = |frame: &Vec<u8>| {
            if frame[22] == 255 {
                frame[35]
            } else {
                frame[22]
            }
        };
        frames.iter().map(what).collect()
    };
    assert!(heard(&kernel).is_empty());
    let mut claimed = claims(&["10.0.0.1/24"], LONG);
    kernel.claim("office", claimed.clone()).unwrap();
    assert_eq!(heard(&kernel), [50]);
    let before = kernel.interface("lan2").unwrap().0;
    claimed.routers.push(router("lan2", Family::V4, 52));
    claimed.routers[0].routed = true;
    kernel.claim("office", claimed.clone()).unwrap();
    assert_eq!(heard(&kernel), [50, 52, 254]);
    let event = kernel.interface("lan2").unwrap().0;
    // the follower gets an event, and its other sockets stay
    assert_ne!(event.generation, before.generation);
    assert_eq!(event.sockets, before.sockets);
    // another lease does not change the filter
    claimed.lease_ns += 1;
    kernel.claim("office", claimed).unwrap();
    let after = kernel.interface("lan2").unwrap().0.generation;
    assert_eq!(after, event.generation);
    kernel.release_all(&["office"]);
    assert!(heard(&kernel).is_empty());
}

#[test]
fn the_stations_socket_hears_arp_and_neighbour_discovery() {
    let Some(net) = Net::new() else { return };
    let kernel = kernel_on(&net);
    let stations = socket(&kernel, SocketKind::Stations);
    let _ = received(stations.as_fd());
    net.station_ip("addr add 10.0.0.3/24 dev peer");
    net.station_ip("addr add 2001:db8::3/64 dev peer nodad");
    net.ignores("10.0.0.77");
    net.ignores("2001:db8::77");
    net.tap()
        .send(&advert([2, 0, 0, 0, 0, 9], Family::V4, 50, 100));
    let frames = received(stations.as_fd());
    assert!(frames.iter().any(|frame| frame[12..14] == [8, 6]));
    assert!(
        frames
            .iter()
            .any(|frame| frame[12..14] == [0x86, 0xdd] && frame[54] == 135)
    );
    assert!(frames.iter().all(|frame| frame[12..14] != [8, 0]));
}

#[test]
fn a_filter_that_was_handed_out_cannot_be_removed() {
    let Some(net) = Net::new() else { return };
    let kernel = kernel_on(&net);
    for kind in [SocketKind::VrrpLink, SocketKind::Stations] {
        let everything = [(0x06, 0, 0, u32::MAX)];
        let result = spared_netlink::attach_filter(&socket(&kernel, kind), &everything, false);
        assert_eq!(
            result.unwrap_err().raw_os_error(),
            Some(1),
            "socket {kind:?}"
        );
    }
}

#[test]
fn the_multicast_groups_are_joined_by_igmp_and_mld() {
    let Some(net) = Net::new() else { return };
    net.ip("addr add 10.0.0.2/24 dev lan2");
    let mut kernel = kernel_on(&net);
    let shown = net.output("ip", "maddr show dev lan2");
    for group in [
        "224.0.0.18",
        "ff02::12",
        "01:00:5e:00:00:12",
        "33:33:00:00:00:12",
    ] {
        assert!(shown.contains(group), "{group} {shown}");
    }
    kernel.unfollow("lan2");
    assert!(
        !net.output("ip", "maddr show dev lan2")
            .contains("224.0.0.18")
    );
}

#[test]
fn without_ipv6_the_rest_works() {
    let Some(net) = Net::new() else { return };
    net.output("sysctl", "-qw net.ipv6.conf.lan2.disable_ipv6=1");
    let mut kernel = kernel_on(&net);
    let (event, _) = kernel.interface("lan2").unwrap();
    assert!(
        event.sockets.contains(&SocketKind::VrrpLink)
            && event.sockets.contains(&SocketKind::VrrpIpv4),
        "{event:?}"
    );
    let mut claims = claims(&["10.0.0.1/24"], LONG);
    claims.routers[0].vmac = true;
    kernel.claim("office", claims).unwrap();
    kernel.grant_lease("office").unwrap();
    assert!(kernel.install("office").unwrap().failures.is_empty());
    net.station_ip("addr add 10.0.0.3/24 dev peer");
    assert!(net.pings("10.0.0.1"));
}

#[test]
fn a_lost_carrier_closes_the_leases_before_anybody_is_told() {
    let Some(net) = Net::new() else { return };
    let mut kernel = kernel_on(&net);
    net.ip("addr add 10.0.0.2/24 dev lan2");
    kernel
        .claim("office", claims(&["10.0.0.1/24"], LONG))
        .unwrap();
    kernel.grant_lease("office").unwrap();
    kernel.install("office").unwrap();
    drive_for(&mut kernel, Duration::from_millis(50));
    net.station_ip("link set peer down");
    let began = Instant::now();
    drive_until(&mut kernel, |kernel, events| {
        let told = events.contains(&KernelEvent::Interface("lan2".into()));
        told && !kernel.interface("lan2").unwrap().0.carrier
    });
    println!(
        "veth: carrier loss noticed {:?} after the command that made it",
        began.elapsed()
    );
    assert_eq!(kernel.fence_status("office"), FenceState::Blocking);
    assert!(
        !net.output("nft", "list set netdev spared lease")
            .contains("expires")
    );
    net.station_ip("link set peer up");
    drive_until(&mut kernel, |kernel, _| {
        kernel.interface("lan2").unwrap().0.carrier
    });
    assert_eq!(kernel.fence_status("office"), FenceState::Blocking);
    let tap = net.tap();
    kernel.grant_lease("office").unwrap();
    assert_eq!(kernel.fence_status("office"), FenceState::Passing);
    drive_for(&mut kernel, Duration::from_millis(50));
    assert!(tap.hears(|frame| frame[12..14] == [8, 6] && frame[28..32] == [10, 0, 0, 1]));
}

#[test]
fn packets_that_wait_for_a_station_without_carrier_leave_as_soon_as_it_is_back() {
    let Some(net) = Net::new() else { return };
    let mut kernel = kernel_on(&net);
    // the kernel alone would ask again after a minute
    let setting = "net/ipv4/neigh/lan2/retrans_time_ms";
    net.router.set(&[(setting, "60000")]).unwrap();
    net.ip("addr add 10.0.0.2/24 dev lan2");
    net.station_ip("addr add 10.0.0.3/24 dev peer");
    let carrier = |kernel: &Kernel| kernel.interface("lan2").unwrap().0.carrier;
    net.station_ip("link set peer down");
    drive_until(&mut kernel, |kernel, _| !carrier(kernel));
    let mut ping = net.router.command("ping");
    ping.args(["-c1", "-W30", "-n", "10.0.0.3"]);
    let mut ping = ping.stdout(std::process::Stdio::null()).spawn().unwrap();
    drive_until(&mut kernel, |_, _| {
        let known = net.output("ip", "neigh show dev lan2");
        known.contains("10.0.0.3 INCOMPLETE")
    });
    net.station_ip("link set peer up");
    drive_until(&mut kernel, |_, _| {
        let ended = ping.try_wait().unwrap();
        ended.is_some_and(|it| it.success())
    });
}

#[test]
fn a_tap_that_loses_carrier_again_and_again_is_noticed_each_time() {
    let Some(net) = Net::new() else { return };
    let tun = std::fs::File::options().write(true).open("/dev/net/tun");
    if let Err(error) = tun {
        return eprintln!("skipped: no taps here: /dev/net/tun: {error}");
    }
    net.ip("tuntap add dev tap0 mode tap");
    net.ip("link set tap0 up");
    let mut kernel = Kernel::open().unwrap();
    kernel.follow("tap0", 0).unwrap();
    drive_for(&mut kernel, Duration::from_millis(50));
    let carrier = |kernel: &Kernel| kernel.interface("tap0").unwrap().0.carrier;
    assert!(!carrier(&kernel));
    let mut slowest = Duration::ZERO;
    // The kernel's event of a second loss within a second comes up to 800 ms late.
    for _ in 0..3 {
        let program = attach("tap0");
        drive_until(&mut kernel, |kernel, _| carrier(kernel));
        drop(program);
        let began = Instant::now();
        drive_until(&mut kernel, |kernel, _| !carrier(kernel));
        slowest = slowest.max(began.elapsed());
    }
    println!("tap: carrier loss noticed after {slowest:?} at worst");
    assert!(
        slowest < Duration::from_millis(300),
        "{slowest:?}: by the late event only"
    );
}

// Opens the other side of a tap: it has carrier as long as the descriptor is open.
fn attach(name: &str) -> std::fs::File {
    const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
        .unwrap();
    // SAFETY: all-zero bytes are a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as libc::c_short;
    use std::os::fd::AsRawFd;
    // SAFETY: the request lives through the call.
    let status = unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF as _, &raw mut request) };
    assert_eq!(status, 0, "{}", std::io::Error::last_os_error());
    file
}

#[test]
fn an_interface_may_be_followed_before_it_exists_and_be_renamed_away() {
    let Some(net) = Net::new() else { return };
    let mut kernel = Kernel::open().unwrap();
    kernel.follow("lan7", VRRP).unwrap();
    let (event, sockets) = kernel.interface("lan7").unwrap();
    assert!(!event.present && sockets.is_empty());
    net.add_link("lan7", "peer7");
    drive_until(&mut kernel, |kernel, _| {
        kernel.interface("lan7").unwrap().0.carrier
    });
    let (event, sockets) = kernel.interface("lan7").unwrap();
    assert_eq!((event.present, event.up, sockets.len()), (true, true, 5));
    net.ip("link set lan7 down");
    net.ip("link set lan7 name lan8");
    drive_until(&mut kernel, |kernel, _| {
        !kernel.interface("lan7").unwrap().0.present
    });
    assert_eq!(kernel.interface("lan7").unwrap().1.len(), 0);
}

#[test]
fn the_nodes_own_addresses_are_told_and_the_virtual_ones_are_not() {
    let Some(net) = Net::new() else { return };
    let mut kernel = kernel_on(&net);
    kernel
        .claim("office", claims(&["10.0.0.1/24"], LONG))
        .unwrap();
    kernel.install("office").unwrap();
    let own = |kernel: &Kernel| {
        let addresses = kernel.interface("lan2").unwrap().0.addresses;
        let texts = addresses
            .iter()
            .map(|(address, prefix)| format!("{address}/{prefix}"));
        texts
            .filter(|text| !text.starts_with("fe80"))
            .collect::<Vec<_>>()
    };
    net.ip("addr add 10.0.0.2/24 dev lan2");
    let events = drive_until(&mut kernel, |kernel, _| own(kernel) == ["10.0.0.2/24"]);
    assert!(events.contains(&KernelEvent::Interface("lan2".into())));
    net.ip("addr del 10.0.0.2/24 dev lan2");
    drive_until(&mut kernel, |kernel, _| own(kernel).is_empty());
}

#[test]
fn events_of_the_kernel_may_be_lost_and_nothing_is_missed() {
    let Some(net) = Net::new() else { return };
    net.ip("addr add 10.0.0.2/24 dev lan2");
    let mut kernel = kernel_on(&net);
    kernel
        .claim("office", claims(&["10.0.0.1/24"], LONG))
        .unwrap();
    kernel.grant_lease("office").unwrap();
    kernel.install("office").unwrap();
    // More events than any buffer holds, while nobody reads.
    let file = format!("/tmp/spared-{}.batch", std::process::id());
    let mut batch = String::new();
    for round in 0..40 {
        let verb = if round % 2 == 0 { "add" } else { "del" };
        for n in 0..250 {
            batch += &format!("addr {verb} 172.16.{n}.1/32 dev lan2\n");
        }
    }
    batch += "addr del 10.0.0.1/24 dev lan2\naddr add 10.0.0.5/24 dev lan2\n";
    std::fs::write(&file, batch).unwrap();
    for _ in 0..3 {
        net.output("ip", &format!("-force -batch {file}"));
    }
    std::fs::remove_file(file).unwrap();
    drive_until(&mut kernel, |kernel, _| {
        kernel.address_status("office")[0].present
    });
    drive_for(&mut kernel, Duration::from_millis(100));
    assert!(kernel.counts().overruns > 0, "no overrun");
    assert!(net.output("ip", "addr show lan2").contains("10.0.0.1/24"));
    let own = kernel.interface("lan2").unwrap().0.addresses;
    let own = own.iter().map(|(address, _)| address.to_string());
    let own: Vec<String> = own.filter(|address| !address.contains(':')).collect();
    assert_eq!(own, ["10.0.0.2", "10.0.0.5"], "not read, or stale");
}

#[test]
fn an_ordinary_user_may_do_all_of_it_inside_a_user_namespace() {
    // This binary is started again, as root of its own user namespace.
    const INSIDE: &str = "SPARED_TEST_INSIDE_USER_NAMESPACE";
    if std::env::var_os(INSIDE).is_some() {
        return inside_user_namespace();
    }
    let binary = std::env::current_exe().unwrap();
    let name = "interfaces::an_ordinary_user_may_do_all_of_it_inside_a_user_namespace";
    let output = std::process::Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .args(["unshare", "-Urn", "--mount"])
        .arg(binary)
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    let refused = ["unshare failed", "setresuid failed", "Permission denied"];
    if refused.iter().any(|words| text.contains(words)) {
        return eprintln!("skipped: no user namespaces for ordinary users here: {text}");
    }
    assert!(output.status.success(), "{text}");
    assert!(text.contains("done inside"), "{text}");
}

fn inside_user_namespace() {
    let ip = |arguments: &str| {
        let status = std::process::Command::new("ip")
            .args(arguments.split(' '))
            .status()
            .unwrap();
        assert!(status.success(), "ip {arguments}");
    };
    ip("link set lo up");
    ip("link add lan2 type veth peer name peer");
    ip("link set peer up");
    ip("link set lan2 up");
    ip("addr add 10.0.0.2/24 dev lan2");
    let mut kernel = Kernel::open().unwrap();
    kernel.remove_leftovers().unwrap();
    kernel.follow("lan2", VRRP).unwrap();
    let mut claims = claims(&["10.0.0.1/24", "fe80::1/64"], LONG);
    claims.routers[1].vmac = true;
    kernel.claim("office", claims).unwrap();
    kernel.grant_lease("office").unwrap();
    let installed = kernel.install("office").unwrap();
    assert!(installed.failures.is_empty(), "{:?}", installed.failures);
    assert_eq!(kernel.fence_status("office"), FenceState::Passing);
    let warnings = drive_for(&mut kernel, Duration::from_millis(100));
    let warned = warnings
        .iter()
        .any(|event| matches!(event, KernelEvent::Warning(_)));
    assert!(!warned, "{warnings:?}");
    kernel.close();
    println!("done inside");
}
