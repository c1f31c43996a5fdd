//! Notifications to systemd: ready, reloading, stopping, and alive.

use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use spared_message::control::{Answer, Request};

use crate::lab::{Alone, SOON, VRRP};

/// Reads notifications until one contains `wanted`, and returns all that were read.
fn hear(socket: &UnixDatagram, wanted: &str) -> String {
    socket.set_read_timeout(Some(SOON)).unwrap();
    let mut heard = String::new();
    let mut datagram = [0; 4096];
    while !heard.contains(wanted) {
        let length = socket.recv(&mut datagram).unwrap_or_else(|error| {
            panic!("{error}: waited for {wanted}, heard {heard}");
        });
        heard.push_str(&String::from_utf8_lossy(&datagram[..length]));
    }
    heard
}

#[test]
fn systemd_hears_of_start_reload_and_stop() {
    let Some(mut lab) = Alone::new() else { return };
    let notify = lab.path("notify");
    let socket = UnixDatagram::bind(&notify).unwrap();
    lab.enable("vrrp", VRRP);
    lab.set("NOTIFY_SOCKET", notify.to_str().unwrap());
    lab.set("WATCHDOG_USEC", "200000");
    lab.start();
    hear(&socket, "READY=1");
    hear(&socket, "WATCHDOG=1");
    hear(&socket, "STATUS=office: active");
    assert!(matches!(
        lab.ask(&Request::Reload { anyway: false }),
        Answer::Done { .. }
    ));
    let heard = hear(&socket, "READY=1");
    assert!(heard.contains("RELOADING=1\nMONOTONIC_USEC="), "{heard}");
    assert!(lab.stop().success());
    hear(&socket, "STOPPING=1");
}

#[test]
fn levels_are_prefixed_for_the_journal() {
    let Some(mut lab) = Alone::new() else { return };
    lab.write("log", "");
    let log = std::fs::metadata(lab.path("log")).unwrap();
    lab.set("JOURNAL_STREAM", &format!("{}:{}", log.dev(), log.ino()));
    lab.start();
    std::thread::sleep(Duration::from_millis(100));
    assert!(lab.stop().success());
    // If a journal listens, the lines are there, with fields. For the journal, information is a notice (5).
    let listening = std::path::Path::new("/run/systemd/journal/socket").exists();
    assert!(
        listening || lab.log().contains("<5>spared "),
        "{}",
        lab.log()
    );
}

#[test]
fn a_stream_that_is_not_ours_is_no_journal() {
    let Some(mut lab) = Alone::new() else { return };
    lab.set("JOURNAL_STREAM", "1:1");
    lab.start();
    assert!(lab.stop().success());
    let bare = |line: &str| line.starts_with("spared ");
    assert!(lab.log().lines().any(bare), "{}", lab.log());
}
