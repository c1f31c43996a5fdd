//! Rows of `sparectl web`.

use spared_sdk::{Answer, Commands, Error, Progress, Verb};

use crate::Web;
use crate::engine::Engine;

impl Commands for Web {
    const VERBS: &'static [Verb] = &[
        Verb::ROWS,
        Verb::STATUS,
        Verb::changes(
            c"password",
            c"",
            c"asks for the password of the page, and writes its hash into web.toml",
        ),
    ];

    fn query(
        &mut self,
        engine: &mut Engine,
        _now_ns: u64,
        argv: &[&str],
        answer: &mut Answer,
    ) -> Result<Progress, Error> {
        match argv {
            [] | ["status"] => {}
            ["password", ..] => {
                let why = "the password is asked for by `sparectl web password` on the node itself";
                return Err(Error::Usage(why.to_owned()));
            }
            _ => return Err(Verb::usage("web", Self::VERBS)),
        }
        let open = self.addresses.iter().filter(|(_, why)| why.is_none());
        let open: Vec<&str> = open.map(|(address, _)| address.as_str()).collect();
        let summary = match open.as_slice() {
            [] => "no address is open".to_owned(),
            open => format!("at {}", open.join(", ")),
        };
        answer.text("summary", &summary)?;
        for (address, why) in &self.addresses {
            let state = why.as_deref().unwrap_or("open");
            answer.text(&format!("address.{address}"), state)?;
        }
        if let Some(fingerprint) = self.server.fingerprint() {
            answer.text("certificate.sha256", &fingerprint)?;
        }
        let load = self.server.load();
        answer.number("load.connections", load.connections.into())?;
        answer.number("load.streams", load.streams.into())?;
        answer.number("load.sessions", load.sessions as u64)?;
        answer.number("load.documents", engine.documents())?;
        Ok(Progress::Done)
    }
}
