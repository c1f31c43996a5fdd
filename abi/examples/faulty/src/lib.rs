//! Commits a fault that a plugin can have, so that tests see what happens to the others.
//!
//!     fault = "panic"    # or another name in FAULTS
//!     after_ms = 500     # after start
//!
//! It asks for real-time priority: the worst case.

use std::fs::File;
use std::time::Duration;

use spared_sdk::config::Config;
use spared_sdk::{
    Answer, Applied, Error, Host, Plugin, Progress, Query, RoleEvent, Roles, Sockets, Token, Verb,
};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// Unwinds in a callback.
    Panic,
    /// Writes to an unmapped address.
    Segfault,
    /// Calls exit().
    Exit,
    /// Sleeps in a callback for ever.
    Hang,
    /// Computes in a callback for ever.
    Spin,
    /// Logs as fast as it can.
    LogFlood,
    /// Writes to stderr as fast as it can.
    ErrorFlood,
    /// Calls the host as fast as it can.
    CallFlood,
    /// Opens files and never closes them.
    LeakDescriptors,
    /// Never completes a role or a query.
    NeverDone,
    /// Completes a role only after `after_ms`.
    LateDone,
    /// Refuses a role, with a sentence.
    RefuseRole,
    /// Refuses a role with done(), after `after_ms`.
    RefuseRoleLate,
    /// Sleeps in stop for ever.
    HangInStop,
}

const FAULTS: [(&str, Fault); 15] = [
    ("none", Fault::None),
    ("panic", Fault::Panic),
    ("segfault", Fault::Segfault),
    ("exit", Fault::Exit),
    ("hang", Fault::Hang),
    ("spin", Fault::Spin),
    ("log-flood", Fault::LogFlood),
    ("error-flood", Fault::ErrorFlood),
    ("call-flood", Fault::CallFlood),
    ("leak-descriptors", Fault::LeakDescriptors),
    ("never-done", Fault::NeverDone),
    ("late-done", Fault::LateDone),
    ("refuse-role", Fault::RefuseRole),
    ("refuse-role-late", Fault::RefuseRoleLate),
    ("hang-in-stop", Fault::HangInStop),
];

struct Settings {
    fault: Fault,
    after_ms: u64,
}

struct Faulty {
    host: Host,
    settings: Settings,
    leaked: Vec<File>,
    late: Vec<Token>,
}

impl Plugin for Faulty {
    type Settings = Settings;

    fn create(host: Host) -> Result<Self, Error> {
        let settings = Settings {
            fault: Fault::None,
            after_ms: 0,
        };
        Ok(Self {
            host,
            settings,
            leaked: Vec::new(),
            late: Vec::new(),
        })
    }

    fn read(config: &Config) -> Result<Settings, Error> {
        let root = config.root();
        Ok(Settings {
            fault: root.choice("fault", &FAULTS).unwrap_or(Fault::None),
            after_ms: root.integer("after_ms", 0..=3_600_000).unwrap_or(0),
        })
    }

    fn configure(&mut self, settings: Settings) -> Result<Applied, Error> {
        self.settings = settings;
        Ok(Applied::Live)
    }

    fn start(&mut self, _token: Token) -> Result<Progress, Error> {
        self.again_in(Duration::from_millis(self.settings.after_ms))?;
        Ok(Progress::Done)
    }

    fn stop(&mut self, _token: Token) -> Result<Progress, Error> {
        if self.settings.fault == Fault::HangInStop {
            hang();
        }
        Ok(Progress::Done)
    }

    fn timer(&mut self, _id: u32) {
        if let Err(error) = self.commit() {
            log::warn!("{error}");
        }
    }
}

impl Faulty {
    fn again_in(&self, delay: Duration) -> Result<(), Error> {
        let delay_ns = spared_sdk::nanoseconds(delay);
        self.host.timer(1, self.host.now().saturating_add(delay_ns))
    }

    fn progress(&self) -> Progress {
        match self.settings.fault {
            Fault::NeverDone => Progress::Pending,
            _ => Progress::Done,
        }
    }

    fn commit(&mut self) -> Result<(), Error> {
        match self.settings.fault {
            Fault::None | Fault::NeverDone | Fault::RefuseRole | Fault::HangInStop => Ok(()),
            Fault::RefuseRoleLate => {
                for token in self.late.drain(..) {
                    self.host.done(token, Err(refused()));
                }
                Ok(())
            }
            Fault::LateDone => {
                let late = self.late.drain(..);
                late.for_each(|token| self.host.done(token, Ok(())));
                Ok(())
            }
            Fault::Panic => panic!("as configured"),
            Fault::Segfault => segfault(),
            Fault::Exit => std::process::exit(3),
            Fault::Hang => hang(),
            Fault::Spin => loop {
                std::hint::spin_loop();
            },
            Fault::LogFlood => {
                (0..10_000).for_each(|line| log::info!("line {line} of a flood"));
                self.again_in(Duration::ZERO)
            }
            Fault::ErrorFlood => {
                (0..10_000).for_each(|line| eprintln!("line {line} of a flood"));
                self.again_in(Duration::ZERO)
            }
            Fault::CallFlood => {
                for _ in 0..20 {
                    // goes on even if it is refused
                    let _ = self.host.interfaces().follow("lo", Sockets::NONE);
                }
                self.again_in(Duration::ZERO)
            }
            Fault::LeakDescriptors => {
                while let Ok(file) = File::open("/dev/null") {
                    self.leaked.push(file);
                }
                self.again_in(Duration::from_millis(100))
            }
        }
    }
}

fn refused() -> Error {
    Error::Plugin("the lamp has no bulb".to_owned())
}

fn hang() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

fn segfault() -> ! {
    // SAFETY: none, on purpose.
    unsafe { std::ptr::without_provenance_mut::<u8>(16).write_volatile(1) };
    hang()
}

impl Roles for Faulty {
    fn role(&mut self, _event: &RoleEvent, token: Token) -> Result<Progress, Error> {
        if self.settings.fault == Fault::RefuseRole {
            return Err(refused());
        }
        if matches!(self.settings.fault, Fault::LateDone | Fault::RefuseRoleLate) {
            self.late.push(token);
            self.again_in(Duration::from_millis(self.settings.after_ms))?;
            return Ok(Progress::Pending);
        }
        Ok(self.progress())
    }
}

impl Query for Faulty {
    const VERBS: &'static [Verb] = &[
        Verb::ROWS,
        Verb::STATUS,
        Verb::asks(c"fault", c"", c"says what it does wrong"),
    ];

    fn query(&mut self, _argv: &[&str], answer: &mut Answer) -> Result<Progress, Error> {
        answer.text("fault", &format!("{:?}", self.settings.fault))?;
        if self.settings.fault != Fault::None {
            answer.attention();
        }
        Ok(self.progress())
    }
}

spared_sdk::plugin!(Faulty {
    name: "faulty",
    summary: "does wrong what can be done wrong",
    flags: REALTIME,
    parts: [roles, query],
});
