//! Restarts plugins that can no longer open files of theirs because these were replaced.

use std::time::{Duration, Instant};

use spared_message::notice::{Kind, Notice};

use super::r#loop::Loop;

/// Pause after a restart from which on the file is replaced too often.
const MANY: Duration = Duration::from_secs(60);

impl Loop {
    /// Stops a plugin one of whose files was replaced, as for a reload: it starts again when it has stopped. That waits
    /// for the end of a change of role, of a reload, and of other starts.
    pub(super) fn renew_file_rights(&mut self, now: Instant) {
        if self.process.is_stopping() || !self.process.restricts_files() {
            return;
        }
        let may_restart =
            self.groups.is_calm() && self.reload.is_idle() && self.supervisor.is_settled();
        let Some(replaced) = self.supervisor.poll_replaced(now, may_restart) else {
            return;
        };
        let (plugin, path) = (&replaced.plugin, &replaced.path);
        let pause = replaced.pause.as_secs();
        let text = format!(
            "{plugin} is restarted to open {path}, which was replaced; not once more for such a file within {pause} s"
        );
        let notice = if replaced.pause >= MANY {
            Notice::warn(Kind::Plugin, text)
        } else {
            Notice::new(Kind::Plugin, text)
        };
        let notice = notice.because("file-replaced");
        self.notices.record(notice);
        self.supervisor.stop(now, &replaced.plugin);
    }
}
