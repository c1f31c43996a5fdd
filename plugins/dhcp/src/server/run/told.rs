//! Facts as they were last reported. Each method returns the report, or None if the fact has not changed.

use super::super::{Event, Stamp, Unread};
use super::setup::Setup;

#[derive(Debug, Default)]
pub(super) struct Told {
    fault: Option<String>,
    unread: Unread,
    has_unnamed_file: bool,
    /// Contents of the server's configuration.
    setup: Option<Setup>,
    identity: Option<Vec<u8>>,
    stamp: Option<Stamp>,
}

impl Told {
    /// Reports a fault, or the end of one.
    pub fn handle_fault(&mut self, fault: Option<String>) -> Option<Event> {
        if self.fault == fault {
            return None;
        }
        self.fault.clone_from(&fault);
        Some(Event::Fault(fault))
    }

    pub fn handle_unread(&mut self, unread: Unread) -> Option<Event> {
        if self.unread == unread {
            return None;
        }
        self.unread = unread.clone();
        Some(Event::Unread(unread))
    }

    pub fn handle_unnamed_file(&mut self, has_unnamed_file: bool) -> Option<Event> {
        let had_unnamed_file = std::mem::replace(&mut self.has_unnamed_file, has_unnamed_file);
        (had_unnamed_file != has_unnamed_file).then_some(Event::UnnamedFile(has_unnamed_file))
    }

    pub fn handle_setup(&mut self, setup: Setup) -> Option<Event> {
        if self.setup.as_ref() == Some(&setup) {
            return None;
        }
        self.setup = Some(setup.clone());
        Some(setup.into_event())
    }

    pub fn handle_identity(&mut self, identity: Option<Vec<u8>>) -> Option<Event> {
        let new = identity.filter(|new| self.identity.as_ref() != Some(new))?;
        self.identity = Some(new.clone());
        Some(Event::Identity(new))
    }

    /// Notes an identity that needs no report of its own.
    pub fn note_identity(&mut self, identity: Option<Vec<u8>>) {
        self.identity = identity;
    }

    pub fn handle_stamp(&mut self, stamp: Option<Stamp>) -> Option<Event> {
        let new = stamp.filter(|_| self.stamp != stamp)?;
        self.stamp = Some(new);
        Some(Event::Stamp(new))
    }

    pub fn fault(&self) -> Option<&String> {
        self.fault.as_ref()
    }

    pub fn has_unnamed_file(&self) -> bool {
        self.has_unnamed_file
    }

    pub fn setup(&self) -> Option<&Setup> {
        self.setup.as_ref()
    }
}
