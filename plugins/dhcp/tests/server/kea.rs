//! Tests the thread with Debian's Kea, whose file is cleaned every second.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use spared_dhcp::codec::Format;
use spared_dhcp::config;
use spared_dhcp::lease::{Change, Client, Key, Kind, Lease, Set};
use spared_dhcp::server::{Command, Event};

use crate::fixture::{Fixture, hosts, key4, lease4, monotonic_ns, set_of, settings};
use crate::lab::{Lab, Process, kea, wait_for, wait_for_text};
use crate::scratch::Folder;

const HOOK: &str = "/usr/lib/x86_64-linux-gnu/kea/hooks/libdhcp_lease_cmds.so";

struct Kea {
    lab: Lab,
    folder: Folder,
    family: u8,
}

impl Kea {
    fn new(family: u8, subnet: &str) -> Option<Self> {
        let program = format!("/usr/sbin/kea-dhcp{family}");
        let lab = Lab::new(&[&program, HOOK, "/usr/bin/busybox"])?;
        let kea = Self {
            lab,
            folder: Folder::new("server"),
            family,
        };
        only_ours(&kea.folder());
        let folder = kea.folder();
        let folder = folder.display();
        let text = format!(
            r#"{{ "Dhcp{family}": {{
                "interfaces-config": {{ "interfaces": ["srv"] }},
                {}
                "lease-database": {{ "type": "memfile", "name": "{folder}/leases.csv", "lfc-interval": 1 }},
                "control-socket": {{ "socket-type": "unix", "socket-name": "{folder}/socket" }},
                "hooks-libraries": [{{ "library": "{HOOK}" }}],
                "valid-lifetime": 600,
                "subnet{family}": [{{ "id": 1, "interface": "srv", {subnet} }}]
            }} }}"#,
            if family == 6 {
                format!(r#""data-directory": "{folder}","#)
            } else {
                String::new()
            },
        );
        fs::write(kea.path("kea.conf"), text).unwrap();
        Some(kea)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path(name)
    }

    /// Returns the folder without a final slash, as Kea compares it.
    fn folder(&self) -> PathBuf {
        self.folder.path("").components().collect()
    }

    fn start(&self) -> Process {
        let _ = fs::remove_file(self.path("socket"));
        let (program, config) = (
            format!("/usr/sbin/kea-dhcp{}", self.family),
            self.path("kea.conf"),
        );
        let words = [&program, "-c", config.to_str().unwrap()];
        let folder = self.folder();
        // Kea 2.6.3 accepts no other folders for its leases and its socket
        let environment = [
            ("KEA_PIDFILE_DIR", folder.as_path()),
            ("KEA_LOCKFILE_DIR", folder.as_path()),
            ("KEA_DHCP_DATA_DIR", folder.as_path()),
            ("KEA_CONTROL_SOCKET_DIR", folder.as_path()),
        ];
        let process = self.lab.serve(&words, &environment, &self.path("log"));
        wait_for(&self.path("socket"));
        process
    }

    fn settings(&self) -> config::Server {
        let format = if self.family == 4 {
            Format::Kea4
        } else {
            Format::Kea6
        };
        let mut settings = settings(format, &self.path("leases.csv"));
        settings.socket = Some(self.path("socket"));
        settings.server_id = (self.family == 6).then(|| self.path("kea-dhcp6-serverid"));
        settings
    }

    fn ask(&self, command: &str) -> String {
        kea(&self.path("socket"), command)
    }
}

/// Makes the folder private: Kea only creates a socket in such a folder.
fn only_ours(folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o750)).unwrap();
}

