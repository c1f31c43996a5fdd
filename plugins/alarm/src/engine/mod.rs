//! Decides which alarms are sent, when, by which node: without I/O.
//!
//! Both nodes see most findings. `observed` has what this one sees, `book` the changes and who was told which, `duty`
//! which node notices changes and which one sends, `delivery` how each recipient is reached.

mod book;
mod delivery;
mod duty;
mod observed;
mod outbox;
mod rows;
#[cfg(test)]
mod tests;
mod trial;

use std::collections::{BTreeMap, BTreeSet};

use spared_sdk::{PairStatus, Trouble};

use crate::config::{Recipient, Settings};
use crate::finding::{Key, Texts};
use crate::notification::{Event, Notification};
use crate::wire::Message;

pub use book::{Book, Change, FindingHistory, ToldChange};
use delivery::{Delivery, Sending};
use duty::Duty;
use observed::Observed;
use outbox::{Outbox, Subject};
pub use trial::Results;
use trial::Trials;

/// Work for the I/O.
#[derive(Debug)]
pub enum Action {
    /// Sends an alarm. [`Engine::handle_result`] has to follow with the same number.
    Send {
        run: u64,
        recipient: Box<Recipient>,
        notification: Box<Notification>,
    },
    /// Saves the book. [`Engine::handle_saved`] has to follow.
    Save(Vec<u8>),
    /// Answers `sparectl alarm test`.
    Answer { token: u64, results: Results },
}

/// Clock of the machine, read at one time of the monotonic clock.
#[derive(Clone, Copy, Debug, Default)]
struct Wall {
    at_ns: u64,
    ms: u64,
}

impl Wall {
    fn now_ms(self, now_ns: u64) -> u64 {
        self.ms + now_ns.saturating_sub(self.at_ns) / 1_000_000
    }
}

/// State of the file with the book.
#[derive(Clone, Copy, Debug, Default)]
struct SaveState {
    is_needed: bool,
    is_running: bool,
}

/// Alarms of one node.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    wall: Wall,
    observed: Observed,
    book: Book,
    duty: Duty,
    deliveries: BTreeMap<String, Delivery>,
    trials: Trials,
    outbox: Outbox,
    save: SaveState,
    /// Recipients that this node reaches, as the peer was told.
    reached: BTreeSet<String>,
    run: u64,
    actions: Vec<Action>,
}

impl Engine {
    pub fn new(now_ns: u64, settings: Settings, book: Book) -> Self {
        let mut engine = Self {
            observed: Observed::new(now_ns, &settings.node),
            duty: Duty::new(now_ns, &settings.node),
            settings: Settings::default(),
            wall: Wall::default(),
            book,
            deliveries: BTreeMap::new(),
            trials: Trials::default(),
            outbox: Outbox::default(),
            save: SaveState::default(),
            reached: BTreeSet::new(),
            run: 0,
            actions: Vec::new(),
        };
        engine.configure(now_ns, settings);
        engine
    }

    pub fn configure(&mut self, now_ns: u64, settings: Settings) {
        self.settings = settings;
        let recipients = &self.settings.recipients;
        let is_known = |name: &String| recipients.iter().any(|it| it.name == *name);
        self.deliveries.retain(|name, _| is_known(name));
        for recipient in recipients {
            self.deliveries.entry(recipient.name.clone()).or_default();
        }
        self.update(now_ns);
    }

    /// Sets the clock of the machine.
    pub fn set_clock(&mut self, now_ns: u64, ms: u64) {
        self.wall = Wall { at_ns: now_ns, ms };
    }

    /// Handles the state of the pair as this node sees it.
    pub fn handle_status(&mut self, now_ns: u64, status: &PairStatus) {
        self.duty.handle_peer(&status.peer);
        let found = status.findings.iter();
        let found = found.map(|it| (Key::of(it), Texts::of(it))).collect();
        self.observed.handle_status(found, status.left_out == 0);
        self.update(now_ns);
    }

