//! The words of its queries.

use std::os::fd::AsRawFd;
use std::thread;
use std::time::Duration;

use spared_sdk::{
    AddressClaim, Answer, Cause, CauseKind, Claims, Document, Error, Family, Progress, Publication,
    Role, SendError, Sockets, Value, VirtualRouterClaim,
};

use crate::{Probe, errno};

const ENOENT: i32 = 2;
const EINVAL: i32 = 22;

type Done = Result<Progress, Error>;

impl Probe {
    pub(crate) fn told(&mut self, argv: &[&str], answer: &mut Answer) -> Done {
        let word = |at: usize| argv.get(at).copied().unwrap_or("");
        let number = |at: usize| word(at).parse::<u64>().unwrap_or(0);
        match word(0) {
            "node" => answer.text("value", &self.host.node().unwrap_or_default())?,
            "folder" => {
                let folder = self.host.state_folder().unwrap_or_default();
                answer.text("value", &folder.display().to_string())?;
            }
            "timer" => {
                let at_ns = self.host.now() + number(2) * 1_000_000;
                self.host.timer(number(1) as u32, at_ns)?;
            }
            "both" => self.make_both_due()?,
            "thread" => self.begin_thread(),
            "join" => {
                if let Some(thread) = self.thread.take() {
                    let _ = thread.join();
                }
            }
            "finish" => self.finish(word(1)),
            "pend" => {
                self.pending_answer = Some(answer.later());
                return Ok(Progress::Pending);
            }
            "attend" => answer.attention(),
            "put" => match &mut self.pending_answer {
                Some(pending) => pending.number(word(1), number(2))?,
                None => return Err(errno(ENOENT)),
            },
            "fill" => {
                let row = "x".repeat(1000);
                while answer.text("row", &row).is_ok() {}
                answer.text("row", &row)?;
            }
            "follow" => self.host.interfaces().follow(word(1), Sockets::VRRP)?,
            "unfollow" => self.host.interfaces().unfollow(word(1))?,
            "claim" => self.host.groups().claim(word(1), &claims())?,
            "withdraw" => self.host.groups().withdraw(word(1))?,
            "publish-many" => self.publish_many(number(1) as usize, !word(2).is_empty(), answer)?,
            "publish" => {
                let role = Role::from_raw(number(2) as u32).ok_or_else(|| errno(EINVAL))?;
                let publication = Publication {
                    reopens: true,
                    ..Publication::new(role, cause(CauseKind::Quality))
                };
                only(self.host.groups().publish_all(&[(word(1), &publication)]))?;
            }
            "explain" => {
                let role = Role::from_raw(number(2) as u32).ok_or_else(|| errno(EINVAL))?;
                let cause = cause(CauseKind::Quality);
                self.host.groups().explain(word(1), role, &cause)?;
            }
            "announce" => self.host.groups().announce(word(1))?,
            "document" => {
                let document = match word(2) {
                    "1" => Document::Status,
                    _ => Document::Metrics,
                };
                self.host.documents().ask(number(1), document);
            }
            "send" => {
                self.to_send = number(1);
                self.send_bytes = number(2) as usize;
                self.send_more()?;
            }
            "too-long" => {
                let message = vec![0; spared_sdk::abi::PEER_MESSAGE_MAX as usize + 1];
                self.host.peer().send(&message)?;
            }
            "sign" => self.host.identity().sign(number(1), &sevens(number(2)))?,
            "verify" => {
                let signature = vec![8; number(3) as usize];
                let statement = sevens(number(2));
                let identity = self.host.identity();
                identity.verify(number(1), &statement, &signature)?;
            }
            "proof" => answer.text("proof", &self.seen.proof)?,
            "nap" => self.nap = Duration::from_micros(number(1)),
            "in_sync" | "in-sync" => self.host.peer().in_sync(number(1) != 0, word(2))?,
            "report" => {
                let (weight, state) = (number(2) as u32, number(3) as u32);
                self.host
                    .checks()
                    .report(word(1), weight, state, "because")?;
            }
            "forget" => self.host.checks().forget(word(1))?,
            "messenger" => self.show_messages(answer)?,
            "flood" => (0..20_000).for_each(|it| log::info!("flood {it}")),
            "leak" => self.leak(),
            "state" => self.show_state(answer)?,
            _ => return Err(Error::Usage("usage: probe WORD".to_owned())),
        }
        Ok(Progress::Done)
    }

    fn begin_thread(&mut self) {
        let waker = self.host.waker();
        self.thread = Some(thread::spawn(move || {
            log::info!("from another thread");
            (0..1000).for_each(|_| waker.wake());
        }));
    }

