//! Tests the reports about a server's configuration, and about a server that hangs.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use spared_dhcp::codec::Format;
use spared_dhcp::config;
use spared_dhcp::server::Event;

use crate::fixture::{Fixture, HEADER4, LONG, appear, settings};
use crate::scratch::Folder;

fn conf(leases: &Path, pool: &str) -> String {
    format!(
        r#"{{ "Dhcp4": {{ "lease-database": {{ "type": "memfile", "name": {leases:?} }},
            "subnet4": [ {{ "subnet": "192.0.2.0/24", "pools": [ {{ "pool": "{pool}" }} ] }} ] }} }}"#
    )
}

fn kea(folder: &Folder) -> config::Server {
    let leases = folder.path("leases.csv");
    fs::write(&leases, HEADER4).unwrap();
    config::Server {
        config: folder.path("kea.conf"),
        leases: None,
        ..settings(Format::Kea4, &leases)
    }
}

/// Waits for a matching report about the configuration.
fn until(fixture: &Fixture, fits: impl Fn(Option<&str>, Option<&[String]>) -> bool) {
    let until = std::time::Instant::now() + LONG;
    loop {
        let _ = fixture.next_in(std::time::Duration::from_millis(50));
        let setup = fixture.setup.borrow();
        if fits(setup.0.as_deref(), setup.1.as_deref()) {
            return;
        }
        assert!(std::time::Instant::now() < until, "{setup:?}");
    }
}

#[test]
fn a_configuration_that_changes_breaks_or_goes_is_told() {
    let folder = Folder::new("setup");
    let settings = kea(&folder);
    let (path, leases) = (settings.config.clone(), folder.path("leases.csv"));
    fs::write(&path, conf(&leases, "192.0.2.10-192.0.2.19")).unwrap();
    let fixture = Fixture::open(settings);
    let is = |pool: &str, pools: Option<&[String]>| {
        pools.is_some_and(|all| all == [format!("192.0.2.0/24: {pool}")])
    };
    until(&fixture, |fault, pools| {
        fault.is_none() && is("192.0.2.10-192.0.2.19", pools)
    });
    appear(&path, &conf(&leases, "192.0.2.10-192.0.2.29"));
    until(&fixture, |fault, pools| {
        fault.is_none() && is("192.0.2.10-192.0.2.29", pools)
    });
    appear(&path, "{ no");
    until(&fixture, |fault, pools| {
        fault.is_some_and(|why| why.contains("is not a configuration of Kea")) && pools.is_none()
    });
    fs::remove_file(&path).unwrap();
    until(&fixture, |fault, _| {
        fault.is_some_and(|why| why.starts_with("cannot read"))
    });
    appear(&path, &conf(&leases, "192.0.2.10-192.0.2.19"));
    until(&fixture, |fault, pools| fault.is_none() && pools.is_some());
}

#[test]
fn pools_in_included_files_and_folders_are_told_when_they_change() {
    let (folder, other) = (Folder::new("setup"), Folder::new("included"));
    let mut settings = kea(&folder);
    settings.format = Format::Dnsmasq;
    fs::write(folder.path("leases.csv"), "").unwrap();
    fs::create_dir(other.path("d")).unwrap();
    let main = format!(
        "dhcp-leasefile={}\nconf-dir={}\nconf-file={}\n",
        folder.path("leases.csv").display(),
        other.path("d").display(),
        other.path("one").display(),
    );
    fs::write(other.path("one"), "dhcp-range=1\n").unwrap();
    fs::write(&settings.config, main).unwrap();
    let fixture = Fixture::open(settings);
    let told = |wanted: &[&str]| {
        until(&fixture, |fault, pools| {
            fault.is_none() && pools.is_some_and(|pools| pools == wanted)
        })
    };
    told(&["1"]);
    let next = format!("dhcp-range=1\nconf-file={}\n", folder.path("two").display());
    fs::write(folder.path("two"), "dhcp-range=2\n").unwrap();
    appear(&other.path("one"), &next);
    told(&["1", "2"]);
    fs::write(folder.path("two"), "dhcp-range=3\n").unwrap();
    told(&["1", "3"]);
    fs::write(other.path("d/lan.conf"), "dhcp-range=4\n").unwrap();
    told(&["1", "3", "4"]);
    fs::remove_dir_all(other.path("d")).unwrap();
    until(&fixture, |fault, _| {
        fault.is_some_and(|why| why.starts_with("cannot read"))
    });
    fs::create_dir(other.path("d")).unwrap();
    told(&["1", "3"]);
    fs::write(other.path("d/lan.conf"), "dhcp-range=5\n").unwrap();
    told(&["1", "3", "5"]);
}

