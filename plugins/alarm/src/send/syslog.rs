//! Sends an alarm as a message of syslog (RFC 5424).
//!
//! ```text
//! <28>1 2026-11-29T15:00:00.123Z r1 spared 4711 SP-0401 [finding@32473 event="begin" ...] BOM warning: ...
//! PRI VERSION TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA MSG
//! ```

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;

use crate::config::{Syslog, SyslogServer};
use crate::notification::{Event, Notification, one_line};

/// Maximum length in bytes: RFC 5424 has receivers take 2048.
const LENGTH_MAX: usize = 2048;

/// Sends one datagram. Neither socket blocks for longer than the kernel has room.
pub fn send(syslog: &Syslog, notification: &Notification) -> Result<(), String> {
    let message = message(syslog.facility, std::process::id(), notification);
    let sent = match &syslog.to {
        SyslogServer::Local(path) => UnixDatagram::unbound().and_then(|socket| {
            socket.set_nonblocking(true)?;
            socket.send_to(&message, path)
        }),
        SyslogServer::Udp(address) => send_udp(*address, &message),
    };
    let to = match &syslog.to {
        SyslogServer::Local(path) => path.display().to_string(),
        SyslogServer::Udp(address) => address.to_string(),
    };
    sent.map(drop).map_err(|error| format!("{to}: {error}"))
}

fn send_udp(address: SocketAddr, message: &[u8]) -> io::Result<usize> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.set_nonblocking(true)?;
    socket.connect(address)?;
    socket.send(message)
}

fn message(facility: u8, process: u32, notification: &Notification) -> Vec<u8> {
    let key = &notification.key;
    let severity = match notification.event {
        Event::Begin | Event::Reminder => notification.severity().syslog(),
        Event::End => 5,
        Event::Test => 6,
    };
    let priority = u32::from(facility) * 8 + u32::from(severity);
    let at = match notification.at() {
        it if it.is_empty() => "-".to_owned(),
        it => it,
    };
    let (host, id) = (word(&notification.sender, 255), word(&key.id, 32));
    let values = [
        ("event", notification.event.word()),
        ("severity", notification.severity().word()),
        ("node", &key.node),
        ("thing", &key.thing),
        ("since", &notification.texts.since),
    ];
    let values = values.map(|(name, value)| format!(" {name}=\"{}\"", escaped(value)));
    let values = values.concat();
    let todo = match notification.event {
        Event::End => String::new(),
        _ => format!(". {}", one_line(&notification.texts.todo)),
    };
    let text = format!(
        "<{priority}>1 {at} {host} spared {process} {id} [finding@32473{values}] \u{feff}{}{todo}",
        notification.subject()
    );
    cut(text, LENGTH_MAX).into_bytes()
}

/// Printable ASCII without blanks, as the header has it.
fn word(text: &str, most: usize) -> String {
    let word: String = text
        .chars()
        .filter(char::is_ascii_graphic)
        .take(most)
        .collect();
    if word.is_empty() {
        "-".to_owned()
    } else {
        word
    }
}

/// Value of structured data (RFC 5424, section 6.3.3).
fn escaped(value: &str) -> String {
    let mut escaped = String::new();
    for letter in one_line(value).chars() {
        if matches!(letter, '"' | '\\' | ']') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        let end = (0..=most).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or_default());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notification::tests::sample;

    fn notification(event: Event) -> Notification {
        let mut notification = sample(event);
        notification.key.thing = "a \"b]\\".to_owned();
        notification
    }

    #[test]
    fn golden_message() {
        let text = message(3, 4711, &notification(Event::Begin));
        assert_eq!(
            String::from_utf8_lossy(&text),
            "<28>1 2026-11-29T16:00:00.123Z r2 spared 4711 SP-0401 [finding@32473 event=\"begin\" severity=\"warning\" \
             node=\"r1\" thing=\"a \\\"b\\]\\\\\" since=\"2026-11-29 15:00:00\"] \u{feff}warning: r1: check \"disk\" \
             fails (SP-0401). See `sparectl health`."
        );
    }

    #[test]
    fn the_end_is_a_notice_without_a_remedy() {
        let text = message(16, 1, &notification(Event::End));
        let text = String::from_utf8_lossy(&text);
        assert!(text.starts_with("<133>1 "), "{text}");
        assert!(
            text.ends_with("over: r1: check \"disk\" fails (SP-0401)"),
            "{text}"
        );
    }

    #[test]
    fn a_long_message_is_cut_between_letters() {
        let mut long = notification(Event::Begin);
        long.texts.todo = "\u{e4}".repeat(3000);
        let text = message(3, 1, &long);
        assert!((LENGTH_MAX - 1..=LENGTH_MAX).contains(&text.len()));
        assert!(String::from_utf8(text).is_ok());
    }
}
