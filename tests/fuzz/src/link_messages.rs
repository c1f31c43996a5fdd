//! Records of the link's process, which reads what the network says and has no rights: whatever record it
//! sends, the host goes on, and nothing of it draws on a terminal.
//!
//! Input: records, each with its length in two bytes before it. Those that are no message are read alone:
//! they end the process, as a test shows, and cost another one. The process only sleeps; its end of the
//! socket is taken from it.

use std::cell::RefCell;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use spared_contract::LogLevel;
use spared_contract::codec::Message;
use spared_link::host_end::{Link, Report};
use spared_link::message::{ChannelState, FromLink, PathState, State};
use spared_link::word::{Introduction, Word};
use spared_process::MessageHandler;
use spared_process::poller::{Key, Poller};

use crate::folder::Folder;
use crate::node;
use crate::sleeper;

// A process for all inputs.
thread_local! {
    static HOST: RefCell<Host> = RefCell::new(Host::new());
}

pub fn run(input: &[u8]) {
    HOST.with_borrow_mut(|host| {
        host.begin();
        let mut rest = input;
        while let [high, low, tail @ ..] = rest {
            let length = usize::from(u16::from_be_bytes([*high, *low])).min(tail.len());
            let (record, after) = tail.split_at(length);
            rest = after;
            if FromLink::decode(record).is_ok() {
                host.hear(record);
            }
        }
    });
}

struct Host {
    link: Link,
    poller: Poller,
    /// The process's end of the socket.
    socket: OwnedFd,
    now: Instant,
    _folder: Folder,
}

impl Host {
    fn new() -> Self {
        let folder = node::folder("link");
        let (poller, now) = (Poller::new().expect("an epoll instance"), Instant::now());
        let mut link = Link::new(sleeper::starter(&folder), now);
        let introduction = Introduction {
            node: "r1".to_owned(),
            ..Introduction::default()
        };
        link.configure(&poller, now, Some(node::link(&folder)), introduction);
        while link.poll_report().is_some() {}
        let socket = sleeper::socket_of(link.pid());
        Self {
            link,
            poller,
            socket,
            now,
            _folder: folder,
        }
    }

    /// As after a start, with enough time since the last input for lines of log.
    fn begin(&mut self) {
        self.now += Duration::from_secs(60);
        for message in [
            FromLink::State(State::default()),
            FromLink::Up(Introduction::default()),
            FromLink::Down { why: String::new() },
        ] {
            self.hear(&spared_records::encode(&message).expect("a short message"));
        }
    }

    fn hear(&mut self, record: &[u8]) {
        spared_records::transmit(self.socket.as_fd(), record, &[]).expect("room for a record");
        for key in self.poller.wait(Some(Duration::ZERO)).expect("epoll") {
            if let Key::Link(serial) = key {
                self.link.handle_readable(self.now, serial);
            }
        }
        while let Some(report) = self.link.poll_report() {
            match report {
                Report::Tell(notice) => {
                    assert_clean(&notice.text);
                    notice.reason.iter().for_each(|reason| assert_clean(reason));
                }
                Report::Started => panic!("a message ended its process"),
                _ => {}
            }
        }
        for path in self.link.status() {
            assert_clean(&path.why);
        }
        assert!(self.link.facts().len() <= 2);
        if let Some(why) = self.link.wire_refusal("vrrp") {
            assert_clean(why);
        }
    }
}

fn assert_clean(text: &str) {
    assert!(!text.contains(char::is_control), "{text:?}");
}

/// Every message of the link's process.
pub fn seeds() -> Vec<Vec<u8>> {
    let text = |text: &str| text.to_owned();
    let path = PathState {
        interface: text("hot"),
        up: true,
        carries: true,
        ..PathState::default()
    };
    let channel = ChannelState {
        wire: Some(1),
        sent: 7,
        ..ChannelState::default()
    };
    let state = State {
        paths: vec![
            path.clone(),
            PathState {
                why: text("no \u{1b}[2J route"),
                up: false,
                ..path
            },
        ],
        channels: [(text("vrrp"), channel)].into(),
        clock_ms: Some(-5),
        ..State::default()
    };
    let introduction = Introduction {
        node: text("r2\n"),
        ..Introduction::default()
    };
    let messages = [
        FromLink::Up(introduction),
        FromLink::State(state),
        FromLink::Wire {
            plugin: text("vrrp"),
            agreed: Ok(1),
        },
        FromLink::Wire {
            plugin: text("vrrp"),
            agreed: Err(text("\u{7}none in common")),
        },
        FromLink::RefusalOver {
            plugin: text("vrrp"),
        },
        FromLink::Heard(Word::Prepared { switchover: 3 }),
        FromLink::Marked {
            id: 3,
            channel: text("conntrack"),
        },
        FromLink::Event {
            reason: text("refused"),
            text: text("\u{1b}]0;a\u{7}"),
        },
        FromLink::Log {
            level: LogLevel::Info,
            text: text("one\ntwo"),
        },
        FromLink::Pong { number: 0 },
        FromLink::Down {
            why: text("timeout\r"),
        },
        FromLink::State(State::default()),
    ];
    let record = |message: &FromLink| {
        let record = spared_records::encode(message).unwrap_or_default();
        [&(record.len() as u16).to_be_bytes()[..], &record].concat()
    };
    let records: Vec<Vec<u8>> = messages.iter().map(record).collect();
    let mut seeds = vec![
        records.concat(),
        [records.concat(), records.concat()].concat(),
    ];
    seeds.extend(records);
    seeds
}