    /// Handles the result of [`Action::Send`].
    pub fn handle_result(&mut self, now_ns: u64, run: u64, result: Result<(), String>) {
        if self.trials.handle_result(run, &result) {
            return;
        }
        let is_it = |it: &Delivery| it.sending().is_some_and(|it| it.run == run);
        let mut deliveries = self.deliveries.iter_mut();
        let ended = deliveries.find(|(_, it)| is_it(it)).and_then(|(name, it)| {
            let sent = it.handle_result(now_ns, result)?;
            Some((name.clone(), sent))
        });
        if let Some((name, sent)) = ended {
            self.tell(now_ns, &name, &sent.key, sent.told);
        }
        self.update(now_ns);
    }

    /// Handles the end of [`Action::Save`].
    pub fn handle_saved(&mut self, result: Result<(), String>) {
        self.save.is_running = false;
        if let Err(why) = result {
            // the next change saves again
            log::warn!("{why}");
        }
    }

    /// Begins `sparectl alarm test`, for one recipient or for all.
    ///
    /// # Errors
    /// A sentence for the user.
    pub fn test(&mut self, now_ns: u64, token: u64, name: Option<&str>) -> Result<(), String> {
        let all = self.settings.recipients.iter();
        let chosen = all.filter(|it| name.is_none_or(|name| it.name == name));
        let chosen: Vec<Recipient> = chosen.cloned().collect();
        if chosen.is_empty() {
            return Err(self.unknown(name.unwrap_or_default()));
        }
        if !self.trials.has_room() {
            return Err("other tests still wait for answers: try again in 11 s".to_owned());
        }
        let mut runs = Vec::new();
        for recipient in chosen {
            self.run += 1;
            runs.push((self.run, recipient.name.clone()));
            let at_ms = self.wall.now_ms(now_ns);
            self.actions.push(Action::Send {
                run: self.run,
                recipient: Box::new(recipient),
                notification: Box::new(Notification::test(&self.settings.node, at_ms)),
            });
        }
        self.trials.begin(now_ns, token, runs);
        Ok(())
    }

    fn unknown(&self, name: &str) -> String {
        let names = self.settings.recipients.iter().map(|it| it.name.as_str());
        let names: Vec<&str> = names.collect();
        match names.as_slice() {
            [] => "alarm.toml has no [[alarm]]".to_owned(),
            _ => format!(
                "there is no alarm {name:?}, known are: {}",
                names.join(", ")
            ),
        }
    }

    /// Brings everything up to date after an event.
    fn update(&mut self, now_ns: u64) {
        let hears_peer = self.duty.hears_peer();
        self.observed.review(now_ns, hears_peer, &self.book);
        let reaching = self.deliveries.iter();
        let reaching = reaching.filter(|(_, it)| it.reaches(now_ns));
        let reached = reaching.map(|(name, _)| name.clone()).collect();
        if self.reached != reached {
            self.reached = reached;
            self.outbox.add_reached();
        }
        self.update_reminders(now_ns);
    }

    fn update_reminders(&mut self, now_ns: u64) {
        for recipient in &self.settings.recipients {
            let every_ns = recipient.reminder_ns;
            let is_told = |it: &FindingHistory| {
                every_ns.is_some() && it.begun() && it.told(&recipient.name).begun
            };
            let lasting = self.book.iter().filter(|(_, it)| is_told(it));
            let lasting = lasting
                .map(|(key, _)| key)
                .filter(|key| recipient.wants(key));
            if let Some(delivery) = self.deliveries.get_mut(&recipient.name) {
                delivery.remind(now_ns.saturating_add(every_ns.unwrap_or_default()), lasting);
            }
        }
    }

    /// Notices changes that have lasted.
    fn notice(&mut self, now_ns: u64) {
        if !self.duty.notices(now_ns) {
            return;
        }
        let now_ms = self.wall.now_ms(now_ns);
        for (key, found) in self.observed.due(now_ns, self.settings.delay_ns) {
            let begun = found.is_some();
            let known = self
                .book
                .history(&key)
                .and_then(FindingHistory::texts)
                .cloned();
            let texts = found.or(known).unwrap_or_default();
            if self.book.change(now_ms, &key, begun, texts) {
                self.changed(now_ns, &key);
            } else {
                self.observed.postpone(now_ns, &key);
            }
        }
        self.update(now_ns);
    }

