//! A simulated server with its file and its thread, as the engine sees them.

use super::*;

/// A server with its file, whose contents have the time of day.
#[derive(Debug)]
pub struct Fake {
    /// Each lease with its expiry and commit in seconds since 1970.
    pub file: Option<BTreeMap<Key, (Lease, i64, i64)>>,
    pub identity: Option<Vec<u8>>,
    /// Number of writes.
    pub writes: u64,
    /// Contents of the file with the name, if they are less than the server knows.
    pub named: Option<BTreeMap<Key, (Lease, i64, i64)>>,
    /// The server writes to another file.
    pub has_unnamed_file: bool,
    /// Path of the file, if it is known.
    pub place: Option<std::path::PathBuf>,
    pub runs: bool,
    pub live: bool,
    pub silent: bool,
    /// The server was silenced, for however short a time.
    pub was_silenced: bool,
    /// Number of commands to answer or to be silent.
    pub orders: usize,
    /// The server obeys these commands, but its answer is lost.
    pub loses_answers: bool,
    /// Reason why the file cannot be written.
    pub broken: Option<String>,
    pub refuses: bool,
    /// Reason why its disk has no room.
    pub no_room: Option<String>,
    pub probed: usize,
    pub replaced: usize,
    pub applied: usize,
    pub events: VecDeque<Event>,
    /// The server does not answer.
    pub hangs: bool,
    /// Answers held back while it hangs.
    pub held: VecDeque<Event>,
    /// Time of the file's last change, in seconds since 1970. Set for dnsmasq, whose file has no
    /// commit times or durations.
    pub changed_s: Option<i64>,
}

impl Fake {
    pub fn new() -> Self {
        Self {
            file: Some(BTreeMap::new()),
            identity: None,
            writes: 0,
            named: None,
            has_unnamed_file: false,
            place: Some("/leases".into()),
            runs: false,
            live: false,
            silent: false,
            was_silenced: false,
            orders: 0,
            loses_answers: false,
            broken: None,
            refuses: false,
            no_room: None,
            probed: 0,
            replaced: 0,
            applied: 0,
            events: VecDeque::new(),
            hangs: false,
            held: VecDeque::new(),
            changed_s: None,
        }
    }

    pub fn file(&mut self) -> &mut BTreeMap<Key, (Lease, i64, i64)> {
        self.file.get_or_insert_default()
    }

    pub fn stamp(&self) -> Event {
        Event::Stamp(Stamp {
            inode: 1,
            size: self.writes,
            written_ns: 0,
        })
    }

    pub fn put(&mut self, clock: Clock, lease: &Lease) {
        self.writes += 1;
        let ends_s = lease.expires_ns.map_or(i64::MAX, |it| clock.unix_s(it));
        let committed_s = clock.unix_s(lease.committed_ns);
        self.changed_s = self.changed_s.map(|_| clock.unix_s(clock.monotonic_ns));
        let entry = (lease.clone(), ends_s, committed_s);
        if let Some(named) = self.named.as_mut().filter(|_| !self.has_unnamed_file) {
            named.insert(lease.key, entry.clone());
        }
        self.file().insert(lease.key, entry);
    }

    pub fn remove(&mut self, key: &Key) {
        self.writes += 1;
        if let Some(named) = self.named.as_mut().filter(|_| !self.has_unnamed_file) {
            named.remove(key);
        }
        self.file().remove(key);
    }

    /// Moves the file of a running server away, and copies it back.
    pub fn lose_name(&mut self) {
        self.named = Some(self.file().clone());
        self.has_unnamed_file = true;
        self.events.push_back(Event::UnnamedFile(true));
    }

    /// Truncates the file of a running server.
    pub fn cut_off(&mut self) {
        self.named = Some(BTreeMap::new());
        self.events.push_back(Event::Reading {
            set: Set::default(),
            broken: Some("its file was truncated while its server runs".to_owned()),
        });
    }

    /// Forgets everything that the server knew, and its file.
    pub fn forget(&mut self, clock: Clock) {
        let Some(named) = self.named.take() else {
            return;
        };
        self.file = Some(named);
        if std::mem::take(&mut self.has_unnamed_file) {
            self.events.push_back(Event::UnnamedFile(false));
            let (leases, identity) = (self.leases(clock), self.identity.clone());
            let set = Set { leases, identity };
            self.events.push_back(Event::Reading { set, broken: None });
        }
    }

    pub fn leases(&self, clock: Clock) -> BTreeMap<Key, Lease> {
        let filed = self.file.iter().flatten();
        let leases = filed.map(|(key, (lease, ends_s, committed_s))| {
            let lease = Lease {
                expires_ns: lease.expires_ns.map(|_| clock.monotonic(*ends_s)),
                committed_ns: clock.monotonic(self.changed_s.unwrap_or(*committed_s)),
                ..lease.clone()
            };
            (*key, lease)
        });
        leases.collect()
    }

    /// Reports everything, as the thread does at its start.
    pub fn tell_all(&mut self, clock: Clock) {
        self.events.push_back(Event::Place(self.place.clone()));
        match &self.file {
            None => self
                .events
                .push_back(Event::Fault(Some("no such file".to_owned()))),
            Some(_) => {
                self.events.push_back(self.stamp());
                self.events.push_back(Event::Reading {
                    set: Set {
                        leases: self.leases(clock),
                        identity: self.identity.clone(),
                    },
                    broken: None,
                });
            }
        }
        let (runs, live) = (self.runs, self.live && self.runs);
        self.events.push_back(Event::Runs { runs, live });
    }

    pub fn obey(&mut self, clock: Clock, command: Command) {
        let mut refused = Vec::new();
        let (serial, result) = match command {
            Command::Read { serial } => (serial, Ok(())),
            Command::Probe { serial, .. } => {
                self.probed += 1;
                (serial, self.no_room.clone().map_or(Ok(()), Err))
            }
            Command::Replace { serial, set } => (serial, self.replace(clock, set)),
            Command::Apply { serial, changes } => {
                let result = self.apply(clock, changes, &mut refused);
                (serial, result)
            }
            Command::Silence { serial, silent } => {
                self.silent = silent;
                self.orders += 1;
                self.was_silenced |= silent;
                let heard = !self.loses_answers;
                (serial, heard.then_some(()).ok_or("no answer".to_owned()))
            }
        };
        let done = Event::Done {
            serial,
            result,
            refused,
        };
        if self.hangs {
            return self.held.push_back(done);
        }
        self.events.push_back(self.stamp());
        self.events.push_back(done);
    }

    fn replace(&mut self, clock: Clock, set: Set) -> Result<(), String> {
        if self.runs {
            return Err("it runs".to_owned());
        }
        if let Some(why) = &self.broken {
            return Err(why.clone());
        }
        self.replaced += 1;
        self.writes += 1;
        if self.file.is_none() {
            self.events.push_back(Event::Fault(None));
        }
        self.file = Some(BTreeMap::new());
        self.identity = set.identity;
        for lease in set.leases.values() {
            self.put(clock, lease);
        }
        Ok(())
    }

    fn apply(
        &mut self,
        clock: Clock,
        changes: Vec<Change>,
        refused: &mut Vec<(Key, String)>,
    ) -> Result<(), String> {
        if !self.runs || !self.live {
            return Err("nobody listens".to_owned());
        }
        for change in changes {
            self.applied += 1;
            if self.refuses {
                refused.push((change.key(), "no such subnet".to_owned()));
                continue;
            }
            match change {
                Change::Put(lease) => self.put(clock, &lease),
                Change::Gone { key, .. } => self.remove(&key),
            }
        }
        Ok(())
    }
}