    fn finish(&mut self, status: &str) {
        if let Some(token) = self.pending_role.take() {
            self.host.done(token, Ok(()));
        }
        if let Some(mut answer) = self.pending_answer.take() {
            if status == "3" {
                answer.attention();
            }
            answer.done(Ok(()));
        }
    }

    /// Publishes groups, of which the second has no name and the third is the first once more; their results go into
    /// rows.
    fn publish_many(&self, count: usize, is_long: bool, answer: &mut Answer) -> Result<(), Error> {
        let mut cause = cause(CauseKind::Quality);
        if is_long {
            cause.text = "x".repeat(1000);
        }
        let publication = Publication::new(Role::Active, cause);
        let name = |index: usize| match index {
            1 => String::new(),
            2 => "group0".to_owned(),
            _ => format!("group{index}"),
        };
        let names: Vec<String> = (0..count).map(name).collect();
        let groups: Vec<_> = names.iter().map(|it| (it.as_str(), &publication)).collect();
        let results = self.host.groups().publish_all(&groups);
        let statuses: Vec<i64> = results.iter().map(status).collect();
        for (index, status) in statuses.iter().take(8).enumerate() {
            put_signed(answer, &format!("status.{index}"), *status)?;
        }
        let last = statuses.last().copied().unwrap_or_default();
        put_signed(answer, "status.last", last)?;
        let first_bad = statuses.iter().find(|it| **it != 0);
        put_signed(answer, "result", first_bad.copied().unwrap_or(0))
    }

    pub(crate) fn send_more(&mut self) -> Result<(), SendError> {
        let peer = self.host.peer();
        let mut message = vec![0; self.send_bytes.max(8)];
        while self.to_send > 0 {
            if let Some(number) = message.first_chunk_mut() {
                *number = self.sent.to_le_bytes();
            }
            peer.send(message.get(..self.send_bytes).unwrap_or_default())?;
            self.to_send -= 1;
            self.sent += 1;
        }
        Ok(())
    }

    fn leak(&mut self) {
        while let Ok(file) = std::fs::File::open("/dev/null") {
            let _ = file.as_raw_fd();
            std::mem::forget(file);
        }
    }

    fn show_messages(&self, answer: &mut Answer) -> Result<(), Error> {
        let seen = &self.seen;
        answer.number("messages", seen.messages)?;
        answer.number("bytes", seen.message_bytes)?;
        answer.number("faults", seen.faults)?;
        answer.number("settled_at", seen.settled_at)?;
        answer.number("sent", self.sent)?;
        answer.number("writables", seen.writables)?;
        answer.text("peer", &seen.peer)?;
        answer.text("order", &seen.order)
    }

    fn show_state(&self, answer: &mut Answer) -> Result<(), Error> {
        let seen = &self.seen;
        answer.number("timers", seen.timers)?;
        answer.number("woken", seen.woken)?;
        answer.number("fds", seen.fds)?;
        answer.number("bytes", seen.bytes)?;
        answer.number("changes", seen.changes)?;
        answer.number("directives", seen.directives)?;
        answer.text("event", &seen.event)?;
        answer.text("directive", &seen.directive)?;
        answer.text("order", &seen.order)
    }
}

fn put_signed(answer: &mut Answer, key: &str, number: i64) -> Result<(), Error> {
    let value = Value::Signed {
        number,
        unit: None,
        counter: false,
    };
    answer.row(key, &value)
}

fn status(result: &Result<(), Error>) -> i64 {
    match result {
        Ok(()) => 0,
        Err(Error::Host { errno, .. }) => -i64::from(*errno),
        Err(_) => -1,
    }
}

fn only(results: Vec<Result<(), Error>>) -> Result<(), Error> {
    results.into_iter().collect()
}

fn sevens(length: u64) -> Vec<u8> {
    vec![7; length as usize]
}

fn cause(kind: CauseKind) -> Cause {
    Cause {
        kind,
        own: 73,
        theirs: 100,
        peer: "r2".to_owned(),
        text: "lan is \u{fffd}\n down".to_owned(),
        ..Cause::default()
    }
}

fn claims() -> Claims {
    let router = VirtualRouterClaim {
        interface: "lan2".to_owned(),
        family: Family::V4,
        vrid: 50,
        vmac: true,
        vmac_name: String::new(),
        accept: false,
        routed: false,
    };
    let address = AddressClaim {
        interface: "lan2".to_owned(),
        router: Some(0),
        address: [192, 168, 200, 1].into(),
        prefix: 24,
        source: false,
        own: false,
        label: String::new(),
    };
    Claims {
        routers: vec![router],
        addresses: vec![address],
        lease_ns: 250_000_000,
        ..Claims::default()
    }
}
