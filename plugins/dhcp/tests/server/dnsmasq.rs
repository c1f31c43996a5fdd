//! Tests the thread with Debian's dnsmasq, on a bus of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use spared_dhcp::codec::Format;
use spared_dhcp::config;
use spared_dhcp::lease::{Change, Client, Key, Kind, Lease};
use spared_dhcp::server::Event;

use crate::fixture::{Fixture, key4, lease4, monotonic_ns, set_of, settings};
use crate::lab::{Lab, Process, wait_for, wait_for_text};
use crate::scratch::Folder;

struct Dnsmasq {
    _bus: Process,
    lab: Lab,
    folder: Folder,
    address: String,
}

impl Dnsmasq {
    /// Starts dnsmasq; `more` are further lines of its configuration.
    fn new(more: &str) -> Option<Self> {
        let programs = [
            "/usr/sbin/dnsmasq",
            "/usr/bin/dbus-daemon",
            "/usr/bin/busybox",
        ];
        let lab = Lab::new(&programs)?;
        let folder = Folder::new("server");
        let address = format!("unix:path={}", folder.path("bus").display());
        let config = format!(
            "port=0\nuser=root\ninterface=srv\nbind-interfaces\ndhcp-range=192.0.2.10,192.0.2.99,10m\n\
             dhcp-range=2001:db8::100,2001:db8::1ff,10m\n\
             dhcp-leasefile={}\npid-file={}\nenable-dbus\nno-ping\n{more}",
            folder.path("leases").display(),
            folder.path("pid").display(),
        );
        fs::write(folder.path("dnsmasq.conf"), config).unwrap();
        Some(Self {
            _bus: bus(&folder, &address),
            lab,
            folder,
            address,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path(name)
    }

    fn start(&self) -> Process {
        let option = format!("--conf-file={}", self.path("dnsmasq.conf").display());
        let words = ["/usr/sbin/dnsmasq", "--keep-in-foreground", &option];
        let environment = [("DBUS_SYSTEM_BUS_ADDRESS", Path::new(&self.address))];
        let process = self.lab.serve(&words, &environment, &self.path("log"));
        wait_for(&self.path("leases"));
        process
    }

    fn settings(&self) -> config::Server {
        let mut settings = settings(Format::Dnsmasq, &self.path("leases"));
        settings.config = self.path("dnsmasq.conf");
        settings.bus = Some(self.address.clone());
        settings
    }
}

/// Waits until its file was left alone long enough: while it runs, missing leases only count then.
fn wait_until_ready(fixture: &Fixture) {
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
}

#[test]
fn dnsmasq_is_heard_served_and_started_with_other_leases() {
    let Some(dnsmasq) = Dnsmasq::new("") else {
        return;
    };
    let server = dnsmasq.start();
    let mut fixture = Fixture::open(dnsmasq.settings());
    wait_until_ready(&fixture);

    let client = dnsmasq.lab.ask(1, &dnsmasq.path("client"));
    let got = fixture.signs_behind(&[]);
    assert!(matches!(got[..], [10..100]), "{got:?}");
    wait_for_text(&dnsmasq.path("client"), "obtained");
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
    let text = fs::read_to_string(dnsmasq.path("leases")).unwrap();
    assert!(
        text.contains("192.0.2.155 h155 ") && !text.contains("192.0.2.151"),
        "{text}"
    );
    assert!(text.contains("2001:db8::101 name 00:03:"), "{text}");
    let (set, broken) = Fixture::open(dnsmasq.settings()).reading();
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
    let server = dnsmasq.start();
    fixture.runs((true, true));
    fixture.quiet();
    // it would crash at 1001
    let more = (940..1010).map(|number| Change::Put(numbered(number)));
    let answer = fixture.apply(more.collect());
    assert_eq!((answer.result, answer.refused.len()), (Ok(()), 60));
    assert!(answer.refused[0].1.contains("might crash"));
    fixture.quiet();
    server.stop();
    let (set, _) = Fixture::open(dnsmasq.settings()).reading();
    assert_eq!(set.leases.len(), 950);
}

#[test]
fn dnsmasq_gets_no_more_leases_than_it_is_configured_to_take() {
    let Some(dnsmasq) = Dnsmasq::new("dhcp-lease-max=20\n") else {
        return;
    };
    let _server = dnsmasq.start();
    let mut fixture = Fixture::open(dnsmasq.settings());
    wait_until_ready(&fixture);
    let put = |host| {
        let mut lease = lease4(key4(host), 500);
        lease.extra.clear();
        Change::Put(lease)
    };
    let answer = fixture.apply((101..=130).map(put).collect());
    assert_eq!((answer.result, answer.refused.len()), (Ok(()), 11));
    fixture.quiet();
    let answer = fixture.apply(vec![put(101)]);
    assert_eq!((answer.result, answer.refused), (Ok(()), vec![]));
    fixture.quiet();
}

#[test]
fn dnsmasq_is_followed_to_a_file_that_its_folder_of_configurations_names() {
    let Some(dnsmasq) = Dnsmasq::new("") else {
        return;
    };
    let (main, inner) = (dnsmasq.path("dnsmasq.conf"), dnsmasq.path("d"));
    fs::create_dir(&inner).unwrap();
    let text = fs::read_to_string(&main).unwrap();
    let line = |leases: &Path| format!("dhcp-leasefile={}\n", leases.display());
    let leases = dnsmasq.path("leases");
    let included = format!("conf-dir={}\n", inner.display());
    fs::write(&main, text.replace(&line(&leases), &included)).unwrap();
    let name = |leases: &Path| fs::write(inner.join("lan.conf"), line(leases)).unwrap();
    name(&leases);
    let server = dnsmasq.start();
    let fixture = Fixture::open(config::Server {
        leases: None,
        ..dnsmasq.settings()
    });
    wait_until_ready(&fixture);
    let moved = dnsmasq.path("moved");
    name(&moved);
    fixture.rest();
    server.stop();
    let server = dnsmasq.start();
    fixture.until(|event| (event == Event::Place(Some(moved.clone()))).then_some(()));
    wait_until_ready(&fixture);
    let client = dnsmasq.lab.ask(1, &dnsmasq.path("client"));
    assert!(matches!(fixture.signs_behind(&[])[..], [10..100]));
    client.stop();
    server.stop();
    fixture.runs((false, false));
}

#[test]
fn a_lease_that_is_over_when_it_comes_does_not_live_in_dnsmasq() {
    let Some(dnsmasq) = Dnsmasq::new("") else {
        return;
    };
    let _server = dnsmasq.start();
    let mut fixture = Fixture::open(dnsmasq.settings());
    wait_until_ready(&fixture);
    let put = |host, left_s: i64| {
        let mut lease = lease4(key4(host), 500);
        lease.extra.clear();
        lease.expires_ns = Some(monotonic_ns() + left_s * 1_000_000_000);
        Change::Put(lease)
    };
    let mut apply = |changes| {
        let answer = fixture.apply(changes);
        assert_eq!((answer.result, answer.refused), (Ok(()), vec![]));
        assert_eq!(answer.before, []);
        fixture.quiet();
        fs::read_to_string(dnsmasq.path("leases")).unwrap()
    };
    // a file that is half as long would be taken for one that is being written
    let others = [151, 152, 153].map(|host| put(host, 500));
    let text = apply([vec![put(150, -100)], others.to_vec()].concat());
    assert!(!text.contains("192.0.2.150"), "{text}");
    assert!(text.contains("192.0.2.151"), "{text}");
    let text = apply(vec![put(151, 0)]);
    assert!(!text.contains("192.0.2.151"), "{text}");
}

/// Lease whose DUID has 10 bytes: among the arguments this length follows its name, as a line feed.
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
