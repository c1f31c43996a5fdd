//! A page about the pair for browsers, its status as JSON, and metrics.
//!
//! The thread of this file speaks with the daemon: `engine` decides which documents it asks for. The thread of `server`
//! speaks with browsers. `board` is between them, and `page` makes HTML of documents. *spared-web*(5) is the manual of
//! the keys.
#![forbid(unsafe_code)]

pub mod board;
pub mod config;
pub mod engine;
pub mod page;
mod rows;
pub mod server;

use std::collections::BTreeMap;
use std::sync::Arc;

use spared_sdk::config::Config;
use spared_sdk::{Error, Host, Io, Runner};

use board::Board;
use config::Settings;
use engine::{Action, Engine};
use server::Server;

/// I/O of the page: the daemon's documents, and the thread that serves browsers.
pub struct Web {
    host: Host,
    board: Arc<Board>,
    server: Server,
    /// Addresses of the page, with the reason why one is not open; None if it is.
    addresses: BTreeMap<String, Option<String>>,
}

impl Io for Web {
    type Settings = Settings;
    type Engine = Engine;

    fn read(config: &Config) -> Result<Settings, Error> {
        config::read(config).ok_or(Error::Config(Vec::new()))
    }

    fn start(host: Host, settings: &Settings) -> Result<(Self, Engine), Error> {
        let [waker, also] = [host.waker(), host.waker()];
        let board = Arc::new(Board::new(move || waker.wake()));
        let settings = settings.clone();
        let server = Server::start(board.clone(), settings, host.state_folder(), move || {
            also.wake();
        });
        let web = Self {
            host,
            board,
            server: server.map_err(Error::Plugin)?,
            addresses: BTreeMap::new(),
        };
        Ok((web, Engine::default()))
    }

    fn stop(mut self, _engine: Engine) {
        self.server.end();
    }

    fn woken(&mut self, engine: &mut Engine, now_ns: u64) {
        engine.handle_wanted(now_ns, self.board.take_wanted());
    }

    fn document(
        &mut self,
        engine: &mut Engine,
        now_ns: u64,
        ticket: u64,
        document: Result<&str, Error>,
    ) {
        let text = document.map_err(|error| error.to_string());
        engine.handle_document(now_ns, ticket, text);
    }

    fn poll(&mut self, engine: &mut Engine, _now_ns: u64) -> bool {
        let Some((address, why)) = self.server.poll_opened() else {
            return false;
        };
        self.addresses.insert(address, why);
        let closed = self.addresses.iter();
        let closed = closed.filter_map(|(address, why)| Some((address.clone(), why.clone()?)));
        engine.handle_listeners(closed.collect());
        true
    }

    fn perform(&mut self, _engine: &mut Engine, _now_ns: u64, action: Action) -> Result<(), Error> {
        match action {
            Action::Ask(ticket, document) => self.host.documents().ask(ticket, document),
            Action::Publish(wanted, texts) => self.board.publish(wanted, texts),
        }
        Ok(())
    }
}

spared_sdk::plugin!(Runner<Web> {
    name: "web",
    summary: "shows the pair to browsers and collectors of metrics",
    flags: FILES | ASIDE,
    calls: [FILES, SOCKETS],
    parts: [query, documents],
});
