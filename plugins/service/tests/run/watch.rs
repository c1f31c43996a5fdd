// SPDX-License-Identifier: MIT OR Apache-2.0
//! A message bus that reports changes, falls silent, and goes away.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use spared_service::job::{Manager, Service, Status};
use spared_service::run::JobsEvent;

use crate::bench::Bench;

/// The bus's end of a connection.
struct Server {
    listener: UnixListener,
    stream: Option<UnixStream>,
}

fn message(kind: u8, code: u8, sort: u8, value: &[u8]) -> Vec<u8> {
    let fields = [&[code, 1, sort, 0], value].concat();
    let length = u32::try_from(fields.len()).expect("short").to_le_bytes();
    let mut bytes = [
        &[b'l', kind, 1, 1, 0, 0, 0, 0, 9, 0, 0, 0],
        &length[..],
        &fields,
    ]
    .concat();
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

fn reply(serial: u32) -> Vec<u8> {
    message(2, 5, b'u', &serial.to_le_bytes())
}

impl Server {
    fn new(bench: &Bench) -> Self {
        let path = bench.folder.join("root/run/dbus/system_bus_socket");
        fs::remove_dir_all(&path).expect("our own folder");
        Self {
            listener: UnixListener::bind(path).expect("our own folder"),
            stream: None,
        }
    }

    /// Accepts the plugin, as a bus and systemd do.
    fn welcome(&mut self, bench: &mut Bench) {
        let (stream, _) = self.listener.accept().expect("a connection");
        self.stream = Some(stream);
        self.hear(bench, "AUTH EXTERNAL ");
        self.say(b"OK 0123456789abcdef\r\n");
        self.hear(bench, "Subscribe");
        self.say(&(1..=4).flat_map(reply).collect::<Vec<u8>>());
    }

    fn hear(&mut self, bench: &mut Bench, word: &str) {
        let stream = self.stream.as_mut().expect("a connection");
        stream.set_nonblocking(true).expect("a socket");
        let mut heard = Vec::new();
        for _ in 0..2000 {
            let mut bytes = [0; 4096];
            let length = stream.read(&mut bytes).unwrap_or(0);
            heard.extend(&bytes[..length]);
            if String::from_utf8_lossy(&heard).contains(word) {
                return;
            }
            bench.round();
        }
        panic!("no {word:?} in {:?}", String::from_utf8_lossy(&heard));
    }

    fn say(&mut self, bytes: &[u8]) {
        let stream = self.stream.as_mut().expect("a connection");
        stream.write_all(bytes).expect("a reader");
    }

    fn signal(&mut self, unit: &str) {
        let path = format!("/org/freedesktop/systemd1/unit/{unit}\0");
        let length = u32::try_from(path.len() - 1).expect("short").to_le_bytes();
        self.say(&message(
            4,
            1,
            b'o',
            &[&length[..], path.as_bytes()].concat(),
        ));
    }
}

/// Bench in which the unit web runs and was queried, and systemd reports changes.
fn watched(name: &str) -> Option<(Bench, Server)> {
    let mut bench = Bench::new(name, "FOLDER/root")?;
    bench.script(
        "bin/systemctl",
        "echo Id=web.service; echo Names=web.service; echo LoadState=loaded; echo ActiveState=active\n\
         echo 'ExecStart={ path=/usr/sbin/web ; argv[]=/usr/sbin/web ; ignore_errors=no ; }'",
    );
    let mut server = Server::new(&bench);
    let web = Service::Unit {
        manager: Manager::Systemd,
        unit: "web".to_owned(),
    };
    assert_eq!(bench.observe(&[web]), [Status::Running]);
    bench.jobs.watch(true);
    server.welcome(&mut bench);
    assert_eq!(bench.next(), JobsEvent::Watched(Ok(())));
    Some((bench, server))
}

fn no_signals(why: &str) -> JobsEvent {
    JobsEvent::Watched(Err(format!("message bus: {why}")))
}

fn quiet(bench: &mut Bench) {
    for _ in 0..30 {
        bench.round();
        assert_eq!(bench.jobs.poll_event(), None);
    }
}

#[test]
fn a_change_is_told_of_units_that_systemd_was_asked_about() {
    let Some((mut bench, mut server)) = watched("told") else {
        return;
    };
    server.signal("other_2eservice");
    quiet(&mut bench);
    server.signal("web_2eservice");
    assert_eq!(bench.next(), JobsEvent::Changed);
    // it may start a queried unit, and systemd has not named it while it was not loaded
    server.signal("door_2esocket");
    assert_eq!(bench.next(), JobsEvent::Changed);
    server.signal("door_2esocket");
    quiet(&mut bench);
    bench.jobs.watch(true);
    server.hear(&mut bench, "Ping");
    server.say(&reply(5));
    quiet(&mut bench);
    assert_eq!(bench.jobs.next_timeout(), None, "it was answered");
}

#[test]
fn a_unit_that_is_asked_about_for_the_first_time_is_looked_at_twice() {
    let Some((mut bench, _server)) = watched("first") else {
        return;
    };
    bench.script(
        "bin/systemctl",
        "echo Id=door.service; echo Names=door.service; echo LoadState=loaded; echo ActiveState=active",
    );
    let door = Service::Unit {
        manager: Manager::Systemd,
        unit: "door".to_owned(),
    };
    // a change before the answer was not reported
    assert_eq!(
        bench.observe(std::slice::from_ref(&door)),
        [Status::Running]
    );
    assert_eq!(bench.next(), JobsEvent::Changed);
    assert_eq!(bench.observe(&[door]), [Status::Running]);
    quiet(&mut bench);
}

#[test]
fn files_of_units_and_their_programs_are_looked_at_with_each_poll() {
    let Some((mut bench, mut server)) = watched("made-of") else {
        return;
    };
    let mut serial = 4;
    let mut poll = |bench: &mut Bench| {
        serial += 1;
        bench.jobs.watch(true);
        server.hear(bench, "Ping");
        server.say(&reply(serial));
        for _ in 0..10 {
            bench.round();
        }
        bench.jobs.poll_event()
    };
    assert_eq!(poll(&mut bench), None);
    let units = bench.folder.join("root/etc/systemd/system");
    fs::create_dir_all(&units).expect("our own folder");
    std::os::unix::fs::symlink("/dev/null", units.join("web.service")).expect("our own folder");
    assert_eq!(poll(&mut bench), Some(JobsEvent::Changed), "masked by hand");
    assert_eq!(poll(&mut bench), None);
    let programs = bench.folder.join("root/usr/sbin");
    fs::create_dir_all(&programs).expect("our own folder");
    fs::write(programs.join("web"), "").expect("our own folder");
    assert_eq!(poll(&mut bench), Some(JobsEvent::Changed), "installed");
    fs::remove_file(programs.join("web")).expect("our own folder");
    assert_eq!(poll(&mut bench), Some(JobsEvent::Changed), "removed");
}

#[test]
fn a_bus_that_does_not_answer_or_goes_away_tells_no_longer_and_is_tried_again() {
    let Some((mut bench, server)) = watched("silent") else {
        return;
    };
    // it would not have reported a change either
    bench.watched.pace.set(20);
    bench.jobs.watch(true);
    assert_eq!(bench.next(), no_signals("it does not answer"));
    server.listener.set_nonblocking(true).expect("a socket");
    bench.jobs.watch(true);
    quiet(&mut bench);
    assert!(server.listener.accept().is_err(), "within a minute");
    bench.watched.pace.set(2000);
    std::thread::sleep(Duration::from_millis(50));
    bench.jobs.watch(true);
    assert!(server.listener.accept().is_ok(), "a minute later");
}

#[test]
fn a_bus_that_closes_the_connection_tells_no_longer() {
    let Some((mut bench, mut server)) = watched("closed") else {
        return;
    };
    server.stream = None;
    assert_eq!(bench.next(), no_signals("it has closed the connection"));
    bench.jobs.watch(true);
    quiet(&mut bench);
}

#[test]
fn where_there_is_no_bus_it_is_told_why_and_no_more() {
    let Some(mut bench) = Bench::new("no-bus", "FOLDER/root") else {
        return;
    };
    let socket = bench.folder.join("root/run/dbus/system_bus_socket");
    fs::remove_dir_all(socket).expect("our own folder");
    bench.jobs.watch(true);
    let why = "No such file or directory (os error 2)";
    assert_eq!(bench.next(), no_signals(why));
    bench.jobs.watch(true);
    quiet(&mut bench);
    assert_eq!(bench.jobs.next_timeout(), None);
}
