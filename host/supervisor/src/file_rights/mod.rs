//! Finds files that were replaced since a worker got the right to open them. A rule of Landlock belongs to an inode: a
//! file that took the place of another one, or that was missing when the worker started, cannot be opened by it.
//!
//! [`FileRights::handle_looks`] takes what [`look`] finds. Looks need a disk, which may hang: [`Looker`] has a thread
//! for them.

mod look;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub(super) use look::Looker;
use look::{Look, Looks};
use spared_message::plugin_files::Opened;

/// Pause after a restart, doubled with each further one up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_secs(10);
const PAUSE_MAX: Duration = Duration::from_secs(3600);
/// Age of a look that no longer tells which file a new worker opened.
const OLD: Duration = Duration::from_secs(5);
/// Number of pauses without a restart after which the first pause applies again.
const CALM_PAUSES: u32 = 4;

/// Files and folders that the workers of one plugin may open.
#[derive(Debug, Default)]
pub(super) struct FileRights {
    /// Worker to which `granted` belongs.
    serial: Option<u64>,
    /// Last look before that worker started, or the first one after it.
    granted: Looks,
    latest: Looks,
    looked_at: Option<Instant>,
    pace: Pace,
}

/// Restarts for replaced files: a file that is replaced again and again must not restart its plugin each time.
#[derive(Debug, Default)]
struct Pace {
    /// Last restart, and the pause after it.
    last: Option<(Instant, Duration)>,
}

/// File that the worker can no longer open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    pub plugin: String,
    pub path: String,
    /// Time in which the plugin is not restarted once more for such a file.
    pub pause: Duration,
}

impl FileRights {
    /// Handles looks at the paths of the worker with this serial number. Returns a file that it cannot open, if the
    /// plugin may be restarted for that now. A file that differs from the look before is still being replaced.
    pub(super) fn handle_looks(
        &mut self,
        now: Instant,
        serial: u64,
        opened: &Opened,
        looks: Looks,
    ) -> Option<String> {
        if self.serial != Some(serial) {
            let before = std::mem::take(&mut self.latest);
            let is_old = |at: Instant| now.saturating_duration_since(at) > OLD;
            self.serial = Some(serial);
            self.granted = looks.clone();
            // a file that was replaced while the worker started may be the old one or the new one there
            if !self.looked_at.is_none_or(is_old) {
                self.granted.extend(before);
            }
        }
        let is_lost = |path: &String, writes: bool| {
            let look = looks.get(path)?;
            let stays = self.latest.get(path) == Some(look);
            let was_replaced = self.granted.get(path)?.is_replaced_by(look);
            (stays && was_replaced && !self.is_within(opened, look, writes)).then(|| path.clone())
        };
        let read = opened.to_read.iter().find_map(|path| is_lost(path, false));
        let lost = read.or_else(|| opened.to_write.iter().find_map(|path| is_lost(path, true)));
        self.latest = looks;
        self.looked_at = Some(now);
        lost.filter(|_| self.pace.is_due(now))
    }

    /// Handles that the plugin is restarted for a file. Returns the time in which it is not restarted once more.
    pub(super) fn handle_restart(&mut self, now: Instant) -> Duration {
        self.pace.handle_restart(now)
    }

    /// Returns true if the worker may open the file because it may open a folder around it.
    fn is_within(&self, opened: &Opened, look: &Look, writes: bool) -> bool {
        let readable = opened.to_read.iter().filter(|_| !writes);
        let mut granted = readable
            .chain(&opened.to_write)
            .filter_map(|path| self.granted.get(path)?.folder());
        granted.any(|folder| look.folders().contains(&folder))
    }
}

impl Pace {
    fn is_due(&self, now: Instant) -> bool {
        self.last
            .is_none_or(|(at, pause)| now.saturating_duration_since(at) >= pause)
    }

    fn handle_restart(&mut self, now: Instant) -> Duration {
        let recent = self
            .last
            .filter(|(at, pause)| now.saturating_duration_since(*at) < *pause * CALM_PAUSES);
        let pause = recent.map_or(PAUSE, |(_, pause)| (pause * 2).min(PAUSE_MAX));
        self.last = Some((now, pause));
        pause
    }
}

/// Looks of several plugins, by path.
pub(super) fn of_paths(looks: &Looks, opened: &Opened) -> Looks {
    let paths = opened.to_read.iter().chain(&opened.to_write);
    let known = paths.filter_map(|path| Some((path.clone(), looks.get(path)?.clone())));
    known.collect::<BTreeMap<_, _>>()
}
