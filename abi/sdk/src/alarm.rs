//! One timer, which is kept at the next timeout of an engine.

use crate::Host;

/// Timer of the host that is kept at the time last passed to [`set`](Self::set). The host is called only when that time
/// changes.
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
    /// Creates the timer `id`, not set yet. Nothing else may use this `id`.
    pub fn new(host: Host, id: u32) -> Self {
        Self {
            host,
            id,
            armed_ns: None,
        }
    }

    /// Makes the host call [`Plugin::timer`](crate::Plugin::timer) at this monotonic time in ns, or never. If the host
    /// refuses, that is logged, and the next call retries.
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

    /// Notes that the timer has expired, so that the host no longer has it. Call it from
    /// [`Plugin::timer`](crate::Plugin::timer).
    pub fn fired(&mut self) {
        self.armed_ns = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{TIMERS_MAX, rig};

    const ID: u32 = 7;

    fn next_ns(host: Host) -> Option<u64> {
        host.core().timers.borrow().next_ns()
    }

    #[test]
    fn the_loop_is_asked_only_for_what_changed() {
        let (host, _daemon) = rig::host();
        let mut alarm = Alarm::new(host, ID);
        alarm.set(None);
        assert_eq!(next_ns(host), None);
        for at_ns in [5, 3] {
            alarm.set(Some(at_ns));
            assert_eq!(next_ns(host), Some(at_ns));
        }
        host.cancel_timer(ID);
        alarm.set(Some(3));
        assert_eq!(next_ns(host), None, "it has asked for that");
        alarm.fired();
        alarm.set(Some(3));
        assert_eq!(next_ns(host), Some(3));
        alarm.set(None);
        assert_eq!(next_ns(host), None);
    }

    #[test]
    fn what_was_refused_is_asked_for_again() {
        let (host, _daemon) = rig::host();
        for id in 0..TIMERS_MAX as u32 {
            host.timer(1000 + id, 9).unwrap();
        }
        let mut alarm = Alarm::new(host, ID);
        alarm.set(Some(5));
        assert_eq!(next_ns(host), Some(9));
        host.cancel_timer(1000);
        alarm.set(Some(5));
        assert_eq!(next_ns(host), Some(5));
    }
}