#[test]
fn a_change_that_was_not_heard_of_is_told_when_the_server_starts_or_ends() {
    let (folder, other) = (Folder::new("setup"), Folder::new("target"));
    let settings = kea(&folder);
    let (leases, target) = (folder.path("leases.csv"), other.path("kea.conf"));
    let write = |pool: &str| fs::write(&target, conf(&leases, pool)).unwrap();
    write("192.0.2.10-192.0.2.19");
    std::os::unix::fs::symlink(&target, &settings.config).unwrap();
    let fixture = Fixture::open(settings);
    let told = |pool: &str| {
        let wanted = format!("192.0.2.0/24: {pool}");
        until(&fixture, |_, pools| {
            pools.is_some_and(|all| all == [wanted.clone()])
        })
    };
    told("192.0.2.10-192.0.2.19");
    fixture.rest();
    write("192.0.2.10-192.0.2.29");
    let server = fs::File::options().append(true).open(&leases).unwrap();
    told("192.0.2.10-192.0.2.29");
    fixture.rest();
    write("192.0.2.10-192.0.2.39");
    drop(server);
    told("192.0.2.10-192.0.2.39");
}

#[test]
fn another_lease_file_than_that_of_keas_configuration_is_told() {
    let folder = Folder::new("setup");
    let mut settings = kea(&folder);
    settings.leases = Some(folder.path("leases.csv"));
    fs::write(
        &settings.config,
        conf(Path::new("/other.csv"), "192.0.2.8/29"),
    )
    .unwrap();
    let fixture = Fixture::open(settings);
    until(&fixture, |fault, _| {
        fault.is_some_and(|why| {
            why.starts_with("its leases are in /other.csv, and dhcp.toml says /")
        })
    });
}

#[test]
fn a_configuration_that_was_never_there_is_no_fault_if_the_lease_file_is_given() {
    let folder = Folder::new("setup");
    let mut settings = kea(&folder);
    settings.leases = Some(folder.path("leases.csv"));
    let fixture = Fixture::open(settings);
    fixture.reading();
    assert_eq!(*fixture.setup.borrow(), (None, None));
}

/// A program with the name of a server, which has its file open.
struct Posing(Child);

impl Posing {
    fn start(folder: &Folder, name: &str, words: &[&Path], leases: &Path) -> Self {
        let program = folder.path(name);
        fs::copy("/usr/bin/sleep", &program).unwrap();
        let file = fs::File::options().append(true).open(leases).unwrap();
        let mut command = Command::new(program);
        command.arg("1000").args(words).stdout(Stdio::from(file));
        Self(command.spawn().unwrap())
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }
}

impl Drop for Posing {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_process_that_is_stopped_is_told_and_that_it_goes_on() {
    let folder = Folder::new("hang");
    let mut settings = kea(&folder);
    settings.format = Format::Dhcpd4;
    // sleep accepts any number of times, of which this is one
    settings.config = "2000".into();
    let leases = folder.path("leases.csv");
    fs::write(&leases, "").unwrap();
    settings.leases = Some(leases.clone());
    let server = Posing::start(&folder, "dhcpd", &[&settings.config], &leases);
    let fixture = Fixture::open(settings);
    fixture.runs((true, false));
    server.signal(Signal::STOP);
    let pid = server.0.id();
    let wanted = format!("its process {pid} is stopped: kill -CONT {pid}, or restart it");
    let why = fixture.until(|event| match event {
        Event::Hangs(why) => Some(why),
        _ => None,
    });
    assert_eq!(why, Some(wanted));
    server.signal(Signal::CONT);
    let why = fixture.until(|event| match event {
        Event::Hangs(why) => Some(why),
        _ => None,
    });
    assert_eq!(why, None);
}
