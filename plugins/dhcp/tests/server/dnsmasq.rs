//! dnsmasq of Debian, on a bus of its own.

use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use spared_dhcp::codec::Format;
use spared_dhcp::lease::{Change, Client, Key, Kind, Lease};
use spared_dhcp::server::Event;

use crate::fixture::{Fixture, key4, lease4, set_of, settings};
use crate::lab::{Lab, Process, wait_for, wait_for_text};
use crate::scratch::Folder;

const NAME: &str = "uk.org.thekelleys.dnsmasq";

#[test]
fn dnsmasq_is_heard_served_and_started_with_other_leases() {
    let programs = [
        "/usr/sbin/dnsmasq",
        "/usr/bin/dbus-daemon",
        "/usr/bin/busybox",
    ];
    let Some(lab) = Lab::new(&programs) else {
        return;
    };
    let folder = Folder::new("server");
    let leases = folder.path("leases");
    let address = format!("unix:path={}", folder.path("bus").display());
    let _bus = bus(&folder, &address);
    let config = format!(
        "port=0\nuser=root\ninterface=srv\nbind-interfaces\ndhcp-range=192.0.2.10,192.0.2.99,10m\n\
         dhcp-range=2001:db8::100,2001:db8::1ff,10m\n\
         dhcp-leasefile={}\npid-file={}\nenable-dbus\nno-ping\n",
        leases.display(),
        folder.path("pid").display(),
    );
    fs::write(folder.path("dnsmasq.conf"), config).unwrap();
    let option = format!("--conf-file={}", folder.path("dnsmasq.conf").display());
    let words = ["/usr/sbin/dnsmasq", "--keep-in-foreground", &option];
    let environment = [("DBUS_SYSTEM_BUS_ADDRESS", Path::new(&address))];
    let start = || lab.serve(&words, &environment, &folder.path("log"));

    let server = start();
    wait_for(&leases);
    let mut settings = settings(Format::Dnsmasq, &leases);
    settings.bus = Some(address.clone());
    settings.bus_name = Some(NAME.to_owned());
    let mut fixture = Fixture::open(settings.clone());
    // its file is believed only after a while, as long as it runs
    let (mut is_read, mut is_live) = (false, false);
    fixture.until(|event| {
        is_read |= matches!(event, Event::Reading { .. });
        is_live |= event
            == Event::Runs {
                runs: true,
                live: true,
            };
        (is_read && is_live).then_some(())
    });

    let client = lab.ask(1, &folder.path("client"));
    let got = fixture.signs_behind(&[]);
    assert!(matches!(got[..], [10..100]), "{got:?}");
    wait_for_text(&folder.path("client"), "obtained");
    fixture.rest();

    let put = |host| {
        let mut lease = lease4(key4(host), 500);
        lease.extra.clear();
        lease
    };
    let mut changes: Vec<_> = (150..=159).map(|host| Change::Put(put(host))).collect();
    changes.push(Change::Gone {
        key: key4(151),
        committed_ns: 0,
    });
    changes.push(Change::Gone {
        key: key4(77),
        committed_ns: 0,
    });
    changes.push(Change::Put(lease6()));
    let answer = fixture.apply(changes);
    assert_eq!((answer.result, answer.refused), (Ok(()), vec![]));
    fixture.quiet();
    let text = fs::read_to_string(&leases).unwrap();
    assert!(
        text.contains("192.0.2.155 h155 ") && !text.contains("192.0.2.151"),
        "{text}"
    );
    assert!(text.contains("2001:db8::101 name 00:03:"), "{text}");
    let (set, broken) = Fixture::open(settings.clone()).reading();
    assert_eq!(broken, None);
    assert_eq!(set.leases[&lease6().key].hostname, b"name");

    client.signal(Signal::USR2);
    assert_eq!(fixture.signs_behind(&got), [-got[0]]);
    client.stop();
    server.stop();
    fixture.runs((false, false));
    let numbered = |number: u16| {
        let [high, low] = number.to_be_bytes();
        let key = Key {
            address: [10, 0, high, low].into(),
            ..key4(0)
        };
        let mut lease = lease4(key, 500);
        lease.extra.clear();
        lease.hostname.clear();
        lease
    };
    fixture.replace(set_of((0..940).map(numbered))).unwrap();
    let server = start();
    fixture.runs((true, true));
    fixture.quiet();
    // at 1001 it would crash
    let more = (940..1010).map(|number| Change::Put(numbered(number)));
    let answer = fixture.apply(more.collect());
    assert_eq!((answer.result, answer.refused.len()), (Ok(()), 60));
    assert!(answer.refused[0].1.contains("might crash"));
    fixture.quiet();
    server.stop();
    assert_eq!(Fixture::open(settings).reading().0.leases.len(), 950);
}

/// What follows its name among the arguments is a line feed, the length of its DUID.
fn lease6() -> Lease {
    Lease {
        key: Key {
            kind: Kind::Na,
            address: [0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x101].into(),
            prefix: 128,
        },
        client: Client {
            id: vec![0, 3, 0, 1, 2, 0, 0, 0, 0, 1],
            iaid: 7,
            ..Client::default()
        },
        hostname: b"name".to_vec(),
        extra: std::collections::BTreeMap::new(),
        ..lease4(key4(1), 500)
    }
}

fn bus(folder: &Folder, address: &str) -> Process {
    let config = format!(
        "<busconfig><type>system</type><listen>{address}</listen><auth>EXTERNAL</auth>\
         <policy context=\"default\"><allow user=\"*\"/><allow own=\"*\"/>\
         <allow send_type=\"method_call\"/><allow send_type=\"method_return\"/>\
         <allow send_type=\"error\"/><allow receive_type=\"method_call\"/>\
         <allow receive_type=\"method_return\"/>\
         <allow receive_type=\"error\"/><allow receive_type=\"signal\"/></policy></busconfig>"
    );
    fs::write(folder.path("bus.conf"), config).unwrap();
    let mut command = Command::new("/usr/bin/dbus-daemon");
    let option = format!("--config-file={}", folder.path("bus.conf").display());
    command.args(["--nofork", "--nopidfile", &option]);
    let bus = Process::spawn(command, &[], &folder.path("bus.log"));
    wait_for(&folder.path("bus"));
    bus
}
