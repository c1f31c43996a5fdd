//! What a host's loop does for a plugin: descriptors, timers, wakes, writable channels.

use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use spared_records::monotonic::now_ns;

use super::Trial;
use crate::host::Record;

impl Trial {
    /// Serves timers, descriptors and wakes until `until` holds or the time is over; whether it holds.
    pub fn serve(&mut self, limit: Duration, until: impl Fn(&Record) -> bool) -> bool {
        let deadline = Instant::now() + limit;
        while !until(self.record) {
            if Instant::now() > deadline {
                return false;
            }
            self.serve_descriptors();
            self.serve_timers();
            self.serve_wake();
            self.serve_writable();
        }
        true
    }

    fn serve_descriptors(&mut self) {
        let watches: Vec<_> = self
            .record
            .watches
            .borrow()
            .iter()
            .map(|(fd, events)| (*fd, *events))
            .collect();
        let mut polled: Vec<_> = watches
            .iter()
            .map(|(fd, events)| {
                let events = PollFlags::from_bits_retain(*events as u16);
                // SAFETY: the kernel answers POLLNVAL for a number that is not open.
                PollFd::from_borrowed_fd(unsafe { BorrowedFd::borrow_raw(*fd) }, events)
            })
            .collect();
        let tick = Timespec {
            tv_sec: 0,
            tv_nsec: 2_000_000,
        };
        if poll(&mut polled, Some(&tick)).unwrap_or(0) == 0 {
            return;
        }
        let ready: Vec<_> = polled
            .iter()
            .map(|polled| u32::from(polled.revents().bits()))
            .collect();
        let callback = self.plugin.table.fd;
        for ((fd, _), events) in watches.into_iter().zip(ready) {
            if events != 0 && self.record.watches.borrow().contains_key(&fd) {
                // SAFETY: the plugin's contract for a created instance.
                self.call("fd", |instance| unsafe {
                    callback.map_or(0, |callback| callback(instance, fd, events))
                });
            }
        }
    }

    fn serve_timers(&mut self) {
        let now_ns = now_ns();
        let due: Vec<u32> = {
            let mut timers = self.record.timers.borrow_mut();
            let due = timers
                .iter()
                .filter(|(_, at_ns)| **at_ns <= now_ns)
                .map(|(id, _)| *id)
                .collect();
            timers.retain(|_, at_ns| *at_ns > now_ns);
            due
        };
        let timer = self.plugin.table.timer;
        for id in due {
            // SAFETY: as above.
            self.call("timer", |instance| unsafe {
                timer.map_or(0, |timer| timer(instance, id))
            });
        }
    }

    fn serve_wake(&mut self) {
        if self.record.woken.swap(false, Ordering::AcqRel) {
            let woken = self.plugin.table.woken;
            // SAFETY: as above.
            self.call("woken", |instance| unsafe {
                woken.map_or(0, |woken| woken(instance))
            });
        }
    }

    fn serve_writable(&mut self) {
        for partner in self.record.partners_full.take() {
            if let Some(writable) = self.plugin.local.writable {
                // SAFETY: as above.
                self.call("writable", |instance| unsafe {
                    writable(instance, partner)
                });
            }
        }
        if self.record.is_full.replace(false) {
            let writable = self.plugin.peer.writable;
            // SAFETY: the plugin's contract for a created instance.
            self.call("writable", |instance| unsafe {
                writable.map_or(0, |writable| writable(instance))
            });
        }
    }
}
