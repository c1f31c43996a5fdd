use std::cell::RefCell;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::rc::Rc;
use std::time::{Duration, Instant};

use spared_message::link::{FromLink, ToLink};
use spared_message::starter::{About, NotStarted, Reaped, Start};
use spared_message::word::{Introduction, Word};
use spared_process::poller::{Key, Poller};
use spared_process::starter::{ProcessStarter, Started, Starter};
use spared_process::{MessageHandler, PING_EVERY};
use spared_records::Receiver;

use super::{FLUSH_EVERY, Link, Report};

/// Starts programs that only sleep, and keeps their ends of the sockets for the test.
#[derive(Debug, Default)]
struct Sleepers {
    children: Vec<Child>,
    ends: Vec<OwnedFd>,
    /// Number of requests to reap a program, which it never answers.
    asked: usize,
}

impl ProcessStarter for Sleepers {
    fn configure(&mut self, _digest: &str) -> Result<(), String> {
        Ok(())
    }

    fn about(&self) -> About {
        About {
            state_dir: None,
            groups: Err("a test needs none".to_owned()),
        }
    }

    fn start(&mut self, _start: &Start) -> Result<Started, NotStarted> {
        let (socket, theirs) = spared_records::pair().unwrap();
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        let (process, pid) = (self.children.len() as u64, child.id());
        self.children.push(child);
        self.ends.push(theirs);
        Ok(Started {
            process,
            pid,
            socket,
            errors: None,
        })
    }

    fn kill(&mut self, process: u64) {
        self.children[process as usize].kill().unwrap();
    }

    fn kill_and_reap(&mut self, process: u64) {
        self.kill(process);
    }

    fn reap(&mut self, _process: u64) -> Reaped {
        self.asked += 1;
        Reaped::Running
    }
}

/// A link whose peer is heard. The test plays the part of the process.
struct Bed {
    link: Link,
    poller: Poller,
    sleepers: Rc<RefCell<Sleepers>>,
    receiver: Receiver,
    now: Instant,
    folder: PathBuf,
}

