//! Interfaces that are down for a while: they come up again, even if nothing waits for them.

use std::fs;
use std::path::{Path, PathBuf};

use spared_records::boot;

use super::kernel::{set_link, take_down};
use super::routes::Routes;

const MARK_PREFIX: &str = "bounce.";
/// Time in ns between two tries to restore routes, and number of tries: an IPv6 route needs an address that was checked
/// for duplicates, for which the interface must have a carrier.
const ROUTES_NS: u64 = 500_000_000;
const ROUTES_TRIES: u32 = 20;

#[derive(Debug)]
pub(super) struct Bounces {
    list: Vec<Bounce>,
    /// Folder of the marks of interfaces that are set down, for the next worker if this one is killed.
    marks: Option<PathBuf>,
}

#[derive(Debug)]
struct Bounce {
    /// Number of the job; None: nothing waits for it any more.
    number: Option<u64>,
    interface: String,
    until_ns: u64,
    /// Routes of the interface that are still to be restored.
    routes: Routes,
    tries: u32,
}

impl Bounces {
    /// Sets up the interfaces that an earlier worker of this boot has left down.
    pub(super) fn new(marks: Option<PathBuf>) -> Self {
        let bounces = Self {
            list: Vec::new(),
            marks,
        };
        let boot = boot::id();
        for (path, interface) in bounces.leftover_marks() {
            if fs::read_to_string(&path).is_ok_and(|text| text == boot) {
                bounces
                    .set_up(&interface)
                    .unwrap_or_else(|why| log::warn!("{why}"));
            }
            let _ = fs::remove_file(path);
        }
        bounces
    }

    /// Begins a bounce; false if the interface was down, and stays so.
    pub(super) fn begin(
        &mut self,
        number: u64,
        interface: &str,
        until_ns: u64,
    ) -> Result<bool, String> {
        let mark = self.mark(interface);
        let taken = take_down(interface, || {
            let boot = boot::id();
            if let Some(Err(error)) = mark.map(|mark| fs::write(mark, boot)) {
                log::warn!("{interface}: a worker that dies would leave it down: {error}");
            }
        })?;
        let older = self.take(interface);
        let routes = match (taken, older) {
            (Some(mut routes), older) => {
                routes.add(older.map(|older| older.routes).unwrap_or_default());
                routes
            }
            (None, Some(older)) => older.routes,
            (None, None) => return Ok(false),
        };
        self.list.push(Bounce {
            number: Some(number),
            interface: interface.to_owned(),
            until_ns,
            routes,
            tries: 0,
        });
        Ok(true)
    }

    /// Ends a bounce, because another job decides on the interface; returns the number of the bounce's job. Routes are
    /// restored only with the interface.
    pub(super) fn end(&mut self, interface: &str, up: bool) -> Option<u64> {
        let mut bounce = self.take(interface)?;
        let number = bounce.number.take();
        if up {
            bounce.until_ns = 0;
            self.list.push(bounce);
        } else {
            self.unmark(interface);
        }
        number
    }

    fn take(&mut self, interface: &str) -> Option<Bounce> {
        let at = self.list.iter().position(|it| it.interface == interface)?;
        Some(self.list.swap_remove(at))
    }

    pub(super) fn forget(&mut self, number: u64) {
        for bounce in &mut self.list {
            bounce.number.take_if(|it| *it == number);
        }
    }

    pub(super) fn next_ns(&self) -> Option<u64> {
        self.list.iter().map(|bounce| bounce.until_ns).min()
    }

    pub(super) fn handle_timeout(&mut self, now_ns: u64) -> Vec<(u64, Result<(), String>)> {
        let due = |bounce: &Bounce| bounce.until_ns <= now_ns;
        let mut ended = Vec::new();
        let (over, going): (Vec<Bounce>, _) =
            std::mem::take(&mut self.list).into_iter().partition(due);
        self.list = going;
        for mut bounce in over {
            // later the interface is not ours, and others may have set it down
            let result = match bounce.tries {
                0 => self.set_up(&bounce.interface),
                _ => Ok(()),
            };
            let left = bounce.routes.restore();
            match (bounce.number.take(), result) {
                (Some(number), result) => ended.push((number, result)),
                (None, result) => result.unwrap_or_else(|why| log::warn!("{why}")),
            }
            bounce.tries = bounce.tries.saturating_add(1);
            if left > 0 && bounce.tries < ROUTES_TRIES {
                bounce.until_ns = now_ns.saturating_add(ROUTES_NS);
                self.list.push(bounce);
            } else {
                bounce.warn_lost(left);
            }
        }
        ended
    }

    pub(super) fn end_all(&mut self) {
        for mut bounce in std::mem::take(&mut self.list) {
            self.set_up(&bounce.interface)
                .unwrap_or_else(|why| log::warn!("{why}"));
            let left = bounce.routes.restore();
            bounce.warn_lost(left);
        }
    }

    fn set_up(&self, interface: &str) -> Result<(), String> {
        let result = set_link(interface, true);
        self.unmark(interface);
        result
    }

    fn mark(&self, interface: &str) -> Option<PathBuf> {
        let folder = self.marks.as_deref()?;
        Some(folder.join(format!("{MARK_PREFIX}{interface}")))
    }

    fn unmark(&self, interface: &str) {
        let _ = self.mark(interface).map(fs::remove_file);
    }

    fn leftover_marks(&self) -> Vec<(PathBuf, String)> {
        let folder = self.marks.as_deref().unwrap_or(Path::new(""));
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let interface = |path: PathBuf| {
            let name = path
                .file_name()?
                .to_str()?
                .strip_prefix(MARK_PREFIX)?
                .to_owned();
            Some((path, name))
        };
        entries
            .filter_map(|entry| interface(entry.path()))
            .collect()
    }
}

impl Bounce {
    fn warn_lost(&self, left: usize) {
        if left > 0 {
            log::warn!("{}: {left} routes could not be put back", self.interface);
        }
    }
}
