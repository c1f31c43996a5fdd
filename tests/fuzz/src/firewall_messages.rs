//! Messages of the firewall's process, which parses what `nft` prints: whatever it sends, the host goes on, and
//! what it shows of them is short and draws on no terminal.
//!
//! Input: records, each with its length in two bytes before it. Those that are no message are left out: they end
//! the process, and cost another one. The process only sleeps; its end of the socket is taken from it.

use std::cell::RefCell;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use spared_contract::codec::Message;
use spared_firewall::digests;
use spared_firewall::host_end::Firewall;
use spared_message::firewall::{FromFirewall, NodeNames, Passage, RuleState, RulesListed};
use spared_process::MessageHandler;
use spared_process::poller::{Key, Poller};

use crate::folder::Folder;
use crate::sleeper;

/// Longest text of the process that the host shows, in characters.
const TEXT_MAX: usize = 2048;

/// Table as nft prints it.
const LISTING: &str = "table ip x {\n\tchain y {\n\t\taccept\n\t}\n}\n";

/// Orders that the process has got: one, at its start.
const ORDER: u64 = 1;

// A process for all inputs.
thread_local! {
    static HOST: RefCell<Host> = RefCell::new(Host::new());
}

pub fn run(input: &[u8]) {
    HOST.with_borrow_mut(|host| {
        host.hear(&spared_records::encode(&state(RuleState::Passes)).expect("a short message"));
        let mut rest = input;
        while let [high, low, tail @ ..] = rest {
            let length = usize::from(u16::from_be_bytes([*high, *low])).min(tail.len());
            let (record, after) = tail.split_at(length);
            rest = after;
            if FromFirewall::decode(record).is_ok() {
                host.hear(record);
            }
        }
    });
}

struct Host {
    firewall: Firewall,
    poller: Poller,
    pid: Option<u32>,
    socket: OwnedFd,
    now: Instant,
    _folder: Folder,
}

impl Host {
    fn new() -> Self {
        let folder = Folder::new("firewall");
        let (poller, now) = (Poller::new().expect("an epoll instance"), Instant::now());
        let starter = sleeper::starter(&folder);
        let mut firewall = Firewall::new(starter, folder.path().join("marker"), now);
        let passage = Passage {
            paths: Vec::new(),
            port: 3780,
            listens: true,
            chain: None,
        };
        firewall.configure(&poller, now, Some(passage));
        let pid = firewall.pid();
        Self {
            firewall,
            poller,
            pid,
            socket: sleeper::socket_of(pid),
            now,
            _folder: folder,
        }
    }

    fn hear(&mut self, record: &[u8]) {
        spared_records::transmit(self.socket.as_fd(), record, &[]).expect("room for a record");
        for key in self.poller.wait(Some(Duration::ZERO)).expect("epoll") {
            if let Key::Firewall(serial) = key {
                self.firewall.handle_readable(self.now, serial);
            }
        }
        let notices = self.firewall.take_notices().into_iter();
        let shown = notices.map(|notice| notice.text);
        let told = self.firewall.filtered().into_iter();
        for text in shown.chain(told.chain(self.firewall.down())) {
            assert!(!text.contains(char::is_control), "{text:?}");
            assert!(text.chars().count() <= TEXT_MAX, "{}", text.len());
        }
        assert_eq!(self.firewall.pid(), self.pid, "a message ended its process");
    }
}

fn state(state: RuleState) -> FromFirewall {
    FromFirewall::State {
        order: ORDER,
        state,
        ours: false,
    }
}

/// Every message of the firewall's process.
pub fn seeds() -> Vec<Vec<u8>> {
    let kept = |text: &str| state(RuleState::Blocked(text.to_owned()));
    let messages = [
        state(RuleState::Passes),
        state(RuleState::PutBack),
        kept("nftables chain inet filter input drops the link on hot"),
        kept("chain \u{1b}[2J\none\r"),
        kept(&"input ".repeat(500)),
        FromFirewall::State {
            order: ORDER + 1,
            state: RuleState::PutBack,
            ours: true,
        },
        FromFirewall::Warning("nft: \u{1b}]0;a\u{7}".to_owned()),
        FromFirewall::Ended { ours: false },
        FromFirewall::Pong,
        FromFirewall::Busy(true),
        FromFirewall::Unreadable(Some("no nft\u{1b}]0;a\u{7}".to_owned())),
        FromFirewall::Unreadable(None),
        FromFirewall::Rules(RulesListed {
            by: "nftables\u{1b}".to_owned(),
            digests: Some(digests(LISTING, &NodeNames::default())),
            elements: digests(LISTING, &NodeNames::default()),
            own: Vec::new(),
        }),
    ];
    let record = |message: &FromFirewall| {
        let record = spared_records::encode(message).unwrap_or_default();
        [&(record.len() as u16).to_be_bytes()[..], &record].concat()
    };
    let mut seeds: Vec<Vec<u8>> = messages.iter().map(record).collect();
    let short = seeds.iter().filter(|record| record.len() < 1000);
    let short: Vec<u8> = short.flatten().copied().collect();
    seeds.push(short.repeat(2));
    seeds
}
