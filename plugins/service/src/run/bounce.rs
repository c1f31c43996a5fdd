//! Interfaces that are down for a while: they come up again, whatever becomes of those who wait.

use std::fs;
use std::path::{Path, PathBuf};

use super::kernel::{set_link, take_down};

const BOOT: &str = "/proc/sys/kernel/random/boot_id";
const MARK: &str = "bounce.";

#[derive(Debug)]
pub(super) struct Bounces {
    list: Vec<Bounce>,
    /// Record of interfaces that are set down, for the next worker if this one is killed.
    marks: Option<PathBuf>,
}

#[derive(Debug)]
struct Bounce {
    /// None: nobody waits for it any more.
    number: Option<u64>,
    interface: String,
    until_ns: u64,
}

impl Bounces {
    /// Sets up what a worker before this one, in this boot, has left down.
    pub(super) fn new(marks: Option<PathBuf>) -> Self {
        let bounces = Self {
            list: Vec::new(),
            marks,
        };
        let boot = fs::read_to_string(BOOT).unwrap_or_default();
        for (path, interface) in bounces.left() {
            if fs::read_to_string(&path).is_ok_and(|text| text == boot) {
                bounces
                    .raise(&interface)
                    .unwrap_or_else(|why| log::warn!("{why}"));
            }
            let _ = fs::remove_file(path);
        }
        bounces
    }

    /// Begins one; false where the interface was down, and stays so.
    pub(super) fn begin(
        &mut self,
        number: u64,
        interface: &str,
        until_ns: u64,
    ) -> Result<bool, String> {
        let mark = self.mark(interface);
        let begun = take_down(interface, || {
            let boot = fs::read_to_string(BOOT).unwrap_or_default();
            if let Some(Err(error)) = mark.map(|mark| fs::write(mark, boot)) {
                log::warn!("{interface}: a worker that dies would leave it down: {error}");
            }
        })?;
        if begun {
            self.list.push(Bounce {
                number: Some(number),
                interface: interface.to_owned(),
                until_ns,
            });
        }
        Ok(begun)
    }

    /// Somebody else decides about the interface now; the job whose bounce that was.
    pub(super) fn end(&mut self, interface: &str) -> Option<u64> {
        let at = self.list.iter().position(|it| it.interface == interface)?;
        self.unmark(interface);
        self.list.swap_remove(at).number
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
        for bounce in over {
            let result = self.raise(&bounce.interface);
            match bounce.number {
                Some(number) => ended.push((number, result)),
                None => result.unwrap_or_else(|why| log::warn!("{why}")),
            }
        }
        ended
    }

    pub(super) fn end_all(&mut self) {
        for bounce in std::mem::take(&mut self.list) {
            self.raise(&bounce.interface)
                .unwrap_or_else(|why| log::warn!("{why}"));
        }
    }

    fn raise(&self, interface: &str) -> Result<(), String> {
        let result = set_link(interface, true);
        self.unmark(interface);
        result
    }

    fn mark(&self, interface: &str) -> Option<PathBuf> {
        let folder = self.marks.as_deref()?;
        Some(folder.join(format!("{MARK}{interface}")))
    }

    fn unmark(&self, interface: &str) {
        let _ = self.mark(interface).map(fs::remove_file);
    }

    fn left(&self) -> Vec<(PathBuf, String)> {
        let folder = self.marks.as_deref().unwrap_or(Path::new(""));
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let interface = |path: PathBuf| {
            let name = path.file_name()?.to_str()?.strip_prefix(MARK)?.to_owned();
            Some((path, name))
        };
        entries
            .filter_map(|entry| interface(entry.path()))
            .collect()
    }
}
