//! Tests how the thread ends, what it may not read, and its cost.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use spared_dhcp::codec::Format;
use spared_dhcp::server::{Command, Event};

use crate::fixture::{Fixture, HEADER4, append, hosts, key4, lease4, row, set_of, settings};
use crate::scratch::Folder;

/// Longest time in which the thread ends.
const END: Duration = Duration::from_millis(200);

fn ends_soon(fixture: Fixture) {
    let began = Instant::now();
    drop(fixture);
    assert!(began.elapsed() < END, "{:?}", began.elapsed());
}

#[test]
fn an_idle_thread_ends_at_once() {
    let folder = Folder::new("server");
    fs::write(folder.path("leases.csv"), HEADER4).unwrap();
    let fixture = Fixture::open(settings(Format::Kea4, &folder.path("leases.csv")));
    fixture.reading();
    ends_soon(fixture);
}

#[test]
fn a_thread_whose_server_does_not_answer_ends_at_once() {
    let folder = Folder::new("server");
    let path = folder.path("leases.csv");
    fs::write(&path, HEADER4).unwrap();
    let socket = folder.path("socket");
    let _deaf = UnixListener::bind(&socket).unwrap();
    let _server = fs::File::options().append(true).open(&path).unwrap();
    let mut settings = settings(Format::Kea4, &path);
    settings.socket = Some(socket);
    let fixture = Fixture::open(settings);
    fixture.runs((true, false));
    let changes = vec![spared_dhcp::lease::Change::Put(lease4(key4(1), 100))];
    fixture
        .server
        .command(Command::Apply { serial: 1, changes });
    std::thread::sleep(Duration::from_millis(100));
    ends_soon(fixture);
}

#[test]
fn a_thread_that_nobody_hears_waits_and_ends_at_once() {
    let folder = Folder::new("server");
    let path = folder.path("leases.csv");
    fs::write(&path, HEADER4).unwrap();
    let fixture = Fixture::open(settings(Format::Kea4, &path));
    for serial in 0..3000 {
        fixture.server.command(Command::Read { serial });
    }
    std::thread::sleep(Duration::from_millis(300));
    ends_soon(fixture);
}

#[test]
fn a_file_that_may_not_be_read_is_a_fault_until_it_may() {
    let folder = Folder::new("server");
    let path = folder.path("leases.csv");
    fs::write(&path, HEADER4.to_owned() + &row(1, 100)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    // of this thread, and so of the one that it starts
    let mut sets = capabilities(None).unwrap();
    sets.effective -= CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
    set_capabilities(None, sets).unwrap();
    let fixture = Fixture::open(settings(Format::Kea4, &path));
    let fault = fixture.until(|event| match event {
        Event::Fault(fault) => fault,
        _ => None,
    });
    assert!(fault.contains("ermission denied"), "{fault}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(hosts(&fixture.reading().0), [1]);
}

#[test]
fn a_thread_sleeps_while_nothing_happens() {
    let folder = Folder::new("server");
    let path = folder.path("leases.csv");
    fs::write(&path, HEADER4).unwrap();
    let mut settings = settings(Format::Kea4, &path);
    settings.name = "sleeper".to_owned();
    let mut fixture = Fixture::open(settings);
    fixture.reading();
    fixture.replace(set_of([lease4(key4(1), 100)])).unwrap();
    append(&path, &row(2, 100));
    fixture.changes();
    std::thread::sleep(Duration::from_millis(700));
    let before = switches("dhcp sleeper");
    std::thread::sleep(Duration::from_millis(1000));
    assert_eq!(switches("dhcp sleeper"), before);
}

/// Number of times that the thread of this name was scheduled out.
fn switches(name: &str) -> String {
    for task in fs::read_dir("/proc/self/task").unwrap() {
        let task = task.unwrap().path();
        let comm = fs::read_to_string(task.join("comm")).unwrap_or_default();
        if comm.trim() == name {
            let status = fs::read_to_string(task.join("status")).unwrap();
            let line = status.lines().find(|line| line.starts_with("voluntary"));
            return line.unwrap().to_owned();
        }
    }
    panic!("no thread {name}");
}
