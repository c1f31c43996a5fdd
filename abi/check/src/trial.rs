//! One plugin in this process, driven by a check.

mod serve;

use std::ffi::c_void;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use spared_abi as abi;
use spared_config_reader as config;
use spared_contract::{ConfigTable, Surroundings};
use spared_records::monotonic::now_ns;
use spared_worker::Loaded;
use spared_worker::settings::Settings;
use spared_worker::status::{self, INVALID};

use crate::finding::Finding;
use crate::host::{Record, size};
use crate::lent::{Lent, guard, leaked};

/// Duration of a callback that is warned about, and one that fails.
const SLOW: Duration = Duration::from_millis(50);
const TOO_SLOW: Duration = Duration::from_secs(1);

/// How long start and stop may be pending. A host gives a start 90 s; no check waits that long.
const START_MAX: Duration = Duration::from_secs(10);
const STOP_MAX: Duration = Duration::from_secs(3);

const ENOTRECOVERABLE: abi::Status = -131;

/// The plugin's name, which is its file's.
pub fn name_of(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default();
    stem.to_string_lossy().into_owned()
}

/// Loads a plugin.
///
/// # Errors
/// The loader's sentence.
pub fn load(path: &Path) -> Result<Loaded, String> {
    let file = std::fs::File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    spared_worker::load(&name_of(path), file.as_fd())
}

/// Severity of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As in a host.
    Plain,
    /// The host's table ends at a page that cannot be read.
    OldHost,
    /// Arguments are in pages that cannot be read after the callback has returned.
    Borrow,
}

/// An instance and its host.
pub struct Trial {
    pub plugin: Loaded,
    pub record: &'static Record,
    pub findings: Vec<Finding>,
    /// A callback returned -ENOTRECOVERABLE: nothing is called any more.
    pub is_broken: bool,
    table: *const abi::Host,
    instance: *mut c_void,
    mode: Mode,
    token: u64,
}

impl Trial {
    /// Loads a plugin and creates an instance.
    ///
    /// # Errors
    /// Why there is no instance.
    pub fn create(path: &Path, mode: Mode) -> Result<Self, Finding> {
        let plugin = load(path).map_err(Finding::fail)?;
        Self::of(plugin, mode)
    }

    /// Creates another instance of a loaded plugin.
    ///
    /// # Errors
    /// As above.
    pub fn of(plugin: Loaded, mode: Mode) -> Result<Self, Finding> {
        // Leaked: the plugin keeps their addresses.
        let record: &'static Record = Box::leak(Box::new(Record::new()));
        let table: *const abi::Host = match mode {
            Mode::OldHost => leaked(guard(&record.table())),
            Mode::Plain | Mode::Borrow => Box::leak(Box::new(record.table())),
        };
        let mut trial = Self {
            plugin,
            record,
            findings: Vec::new(),
            is_broken: false,
            table,
            instance: std::ptr::null_mut(),
            mode,
            token: 0,
        };
        let (create, host) = (trial.plugin.table.create, trial.table);
        let mut instance = std::ptr::null_mut();
        // SAFETY: the plugin's contract; the table is leaked.
        let status = trial.call("create", |_| unsafe {
            create.map_or(-1, |create| create(host, &raw mut instance))
        });
        trial.instance = instance;
        match status {
            0.. => Ok(trial),
            _ => Err(Finding::fail(format!(
                "create failed: {}",
                trial.why(status)
            ))),
        }
    }

    /// Calls the plugin and measures the time.
    pub fn call(
        &mut self,
        callback: &str,
        call: impl FnOnce(*mut c_void) -> abi::Status,
    ) -> abi::Status {
        if self.is_broken {
            return ENOTRECOVERABLE;
        }
        let begin = Instant::now();
        let status = call(self.instance);
        let took = begin.elapsed();
        self.record.callback_returned();
        if took > TOO_SLOW {
            let text = format!("{callback} took {} ms, limit is 50 ms", took.as_millis());
            self.findings.push(Finding::fail(text));
        } else if took > SLOW {
            let text = format!("{callback} took {} ms, limit is 50 ms", took.as_millis());
            self.findings.push(Finding::warn(text));
        }
        if status == ENOTRECOVERABLE {
            self.is_broken = true;
            let text = format!("{callback} broke the instance: {}", self.why(status));
            self.findings.push(Finding::fail(text));
        }
        status::returned(callback, status).unwrap_or_else(|invalid| {
            let text = invalid.to_string();
            self.record.failures.borrow_mut().push(text.clone());
            self.findings.push(Finding::fail(text));
            INVALID
        })
    }

