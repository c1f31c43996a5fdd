//! One timer that is kept at the next timeout of an engine.

use crate::Host;

/// A timer of the host that stays at the time last passed to [`set`](Self::set). The host is called
/// only when that time changes.
///
/// ```ignore
/// // after each event
/// self.alarm.set(self.engine.next_timeout());
///
/// fn timer(&mut self, _id: u32) {
///     self.alarm.fired();
///     self.engine.handle_timeout(self.host.now());
///     self.alarm.set(self.engine.next_timeout());
/// }
/// ```
#[derive(Debug)]
pub struct Alarm {
    host: Host,
    id: u32,
    armed_ns: Option<u64>,
}

impl Alarm {
    /// The timer `id`, not set yet. Nothing else may use this `id`.
    pub fn new(host: Host, id: u32) -> Self {
        Self {
            host,
            id,
            armed_ns: None,
        }
    }

    /// Makes the host call [`Plugin::timer`](crate::Plugin::timer) at that monotonic time, or not
    /// at all. If the host refuses, that is logged, and the next call tries again.
    pub fn set(&mut self, at_ns: Option<u64>) {
        if at_ns == self.armed_ns {
            return;
        }
        self.armed_ns = at_ns;
        match at_ns {
            Some(at_ns) => {
                if let Err(error) = self.host.timer(self.id, at_ns) {
                    log::error!("{error}");
                    self.armed_ns = None;
                }
            }
            None => self.host.cancel_timer(self.id),
        }
    }

    /// To be called when the timer expired: the host no longer has it.
    pub fn fired(&mut self) {
        self.armed_ns = None;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::ffi::c_void;

    use spared_abi as abi;

    use super::*;

    const ENOSPC: abi::Status = -28;

    thread_local! {
        static ASKED: RefCell<Vec<(u32, u64)>> = const { RefCell::new(Vec::new()) };
    }

    unsafe extern "C" fn timer(_: *mut c_void, id: u32, at_ns: u64) -> abi::Status {
        ASKED.with_borrow_mut(|asked| asked.push((id, at_ns)));
        if at_ns == 666 { ENOSPC } else { 0 }
    }

    fn asked() -> Vec<(u32, u64)> {
        ASKED.take()
    }

    fn with_alarm(test: impl FnOnce(Alarm)) {
        let table = abi::Host {
            size: crate::group::size::<abi::Host>(),
            timer: Some(timer),
            // SAFETY: zero means "absent" in every other field.
            ..unsafe { std::mem::zeroed() }
        };
        // SAFETY: the table outlives the test.
        test(Alarm::new(unsafe { Host::from_raw(&raw const table) }, 7));
    }

    #[test]
    fn the_host_is_asked_only_for_what_changed() {
        with_alarm(|mut alarm| {
            alarm.set(None);
            assert_eq!(asked(), []);
            alarm.set(Some(5));
            alarm.set(Some(5));
            alarm.set(Some(3));
            assert_eq!(asked(), [(7, 5), (7, 3)]);
            alarm.set(None);
            alarm.set(None);
            assert_eq!(asked(), [(7, 0)], "0 cancels");
        });
    }

    #[test]
    fn what_ran_out_or_was_refused_is_asked_for_again() {
        with_alarm(|mut alarm| {
            alarm.set(Some(5));
            alarm.fired();
            alarm.set(Some(5));
            assert_eq!(asked(), [(7, 5), (7, 5)]);
            alarm.set(Some(666));
            alarm.set(Some(666));
            assert_eq!(asked(), [(7, 666), (7, 666)]);
        });
    }
}
