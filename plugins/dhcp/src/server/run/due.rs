//! Times of work that no command asks for.

use std::time::Instant;

/// Time of the next work without a command.
#[derive(Debug, Default)]
pub struct Due {
    pub open: Option<Instant>,
    /// Time of the next reading of the server's configuration.
    pub setup: Option<Instant>,
    pub look: Option<Instant>,
    /// The next look finds a file that was left alone.
    pub is_quiet: bool,
    pub server: Option<Instant>,
    pub server_late: Option<Instant>,
    pub probe: Option<Instant>,
    /// Time of the next look at the server's process.
    pub hang: Option<Instant>,
}

impl Due {
    pub fn first(&self) -> Option<Instant> {
        let all = [
            self.open,
            self.setup,
            self.look,
            self.server,
            self.server_late,
            self.probe,
            self.hang,
        ];
        all.into_iter().flatten().min()
    }

    pub fn look_at(&mut self, at: Instant, is_quiet: bool) {
        self.look = Some(at);
        self.is_quiet = is_quiet;
    }
}

pub fn take_due(due: &mut Option<Instant>, now: Instant) -> bool {
    due.take_if(|at| *at <= now).is_some()
}
