//! The daemon's part in reports: it notes which keys are secret, and keeps its half for the peer.

use std::io;
use std::path::Path;
use std::time::Instant;

use spared_config::Options;
use spared_contract::Scope;
use spared_message::control::Answer;

use super::for_peer::ReportForPeer;
use super::secret_keys::SecretKeys;

#[derive(Debug)]
pub struct Reports {
    for_peer: ReportForPeer,
    secret_keys: SecretKeys,
}

impl Reports {
    /// Reads the keys that were noted since the machine started.
    pub fn new(runtime_dir: &Path) -> Self {
        Self {
            for_peer: ReportForPeer::default(),
            secret_keys: SecretKeys::read(runtime_dir),
        }
    }

    /// Notes the secret keys of a plugin, so that a report masks their values.
    ///
    /// # Errors
    /// The file cannot be replaced.
    pub fn note_secret_keys(
        &mut self,
        plugin: &str,
        scopes: &[(String, Scope)],
        options: &Options,
    ) -> io::Result<()> {
        self.secret_keys.note(plugin, scopes, &options.runtime_dir)
    }

    /// Returns the part of this node's half from offset `from`. The first request begins the report.
    pub fn ask(&mut self, now: Instant, options: &Options, from: usize) -> Answer {
        self.for_peer.ask(now, options, from)
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        self.for_peer.handle_timeout(now);
    }
}
