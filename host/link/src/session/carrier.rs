//! Chooses the path that carries data, and how long an association lasts without one.

use super::session_path::SessionPath;
use super::{Association, Now};

/// Time for which an association outlives its last path.
pub const GRACE_NS: u64 = 1_000_000_000;

/// Another path carries data.
pub(super) struct CarrierChange {
    /// Path before; None for the first one, or after a time without a path.
    pub from: Option<usize>,
    pub to: usize,
    /// True if the path before is silent; else it is gone.
    pub was_silent: bool,
}

impl Association {
    /// Chooses the path for data. It changes when the present path is gone, or is silent while another answers.
    pub(super) fn choose_carrier(
        &mut self,
        now: Now,
        paths: &mut [SessionPath],
    ) -> Option<CarrierChange> {
        let alive = |index: usize| paths.get(index).filter(|path| path.is_joined());
        let current = self.carrier.and_then(alive);
        let was_silent = current.is_some_and(|path| path.liveness.is_suspect(now.ns));
        if current.is_some() && !was_silent {
            self.ends_at_ns = None;
            return None;
        }
        let others = (0..paths.len()).filter(|index| Some(*index) != self.carrier);
        let better = others
            .filter_map(|index| alive(index).map(|path| (index, path)))
            .filter(|(_, path)| !was_silent || path.liveness.answers(now.ns))
            .min_by_key(|(_, path)| path.liveness.silence_ns(now.ns));
        let Some(to) = better.map(|(index, _)| index) else {
            if current.is_none() {
                self.carrier = None;
                self.ends_at_ns.get_or_insert(now.ns + GRACE_NS);
            }
            return None;
        };
        self.ends_at_ns = None;
        self.sequence.rewind();
        for (index, path) in paths.iter_mut().enumerate() {
            path.resend_credits = index == to;
        }
        Some(CarrierChange {
            from: self.carrier.replace(to),
            to,
            was_silent,
        })
    }
}
