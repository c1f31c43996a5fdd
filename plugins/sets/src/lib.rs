//! Replicates dynamic nftables sets from the active node to the backup.
//!
//! All I/O is in this file and `kernel/`; `engine` decides, `store.rs` has the kernel's elements, `wire.rs` the bytes for
//! the peer, `codec` the kernel's messages. *spared-sets*(5) is the manual of the keys.
#![forbid(unsafe_code)]

pub mod codec;
pub mod config;
pub mod element;
pub mod engine;
pub mod error;
pub mod kernel;
mod key;
mod lists_file;
pub mod store;
pub mod wire;

use std::os::fd::RawFd;

use spared_sdk::config::Config;
use spared_sdk::{
    Answer, Applied, Commands, Error, Host, Interest, Io, Progress, Ready, Runner, Verb, replicated,
};

use config::Settings;
use engine::{Action, Engine, Seen};
use kernel::{Event, Found, Kernel};
use lists_file::ListsFile;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

/// I/O of the plugin.
pub struct Sets {
    host: Host,
    kernel: Kernel,
    lists: ListsFile,
    /// True if notifications arrive.
    hears: bool,
}

impl Io for Sets {
    type Settings = Settings;
    type Engine = Engine;

    fn read(config: &Config) -> Result<Settings, Error> {
        config::read(config).ok_or(Error::Config(Vec::new()))
    }

    fn start(host: Host, settings: &Settings) -> Result<(Self, Engine), Error> {
        let waker = host.waker();
        let names = settings.names();
        let tables: Vec<String> = names.iter().map(ToString::to_string).collect();
        let kernel = Kernel::open(names, move || waker.wake());
        let kernel = kernel.map_err(Error::kernel("open netlink sockets"))?;
        host.watch_fd(kernel.fd(), Interest::READ)?;
        let replica = replicated::config(host, tables.iter().map(String::as_str));
        let mut engine = Engine::new(host.now(), settings.clone(), replica, &kernel.boot());
        let lists = ListsFile::in_folder(host.state_folder());
        engine.recall_lists(&lists.read());
        if let Some(generation) = kernel.generation() {
            engine.handle_generation(host.now(), generation);
        }
        let io = Self {
            host,
            kernel,
            lists,
            hears: true,
        };
        Ok((io, engine))
    }

    fn configure(
        &mut self,
        engine: &mut Engine,
        now_ns: u64,
        old: &Settings,
        new: &Settings,
    ) -> Result<Applied, Error> {
        let names = new.names();
        if names != old.names() {
            let unfit = kernel::unfit(&names).map_err(Error::kernel("look at the sets"))?;
            return match unfit {
                Some((name, why)) => Err(Error::config("set", format!("{name} {why}"))),
                None => Ok(Applied::Restart),
            };
        }
        engine.configure(now_ns, new.clone());
        Ok(Applied::Live)
    }

    fn stop(self, _engine: Engine) {
        self.host.unwatch_fd(self.kernel.fd());
    }

    fn perform(&mut self, engine: &mut Engine, _now_ns: u64, action: Action) -> Result<(), Error> {
        match action {
            Action::Read(set) => self.kernel.read(set),
            Action::Write(batch) => {
                let written = self.kernel.write(&batch);
                let now_ns = self.host.now();
                engine.handle_written(now_ns, batch, &written);
                // handles notifications that arrived meanwhile
                self.hear(engine, now_ns);
            }
            Action::KeepLists(names) => self.lists.write(&names),
            Action::Warn(text) => log::warn!("{text}"),
            Action::Event(text) => self.host.event(&text),
        }
        Ok(())
    }

    fn poll(&mut self, engine: &mut Engine, now_ns: u64) -> bool {
        let heard = self.hear(engine, now_ns);
        let Some(found) = self.kernel.poll() else {
            return heard;
        };
        match found {
            Found::Info(set, info) => engine.handle_info(now_ns, set, info),
            Found::Elements(set, elements) => engine.handle_elements(now_ns, set, elements),
            Found::End(set, reading) => engine.handle_read(now_ns, set, reading),
        }
        true
    }

    fn fd(&mut self, engine: &mut Engine, now_ns: u64, _fd: RawFd, _ready: Ready) {
        self.hear(engine, now_ns);
    }
}

impl Commands for Sets {
    const VERBS: &'static [Verb] = &[Verb::ROWS, Verb::STATUS, Verb::METRICS];

    fn query(
        &mut self,
        engine: &mut Engine,
        now_ns: u64,
        argv: &[&str],
        answer: &mut Answer,
    ) -> Result<Progress, Error> {
        match argv {
            [] | ["metrics"] => {}
            ["status"] => answer.text("summary", &engine.summary(now_ns))?,
            _ => return Err(Verb::usage("sets", Self::VERBS)),
        }
        answer.rows(engine.rows(now_ns))?;
        Ok(Progress::Done)
    }
}

impl Sets {
    /// Handles changes by others; true if there were any.
    fn hear(&mut self, engine: &mut Engine, now_ns: u64) -> bool {
        if !self.hears {
            return false;
        }
        let events = self.kernel.events().unwrap_or_else(|error| {
            log::error!("cannot receive change notifications, reading continues: {error}");
            self.host.unwatch_fd(self.kernel.fd());
            self.hears = false;
            engine.handle_silence(now_ns);
            Vec::new()
        });
        let heard = !events.is_empty();
        for event in events {
            match event {
                Event::Added(set, elements) => {
                    engine.handle_event(now_ns, set, Seen::Added(elements));
                }
                Event::Deleted(set, keys) => engine.handle_event(now_ns, set, Seen::Deleted(keys)),
                Event::Touched {
                    set,
                    added,
                    deleted,
                } => engine.handle_event(now_ns, set, Seen::Touched { added, deleted }),
                Event::Generation(number) => engine.handle_generation(now_ns, number),
                Event::Remade(set) => engine.handle_event(now_ns, set, Seen::Remade),
                Event::Lost => engine.handle_loss(now_ns),
            }
        }
        heard
    }
}

spared_sdk::plugin!(Runner<Sets> {
    name: "sets",
    summary: "replicates nftables sets",
    capabilities: [net_admin],
    calls: [FILES, SOCKETS],
    wire: (1, 1),
    parts: [roles, transfer, query, peer],
});