    fn tell(&mut self, now_ns: u64, name: &str, key: &Key, told: ToldChange) {
        let at_ms = self.wall.now_ms(now_ns);
        let told = ToldChange { at_ms, ..told };
        self.book.tell(key, name, told);
        self.changed(now_ns, key);
    }

    /// Follows a change of a history: it is saved, and sent to the peer.
    fn changed(&mut self, now_ns: u64, key: &Key) {
        let now_ms = self.wall.now_ms(now_ns);
        self.book.tidy(now_ms, key, &self.settings.recipients);
        self.save.is_needed = true;
        self.outbox.add_history(key);
    }

    /// Begins to send to each recipient that is ready.
    fn send(&mut self, now_ns: u64) {
        for recipient in self.settings.recipients.clone() {
            while let Some(sending) = self.next_sending(now_ns, &recipient) {
                if sending.event == Event::End && !recipient.ends {
                    self.tell(now_ns, &recipient.name, &sending.key, sending.told);
                    continue;
                }
                self.begin_sending(now_ns, &recipient, sending);
                break;
            }
        }
    }

    /// True if this node sends to a recipient, and may begin now.
    fn is_ready(&self, now_ns: u64, name: &str) -> bool {
        self.deliveries.get(name).is_some_and(|it| {
            let sends = self.duty.sends(now_ns, name, it.reaches(now_ns));
            sends && it.sending().is_none() && now_ns >= it.ready_ns()
        })
    }

    fn next_sending(&mut self, now_ns: u64, recipient: &Recipient) -> Option<Sending> {
        if !self.is_ready(now_ns, &recipient.name) {
            return None;
        }
        let run = self.run + 1;
        if let Some((key, change)) = self.book.next(recipient) {
            return Some(Sending {
                run,
                key: key.clone(),
                event: if change.begun {
                    Event::Begin
                } else {
                    Event::End
                },
                told: ToldChange {
                    at_ms: 0,
                    number: change.number,
                    begun: change.begun,
                },
            });
        }
        let next_ns = now_ns.saturating_add(recipient.reminder_ns?);
        let delivery = self.deliveries.get_mut(&recipient.name)?;
        let key = delivery.take_reminder(now_ns, next_ns)?;
        let told = self.book.history(&key)?.told(&recipient.name);
        Some(Sending {
            run,
            key,
            event: Event::Reminder,
            told,
        })
    }

    fn begin_sending(&mut self, now_ns: u64, recipient: &Recipient, sending: Sending) {
        self.run = sending.run;
        let history = self.book.history(&sending.key);
        let texts = history.and_then(|it| it.texts_of(sending.told.number));
        let at_ms = match sending.event {
            Event::Reminder => self.wall.now_ms(now_ns),
            _ => sending.told.number,
        };
        self.actions.push(Action::Send {
            run: sending.run,
            recipient: Box::new(recipient.clone()),
            notification: Box::new(Notification {
                event: sending.event,
                key: sending.key.clone(),
                texts: texts.cloned().unwrap_or_default(),
                at_ms,
                sender: self.settings.node.clone(),
            }),
        });
        if let Some(delivery) = self.deliveries.get_mut(&recipient.name) {
            delivery.begin(sending);
        }
    }

    /// Time at which something is to be sent to a recipient, as far as time alone decides.
    fn next_send(&self, recipient: &Recipient) -> Option<u64> {
        let delivery = self.deliveries.get(&recipient.name)?;
        if delivery.sending().is_some() {
            return None;
        }
        let ready_ns = delivery.ready_ns();
        match self.book.next(recipient) {
            Some(_) => Some(ready_ns),
            None => Some(delivery.next_reminder()?.max(ready_ns)),
        }
    }

