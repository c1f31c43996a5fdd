//! Incarnation of a set: its number for the replica, and what is known of the kernel's sets of this name as long as
//! they are one set for the peer. It ends when the set is gone, or has another shape.

use super::Origin;
use super::entry::digest;
use super::refill::Refill;
use super::set::News;
use crate::codec::Handles;
use crate::config::Reload;

#[derive(Debug, Default)]
pub(super) struct Incarnation {
    /// Number for the replica; None: not read yet.
    number: Option<u64>,
    handles: Option<Handles>,
    /// True if the set was created again, and not read since.
    is_new: bool,
    /// Writing of the elements that a set created again lacks.
    refill: Option<Refill>,
    /// Intervals that were added: reported after the deleted ones, which they may overlap.
    held: Vec<News>,
    /// True if the set is filled by lists: one replaces another, and none is merged with another.
    is_list: bool,
    /// The peer's number of the state in force.
    generation: Option<u32>,
}

impl Incarnation {
    /// Begins: from now on absence is a deletion, for the set's own incarnation, or, if the reading may have skipped
    /// elements, for this process's.
    pub fn begin(&mut self, origin: Origin, is_certain: bool) {
        let handles = self.handles.unwrap_or_default();
        let run = if is_certain { 0 } else { origin.run };
        let numbers = [origin.boot, handles.table, handles.set, run];
        let bytes = numbers.map(u64::to_be_bytes);
        self.number = Some(digest(&[&bytes[0], &bytes[1], &bytes[2], &bytes[3]]));
    }

    /// Handles the kernel's handles; returns true if its set is another one than before.
    pub fn handle_handles(&mut self, handles: Handles) -> bool {
        if self.handles == Some(handles) {
            return false;
        }
        self.handles = Some(handles);
        self.is_new = self.number.is_some();
        self.refill = None;
        true
    }

    /// Handles a complete reading: a set that was created again is refilled, or stays as it is.
    pub fn handle_read(&mut self, reload: Reload) {
        if std::mem::take(&mut self.is_new) && reload == Reload::Refill {
            self.refill = Some(Refill::default());
        }
    }

    pub fn handle_list(&mut self) {
        self.is_list = true;
    }

    /// Handles that a state of the peer is in force.
    pub fn handle_commit(&mut self, generation: u32) {
        self.generation = Some(generation);
    }

    /// Holds back an interval until [`release`](Self::release).
    pub fn hold(&mut self, news: News) {
        self.held.push(news);
    }

    pub fn release(&mut self, news: &mut Vec<News>) {
        news.append(&mut self.held);
    }

    /// Takes the refill if it is due; [`set_refill`](Self::set_refill) puts it back.
    pub fn take_refill(&mut self, now_ns: u64) -> Option<Refill> {
        self.refill.take_if(|it| it.due_ns() <= now_ns)
    }

    pub fn set_refill(&mut self, refill: Option<Refill>) {
        self.refill = refill;
    }

    pub fn refill(&self) -> Option<&Refill> {
        self.refill.as_ref()
    }

    pub fn number(&self) -> Option<u64> {
        self.number
    }

    pub fn is_begun(&self) -> bool {
        self.number.is_some()
    }

    pub fn is_new(&self) -> bool {
        self.is_new
    }

    pub fn is_list(&self) -> bool {
        self.is_list
    }

    pub fn generation(&self) -> Option<u32> {
        self.generation
    }
}