    /// The reasons given by fail() since the last call, else the status in words.
    pub fn why(&self, status: abi::Status) -> String {
        let failures = self.record.failures.take();
        let errno = std::io::Error::from_raw_os_error(status.saturating_neg());
        if failures.is_empty() {
            errno.to_string()
        } else {
            failures.join("; ")
        }
    }

    pub fn configure(&mut self, config: &ConfigTable, flags: u32) -> abi::Status {
        let settings = Settings::new(config, &surroundings());
        self.record.settings.replace(settings);
        let Some(configure) = self.plugin.table.configure else {
            return 0;
        };
        let lent = Lent::new(self.mode, &config::text(config));
        self.record.is_configuring.set(true);
        // SAFETY: the plugin's contract for a created instance.
        let status = self.call("configure", |instance| unsafe {
            configure(instance, lent.text(), flags)
        });
        self.record.is_configuring.set(false);
        lent.end();
        status
    }

    /// Calls start and waits while it is pending; its status.
    pub fn start(&mut self) -> abi::Status {
        let start = self.plugin.table.start;
        self.begin_or_end("start", start, START_MAX)
    }

    /// Calls stop and waits while it is pending; its status.
    pub fn stop(&mut self) -> abi::Status {
        let stop = self.plugin.table.stop;
        self.begin_or_end("stop", stop, STOP_MAX)
    }

    fn begin_or_end(
        &mut self,
        callback: &str,
        function: Option<unsafe extern "C" fn(*mut c_void, u64) -> abi::Status>,
        limit: Duration,
    ) -> abi::Status {
        self.token += 1;
        let token = self.token;
        // SAFETY: as above.
        let status = self.call(callback, |instance| unsafe {
            function.map_or(0, |function| function(instance, token))
        });
        if status != abi::PENDING {
            return status;
        }
        let ended = self.serve(limit, |record| record.done.borrow().contains_key(&token));
        if !ended {
            let seconds = limit.as_secs();
            let text = format!("{callback} is pending for more than {seconds} s");
            if callback == "start" {
                self.findings.push(Finding::warn(text));
                return 0;
            }
            self.findings.push(Finding::fail(text));
        }
        let done = self.record.done.borrow().get(&token).copied();
        done.unwrap_or(INVALID)
    }

    pub fn destroy(mut self) -> Vec<Finding> {
        if let Some(destroy) = self.plugin.table.destroy {
            // SAFETY: as above; nothing is called afterwards.
            self.call("destroy", |instance| unsafe {
                destroy(instance);
                0
            });
        }
        self.findings
    }

    /// Calls role; its token and status.
    pub fn role(&mut self, group: &str, role: u32) -> (u64, abi::Status) {
        let Some(callback) = self.plugin.table.role else {
            return (0, 0);
        };
        self.token += 1;
        let token = self.token;
        let (group, why) = (
            Lent::new(self.mode, group),
            Lent::new(self.mode, "because of a test"),
        );
        let cause = abi::Cause {
            size: size::<abi::Cause>(),
            kind: abi::CAUSE_OTHER,
            flags: 0,
            own: 0,
            theirs: 0,
            reserved: 0,
            for_ns: 0,
            peer: abi::Str::EMPTY,
            interface: abi::Str::EMPTY,
            text: why.text(),
        };
        let event = abi::RoleEvent {
            size: size::<abi::RoleEvent>(),
            role,
            group: group.text(),
            why: why.text(),
            deadline_ns: now_ns() + 1_000_000_000,
            // Maintenance that comes and goes, and flags that no plugin can know yet.
            flags: self.token as u32,
            before: 0,
            epoch: token,
            cause: &raw const cause,
        };
        let event = guard(&event);
        let raw = event.start().cast_const().cast();
        // SAFETY: as above; the event lives through the call.
        let status = self.call("role", |instance| unsafe { callback(instance, token, raw) });
        group.end();
        why.end();
        if self.mode == Mode::Borrow {
            event.revoke();
        }
        (token, status)
    }