    /// Writes a message to the peer; None if there is nothing to say any more.
    fn write(subject: Subject, book: &Book, reached: &BTreeSet<String>) -> Option<Vec<u8>> {
        let message = match subject {
            Subject::Reached => Message::Reached(reached.clone()),
            Subject::History(key) => {
                let history = book.history(&key)?.clone();
                Message::History(key, history)
            }
            Subject::Joined => Message::Joined,
        };
        Some(message.write())
    }

    fn take_message(&mut self, now_ns: u64, message: Message) {
        match message {
            Message::Reached(names) => self.duty.handle_reached(names),
            Message::History(key, history) => {
                let now_ms = self.wall.now_ms(now_ns);
                if self.book.merge(now_ms, key.clone(), history) {
                    self.book.tidy(now_ms, &key, &self.settings.recipients);
                    self.save.is_needed = true;
                }
            }
            Message::Joined => self.duty.handle_joined(),
        }
    }
}

impl spared_sdk::Engine for Engine {
    type Action = Action;

    fn handle_timeout(&mut self, now_ns: u64) {
        self.update(now_ns);
        self.notice(now_ns);
    }

    fn next_timeout(&self, now_ns: u64) -> Option<u64> {
        let delay_ns = self.settings.delay_ns;
        let mut times = vec![
            self.duty.next_timeout(now_ns),
            self.observed.next_review(&self.book),
            self.trials.next_timeout(),
        ];
        if self.duty.notices(now_ns) {
            times.push(self.observed.next_due(delay_ns));
        }
        for recipient in &self.settings.recipients {
            let delivery = self.deliveries.get(&recipient.name);
            let reaches = delivery.is_some_and(|it| it.reaches(now_ns));
            times.push(delivery.and_then(|it| it.next_reach(now_ns)));
            if self.duty.sends(now_ns, &recipient.name, reaches) {
                times.push(self.next_send(recipient));
            }
        }
        times.into_iter().flatten().min()
    }

    fn poll_action(&mut self, now_ns: u64) -> Option<Action> {
        if self.actions.is_empty() {
            if let Some((token, results)) = self.trials.take_ended(now_ns) {
                return Some(Action::Answer { token, results });
            }
            self.send(now_ns);
        }
        if self.actions.is_empty() && self.save.is_needed && !self.save.is_running {
            self.save = SaveState {
                is_needed: false,
                is_running: true,
            };
            return Some(Action::Save(self.book.save()));
        }
        (!self.actions.is_empty()).then(|| self.actions.remove(0))
    }

    fn handle_up(&mut self, now_ns: u64, _wire: u32) {
        self.duty.handle_up(now_ns);
        let histories = self.book.iter().map(|(key, _)| key.clone()).collect();
        self.outbox.begin(histories);
        self.update(now_ns);
    }

    fn handle_down(&mut self, now_ns: u64) {
        self.duty.handle_down(now_ns);
        self.outbox.end();
        self.update(now_ns);
    }

    fn handle_message(&mut self, now_ns: u64, message: &[u8]) -> Result<(), String> {
        let message = Message::read(message)?;
        self.take_message(now_ns, message);
        self.update(now_ns);
        Ok(())
    }

    fn poll_message(&mut self, _now_ns: u64) -> Option<&[u8]> {
        let (book, reached) = (&self.book, &self.reached);
        self.outbox
            .poll(|subject| Self::write(subject, book, reached))
    }

    fn message_sent(&mut self, _now_ns: u64) {
        self.outbox.sent();
    }

    fn in_sync(&self) -> Option<Result<(), String>> {
        // a failover needs nothing of this plugin
        Some(Ok(()))
    }

    fn troubles(&self) -> Vec<Trouble> {
        let failing = self.deliveries.iter();
        let failing = failing.filter_map(|(name, it)| Some((name, it.trouble()?)));
        failing
            .map(|(name, why)| Trouble::new(format!("alarm {name}"), why))
            .collect()
    }
}