#[test]
fn kea4_is_heard_served_silenced_and_started_with_other_leases() {
    let subnet = r#""subnet": "192.0.2.0/24", "pools": [{ "pool": "192.0.2.10 - 192.0.2.99" }]"#;
    let Some(kea) = Kea::new(4, subnet) else {
        return;
    };
    let server = kea.start();
    let mut fixture = Fixture::open(kea.settings());
    fixture.reading();
    fixture.runs((true, true));

    let client = kea.lab.ask(1, &kea.path("client"));
    let got = fixture.signs_behind(&[]);
    assert!(matches!(got[..], [10..100]), "{got:?}");
    wait_for_text(&kea.path("client"), "obtained");
    fixture.rest();

    let mut other_subnet = lease4(key4(160), 100);
    other_subnet
        .extra
        .insert("subnet_id".to_owned(), "9".to_owned());
    let gone = |host| Change::Gone {
        key: key4(host),
        committed_ns: 0,
    };
    let mut changes: Vec<_> = (150..=159)
        .map(|host| Change::Put(lease4(key4(host), 500)))
        .collect();
    let mut odd = lease4(key4(161), 500);
    odd.hostname = b"h\n161".to_vec();
    changes.extend([
        Change::Put(other_subnet),
        Change::Put(odd),
        gone(151),
        gone(77),
    ]);
    let answer = fixture.apply(changes);
    assert_eq!(answer.result, Ok(()));
    let refused: Vec<Key> = answer.refused.iter().map(|(key, _)| *key).collect();
    assert_eq!(refused, [key4(160)]);
    assert!(
        answer.refused[0].1.contains("subnet"),
        "{:?}",
        answer.refused
    );
    assert_eq!(answer.before, []);
    fixture.quiet();
    let get = r#"{ "command": "lease4-get", "arguments": { "ip-address": "192.0.2.155" } }"#;
    assert!(
        kea.ask(get).contains(r#""hostname": "h155""#),
        "{}",
        kea.ask(get)
    );
    let set = Fixture::open(kea.settings()).reading().0;
    assert_eq!(set.leases[&key4(161)].hostname, b"");

    client.signal(Signal::USR1);
    assert_eq!(fixture.signs_behind(&[]), got);
    client.signal(Signal::USR2);
    assert_eq!(fixture.signs_behind(&got), [-got[0]]);
    client.stop();

    let silence = |silent| move |serial| Command::Silence { serial, silent };
    fixture.ask(silence(true)).result.unwrap();
    let client = kea.lab.ask(2, &kea.path("client"));
    fixture.quiet();
    fixture.quiet();
    fixture.insist(silence(false));
    let got = fixture.signs_behind(&[]);
    assert!(matches!(got[..], [10..100]), "{got:?}");
    client.stop();

    server.stop();
    fixture.runs((false, false));
    let set = set_of([lease4(key4(200), 500)]);
    fixture.insist(replacement(&set));
    let server = kea.start();
    fixture.runs((true, true));
    assert!(
        kea.ask(r#"{ "command": "lease4-get-all" }"#)
            .contains("1 IPv4 lease(s) found")
    );
    fixture.quiet();
    server.stop();
    assert_eq!(hosts(&Fixture::open(kea.settings()).reading().0), [200]);
}

#[test]
fn a_lease_that_is_over_when_it_comes_does_not_live_in_kea() {
    let subnet = r#""subnet": "192.0.2.0/24", "pools": [{ "pool": "192.0.2.10 - 192.0.2.99" }]"#;
    let Some(kea) = Kea::new(4, subnet) else {
        return;
    };
    let _server = kea.start();
    let mut fixture = Fixture::open(kea.settings());
    fixture.runs((true, true));
    let mut lease = lease4(key4(150), 500);
    lease.expires_ns = Some(monotonic_ns() - 100_000_000_000);
    let answer = fixture.apply(vec![Change::Put(lease)]);
    assert_eq!((answer.result, answer.refused), (Ok(()), vec![]));
    let set = Fixture::open(kea.settings()).reading().0;
    let ends_ns = set.leases.get(&key4(150)).map(|it| it.expires_ns);
    assert!(
        ends_ns.is_some_and(|it| it < Some(monotonic_ns())),
        "{set:?}"
    );
}

fn replacement(set: &Set) -> impl Fn(u64) -> Command {
    |serial| Command::Replace {
        serial,
        set: set.clone(),
    }
}

fn lease6(host: u16) -> Lease {
    let key = Key {
        kind: Kind::Na,
        address: [0x2001, 0xdb8, 0, 0, 0, 0, 1, host].into(),
        prefix: 128,
    };
    let number = host.to_be_bytes();
    Lease {
        key,
        client: Client {
            hardware_type: 1,
            hardware: vec![2, 0, 0, 0, number[0], number[1]],
            id: vec![0, 3, 0, 1, 2, 0, 0, 0, number[0], number[1]],
            iaid: host.into(),
        },
        preferred_s: 100,
        ..lease4(key4(1), 500)
    }
}

#[test]
fn kea6_takes_leases_in_bulk_and_another_identity() {
    let subnet =
        r#""subnet": "2001:db8::/64", "pools": [{ "pool": "2001:db8::100 - 2001:db8::1ff" }]"#;
    let Some(kea) = Kea::new(6, subnet) else {
        return;
    };
    let server = kea.start();
    let mut fixture = Fixture::open(kea.settings());
    let first = fixture.reading().0.identity;
    fixture.runs((true, true));
    let first = first.unwrap_or_else(|| {
        fixture.until(|event| match event {
            Event::Identity(identity) => Some(identity),
            _ => None,
        })
    });

    let mut changes: Vec<_> = (1..=600).map(|host| Change::Put(lease6(host))).collect();
    let mut other_subnet = lease6(601);
    other_subnet
        .extra
        .insert("subnet_id".to_owned(), "9".to_owned());
    changes.push(Change::Put(other_subnet));
    changes.push(Change::Gone {
        key: lease6(700).key,
        committed_ns: 0,
    });
    let mut prefix = lease6(602);
    prefix.key = Key {
        kind: Kind::Pd,
        address: [0x2001, 0xdb8, 1, 0, 0, 0, 0, 0].into(),
        prefix: 56,
    };
    let prefix_key = prefix.key;
    changes.push(Change::Put(prefix));
    let answer = fixture.apply(changes);
    assert_eq!(answer.result, Ok(()));
    let refused: Vec<Key> = answer.refused.iter().map(|(key, _)| *key).collect();
    assert_eq!(refused, [lease6(601).key], "{:?}", answer.refused);
    fixture.quiet();
    let answer = fixture.apply(vec![Change::Gone {
        key: prefix_key,
        committed_ns: 0,
    }]);
    assert!(answer.refused.is_empty() && answer.result.is_ok());
    fixture.quiet();
    assert!(
        kea.ask(r#"{ "command": "lease6-get-all" }"#)
            .contains("600 IPv6 lease(s) found")
    );

    server.stop();
    fixture.runs((false, false));
    let mut identity = first.clone();
    *identity.last_mut().unwrap() ^= 1;
    let set = Set {
        identity: Some(identity.clone()),
        ..set_of([lease6(9)])
    };
    fixture.insist(replacement(&set));
    fixture.quiet();
    let server = kea.start();
    fixture.runs((true, true));
    fixture.quiet();
    server.stop();
    let (set, broken) = Fixture::open(kea.settings()).reading();
    assert_eq!(
        (set.leases.len(), set.identity, broken),
        (1, Some(identity), None)
    );
}
