//! Tests the thread with Debian's ISC dhcpd.

use std::fs;

use rustix::process::Signal;
use spared_dhcp::codec::Format;
use spared_dhcp::lease::{Change, State};
use spared_dhcp::server::Event;

use crate::fixture::{Fixture, hosts, key4, lease4, set_of, settings, signs};
use crate::lab::{Lab, wait_for_text};
use crate::scratch::Folder;

const CONFIG: &str = "
    default-lease-time 600;
    max-lease-time 600;
    subnet 192.0.2.0 netmask 255.255.255.0 { range 192.0.2.10 192.0.2.99; }
";

#[test]
fn dhcpd4_is_heard_and_started_with_other_leases() {
    let Some(lab) = Lab::new(&["/usr/sbin/dhcpd", "/usr/bin/busybox"]) else {
        return;
    };
    let folder = Folder::new("server");
    let (config, leases) = (folder.path("dhcpd.conf"), folder.path("dhcpd.leases"));
    fs::write(&config, CONFIG).unwrap();
    fs::write(&leases, "").unwrap();
    let words = [
        "/usr/sbin/dhcpd",
        "-4",
        "-f",
        "--no-pid",
        "-cf",
        config.to_str().unwrap(),
        "-lf",
        leases.to_str().unwrap(),
        "srv",
    ];
    let start = || lab.serve(&words, &[], &folder.path("log"));
    let mut fixture = Fixture::open(settings(Format::Dhcpd4, &leases));
    fixture.runs((false, false));
    let server = start();
    fixture.runs((true, false));

    let client = lab.ask(1, &folder.path("client"));
    let got = signs(&fixture.changes());
    assert!(matches!(got[..], [10..100, ..]), "{got:?}");
    wait_for_text(&folder.path("client"), "obtained");
    client.signal(Signal::USR2);
    // after repeated requests that were not answered in time
    let is_free = |change: &Change| match change {
        Change::Put(lease) => lease.state == State::Free,
        Change::Gone { .. } => true,
    };
    fixture.until(|event| match event {
        Event::Changes(changes) => changes.last().is_some_and(is_free).then_some(()),
        _ => None,
    });
    client.stop();

    server.stop();
    fixture.runs((false, false));
    let mut lease = lease4(key4(50), 500);
    lease.extra.clear();
    fixture.replace(set_of([lease])).unwrap();
    fixture.quiet();
    let server = start();
    // it rewrites its file when it starts
    while hosts(&fixture.reading().0) != [50] {}
    server.stop();
    fixture.runs((false, false));
}
