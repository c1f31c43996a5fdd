//! The thread's talk with the engine, and everything else that wakes it.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::super::clock::Steps;
use super::super::{Command, End, Event};

pub struct Channel {
    pub commands: Receiver<Command>,
    pub events: SyncSender<Event>,
    /// Called after each event.
    pub wake: Box<dyn Fn() + Send>,
    /// Descriptor that is readable after each command.
    pub bell: Arc<OwnedFd>,
    pub end: End,
    pub clock: Steps,
}

impl Channel {
    pub(super) fn is_ended(&self) -> bool {
        self.end.is_said()
    }

    pub(super) fn end(&self) -> &End {
        &self.end
    }

    /// Returns true if the time of day was set since the last call.
    pub(super) fn is_clock_set(&self) -> bool {
        self.clock.take()
    }

    pub(super) fn poll_command(&self) -> Option<Command> {
        self.commands.try_recv().ok()
    }

    pub(super) fn emit(&self, event: Event) {
        // the receiver may be gone: the end was requested as well
        let _ = self.events.send(event);
        (self.wake)();
    }

    /// Waits for a command, the end, a step of the clock, or a change of the watched files, for `left` at most.
    pub(super) fn wait(&self, files: Option<BorrowedFd<'_>>, left: Option<Duration>) {
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        let mut descriptors = vec![
            PollFd::new(&self.bell, PollFlags::IN),
            PollFd::new(&self.end.descriptor, PollFlags::IN),
            PollFd::new(&self.clock, PollFlags::IN),
        ];
        if let Some(files) = files {
            descriptors.push(PollFd::from_borrowed_fd(files, PollFlags::IN));
        }
        let _ = poll(&mut descriptors, left.as_ref());
        let _ = rustix::io::read(&self.bell, &mut [0; 8]);
    }
}