    /// Calls query with these words; its token and status.
    pub fn query(&mut self, words: &[&str]) -> (u64, abi::Status) {
        let Some(query) = self.plugin.table.query else {
            return (0, 0);
        };
        self.token += 1;
        let token = self.token;
        let lent: Vec<Lent> = words
            .iter()
            .map(|word| Lent::new(self.mode, word))
            .collect();
        let argv: Vec<abi::Str> = lent.iter().map(Lent::text).collect();
        let count = u32::try_from(argv.len()).unwrap_or(0);
        // SAFETY: as above; the words live through the call.
        let status = self.call("query", |instance| unsafe {
            query(instance, token, argv.as_ptr(), count)
        });
        lent.into_iter().for_each(Lent::end);
        (token, status)
    }

    pub fn up(&mut self, wire: u32) -> abi::Status {
        self.record.is_up.set(true);
        let up = self.plugin.peer.up;
        // SAFETY: as above.
        self.call("up", |instance| unsafe {
            up.map_or(0, |up| up(instance, wire))
        })
    }

    pub fn down(&mut self) -> abi::Status {
        self.record.is_up.set(false);
        self.record.is_full.set(false);
        let down = self.plugin.peer.down;
        // SAFETY: as above.
        self.call("down", |instance| unsafe {
            down.map_or(0, |down| down(instance))
        })
    }

    pub fn message(&mut self, bytes: &[u8]) -> abi::Status {
        let Some(message) = self.plugin.peer.message else {
            return 0;
        };
        let lent = Lent::of_bytes(self.mode, bytes);
        let what = format!("message of {} bytes", bytes.len());
        // SAFETY: as above; the bytes live through the call.
        let status = self.call(&what, |instance| unsafe { message(instance, lent.bytes()) });
        lent.end();
        status
    }

    pub fn partner_up(&mut self, partner: u32) -> abi::Status {
        self.record.partners_up.borrow_mut().insert(partner);
        let up = self.plugin.local.up;
        // SAFETY: as above.
        self.call("up", |instance| unsafe {
            up.map_or(0, |up| up(instance, partner))
        })
    }

    pub fn partner_down(&mut self, partner: u32) -> abi::Status {
        self.record.partners_up.borrow_mut().remove(&partner);
        self.record.partners_full.borrow_mut().remove(&partner);
        let down = self.plugin.local.down;
        // SAFETY: as above.
        self.call("down", |instance| unsafe {
            down.map_or(0, |down| down(instance, partner))
        })
    }

    pub fn partner_message(&mut self, partner: u32, bytes: &[u8]) -> abi::Status {
        let Some(message) = self.plugin.local.message else {
            return 0;
        };
        let lent = Lent::of_bytes(self.mode, bytes);
        let what = format!("message of {} bytes", bytes.len());
        // SAFETY: as above; the bytes live through the call.
        let status = self.call(&what, |instance| unsafe {
            message(instance, partner, lent.bytes())
        });
        lent.end();
        status
    }

    pub fn signature(&mut self, ticket: u64, bytes: &[u8]) -> abi::Status {
        let Some(signature) = self.plugin.identity.signature else {
            return 0;
        };
        let lent = Lent::of_bytes(self.mode, bytes);
        // SAFETY: as above; the bytes live through the call.
        let status = self.call("signature", |instance| unsafe {
            signature(instance, ticket, lent.bytes())
        });
        lent.end();
        status
    }

    pub fn verified(&mut self, ticket: u64, yes: u32) -> abi::Status {
        let verified = self.plugin.identity.verified;
        // SAFETY: as above.
        self.call("verified", |instance| unsafe {
            verified.map_or(0, |verified| verified(instance, ticket, yes))
        })
    }

    /// Calls drain or settle; its token and status.
    pub fn transfer(&mut self, callback: &str, deadline: Duration) -> (u64, abi::Status) {
        let function = match callback {
            "drain" => self.plugin.table.drain,
            _ => self.plugin.table.settle,
        };
        self.token += 1;
        let token = self.token;
        let deadline_ns = now_ns() + deadline.as_nanos() as u64;
        // SAFETY: as above.
        let status = self.call(callback, |instance| unsafe {
            function.map_or(0, |function| function(instance, token, deadline_ns))
        });
        (token, status)
    }
}

/// The host's keys ("@node" and so on) of a trial.
pub fn surroundings() -> Surroundings {
    Surroundings {
        node: "r1".to_owned(),
        nodes: vec!["r1".to_owned(), "r2".to_owned()],
        links: Vec::new(),
        peer: Some("r2".to_owned()),
        state: None,
    }
}