impl Bed {
    fn new(name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("spared-link-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let secret = folder.join("secret");
        fs::write(&secret, "correct horse battery staple 2026\n").unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        let file = folder.join("spared.toml");
        let text = "node.name = \"r1\"\nsecret_file = \"secret\"\n[nodes.r1]\n[nodes.r2]\n";
        fs::write(&file, text).unwrap();
        let setup = spared_config::Setup::read(&file).unwrap().host.link;
        assert!(setup.is_some());
        let (sleepers, now) = (Rc::new(RefCell::new(Sleepers::default())), Instant::now());
        let starter: Starter = sleepers.clone();
        let mut bed = Self {
            link: Link::new(starter, now),
            poller: Poller::new().unwrap(),
            sleepers,
            receiver: Receiver::default(),
            now,
            folder,
        };
        let introduction = Introduction {
            node: "r1".to_owned(),
            ..Introduction::default()
        };
        bed.link.configure(&bed.poller, now, setup, introduction);
        assert!(matches!(bed.take(), Some(ToLink::Configure(_))));
        bed.hear(&FromLink::Up(Introduction::default()));
        assert!(bed.link.is_up());
        bed
    }

    /// Sends a message of the process.
    fn hear(&mut self, message: &FromLink) {
        spared_records::send(self.sleepers.borrow().ends[0].as_fd(), message, &[]).unwrap();
        for key in self.poller.wait(Some(Duration::ZERO)).unwrap() {
            if let Key::Link(serial) = key {
                self.link.handle_readable(self.now, serial);
            }
        }
    }

    /// Reads a message for the process.
    fn take(&mut self) -> Option<ToLink> {
        let sleepers = self.sleepers.borrow();
        let received = self.receiver.receive(&sleepers.ends[0]).unwrap();
        received.map(|(message, _)| message)
    }

    /// Reads all messages for the process. Returns the numbers of the words, and true if there was a ping.
    fn take_all(&mut self) -> (Vec<u64>, bool) {
        let (mut numbers, mut is_pinged) = (Vec::new(), false);
        loop {
            match self.take() {
                Some(ToLink::Say(Word::Answer { id, .. })) => numbers.push(id),
                Some(ToLink::Ping { .. }) => is_pinged = true,
                Some(_) => {}
                None => {
                    self.now += FLUSH_EVERY;
                    let waited = self.link.next_timeout().is_some_and(|at| at <= self.now);
                    self.link.handle_timeout(&self.poller, self.now);
                    if !waited {
                        return (numbers, is_pinged);
                    }
                }
            }
        }
    }

    fn starts(&self) -> usize {
        self.sleepers.borrow().children.len()
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        for child in &mut self.sleepers.borrow_mut().children {
            let _ = child.kill().and_then(|()| child.wait());
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn answer(id: u64) -> Word {
    Word::Answer {
        id,
        answer: "a".repeat(6000),
    }
}

/// Answers to a peer that sent three thousand questions at once, while the process forwards them.
#[test]
fn words_that_the_process_has_no_room_for_wait_and_beyond_a_bound_are_dropped_and_it_runs_on() {
    let mut bed = Bed::new("full");
    let taken: Vec<u64> = (0..3000)
        .filter(|id| bed.link.say(bed.now, answer(*id)))
        .collect();
    assert!(taken.len() > 300 && taken.len() < 3000, "{}", taken.len());
    bed.now += PING_EVERY;
    bed.link.handle_timeout(&bed.poller, bed.now);
    // the words are in order, and the ping follows them
    assert_eq!(bed.take_all(), (taken, true));
    assert!(bed.link.say(bed.now, answer(7000)));
    assert_eq!(bed.take_all().0, [7000]);
    assert_eq!(bed.starts(), 1);
    let ended = |report| matches!(report, Report::Down { .. });
    assert!(!std::iter::from_fn(|| bed.link.poll_report()).any(ended));
}

/// Words that come faster than the outbox is flushed, each of which finds the process without room.
#[test]
fn what_waits_is_flushed_however_fast_more_is_said() {
    let mut bed = Bed::new("fast");
    let mut id = 0;
    while bed.link.outbox.is_empty() {
        assert!(bed.link.say(bed.now, answer(id)));
        id += 1;
    }
    let in_socket = id - 1;
    let (mut taken, mut is_pinged) = (Vec::new(), false);
    for _ in 0..2000 {
        bed.now += Duration::from_millis(1);
        match bed.take() {
            Some(ToLink::Say(Word::Answer { id, .. })) => taken.push(id),
            Some(ToLink::Ping { number }) => {
                is_pinged = true;
                bed.hear(&FromLink::Pong { number });
            }
            _ => {}
        }
        if bed.link.say(bed.now, answer(id)) {
            id += 1;
        }
        bed.link.handle_timeout(&bed.poller, bed.now);
    }
    let count = taken.len() as u64;
    assert!(
        count > in_socket + 100,
        "{count} words, {in_socket} at once"
    );
    assert!(taken.is_sorted() && is_pinged);
    assert_eq!(bed.starts(), 1);
}

#[test]
fn whoever_is_refused_takes_no_event_of_the_link_s_own() {
    let mut bed = Bed::new("refused");
    let event = |reason: &str| FromLink::Event {
        reason: reason.to_owned(),
        text: format!("link lan0: {reason}"),
    };
    (0..500).for_each(|_| bed.hear(&event("refused")));
    bed.hear(&event("path-change"));
    let mut told = Vec::new();
    while let Some(report) = bed.link.poll_report() {
        if let Report::Tell(notice) = report {
            told.push(notice.text);
        }
    }
    let count = |wanted: &str| told.iter().filter(|text| text.ends_with(wanted)).count();
    assert_eq!((count("refused"), count("path-change")), (20, 1));
}

/// Messages that waited for the process are not sent to its successor.
#[test]
fn a_refusal_of_versions_ends_with_the_peer_s_worker() {
    let mut bed = Bed::new("wire");
    let plugin = "conntrack".to_owned();
    bed.hear(&FromLink::Wire {
        plugin: plugin.clone(),
        agreed: Err("update the older one".to_owned()),
    });
    let why = bed.link.wire_refusal("conntrack");
    assert_eq!(why, Some("update the older one"));
    bed.hear(&FromLink::RefusalOver { plugin });
    assert_eq!(bed.link.wire_refusal("conntrack"), None);
}

#[test]
fn a_process_that_reads_nothing_and_answers_no_ping_is_started_anew_with_nothing_that_waited() {
    let mut bed = Bed::new("hung");
    while bed.link.say(bed.now, answer(1)) {}
    for _ in 0..62 {
        bed.now += PING_EVERY;
        bed.link.handle_timeout(&bed.poller, bed.now);
        if bed.starts() > 1 {
            break;
        }
    }
    assert_eq!(bed.starts(), 2);
    bed.sleepers.borrow_mut().ends.remove(0);
    assert!(matches!(bed.take(), Some(ToLink::Configure(_))));
    assert!(bed.take().is_none());
}

/// The exit is reported once, when nobody could reap the process.
#[test]
fn a_process_that_could_not_be_reaped_at_its_end_is_reaped_later() {
    let mut bed = Bed::new("reaped");
    bed.link.handle_ended(bed.now, "is replaced");
    let asked = || bed.sleepers.borrow().asked;
    let mut exits = 0;
    for _ in 0..20 {
        let ready = bed.poller.wait(Some(Duration::from_millis(20))).unwrap();
        for key in ready {
            if let Key::LinkExit(serial) = key {
                bed.link.handle_exit(bed.now, serial);
                exits += 1;
            }
        }
    }
    assert_eq!(exits, 1);
    let before = asked();
    bed.link.handle_timeout(&bed.poller, bed.now);
    assert_eq!(asked(), before + 1);
}
