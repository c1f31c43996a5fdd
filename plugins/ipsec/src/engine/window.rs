//! Arithmetic on sequence numbers: the jump of outbound ones, and the inbound ones that count as received after a
//! failover.

use crate::config::{Inbound, Settings};
use crate::sa::{Direction, Pace, Replay, ReplayForm, Sa};
use crate::{MS, SECOND};

/// Number of 32-bit numbers that are left for the old node's last packets and for the IKE daemon's work.
const RESERVE: u64 = 1 << 20;
const LAST_32: u64 = u32::MAX as u64;

/// Knowledge of another node's use of an SA.
#[derive(Clone, Copy, Debug)]
pub struct SaUsage {
    pub pace: Pace,
    /// Time since the node's last report.
    pub silent_ns: u64,
    /// The counters are exact.
    pub is_exact: bool,
    /// The node no longer sends, and its last number is known.
    pub is_stopped: bool,
    /// The counters are from the time when this node was active itself: another may have taken over since.
    pub is_own: bool,
    /// Time for which the nodes have not had the same records.
    pub separated_ns: u64,
}

/// Replay state to install, which reuses no number; None if no number is left.
pub fn replay_to_install(
    sa: &Sa,
    side: Direction,
    usage: SaUsage,
    settings: &Settings,
) -> Option<Replay> {
    let mut replay = sa.replay.clone();
    match side {
        Direction::Out => replay.oseq = jumped(replay.oseq, sa.esn, usage, settings)?,
        Direction::In if usage.is_exact || settings.inbound == Inbound::Accept => {}
        Direction::In => mark_possibly_received(&mut replay, sa.esn, usage.pace, settings),
    }
    Some(replay)
}

/// Outbound number after a jump; None if no number is left. A jump forward costs nothing, but no number may be used
/// twice.
///
/// Two nodes without a path between them may take over in turns, and each jumps. The later one must end up ahead of all
/// earlier ones, so the jump grows with the time that the nodes are apart. A node that was active itself may learn of
/// the separation later than the other: a dead link is found by its silence, and a run of the plugin that starts just
/// after it learns of it by its own start.
fn jumped(oseq: u64, esn: bool, usage: SaUsage, settings: &Settings) -> Option<u64> {
    const SEPARATION_STEP_NS: u64 = 250 * MS;
    const SEPARATION_STEPS_MAX_32: u64 = 1000;
    const LATER_NS: u64 = 3000 * MS;
    // in ns a fast SA would exceed 64 bits after some hours of silence
    let at_risk_ms = usage.silent_ns.div_ceil(MS).saturating_add(1000);
    let packets = u64::from(usage.pace.packets_per_s).saturating_mul(at_risk_ms) / 1000;
    let once = settings.jump.max(packets.saturating_mul(10));
    let later_ns = u64::from(usage.is_own) * LATER_NS;
    let turns = usage.separated_ns.saturating_add(later_ns) / SEPARATION_STEP_NS;
    let turns = if esn {
        turns
    } else {
        turns.min(SEPARATION_STEPS_MAX_32)
    };
    let jump = if usage.is_stopped {
        0
    } else {
        once.saturating_mul(1 + u64::from(usage.is_own))
            .saturating_add(settings.jump.saturating_mul(turns))
    };
    if !esn {
        let end = LAST_32 + 1 - RESERVE;
        return (oseq < end).then(|| oseq.saturating_add(jump).min(end));
    }
    let oseq = oseq.checked_add(jump).filter(|it| *it < u64::MAX)?;
    // newer kernels refuse that number
    let is_last = oseq & LAST_32 == LAST_32;
    Some(oseq + u64::from(is_last))
}

/// Outbound number above all that a node may have sent by now that reported this one.
pub fn jumped_once(
    oseq: u64,
    esn: bool,
    pace: Pace,
    silent_ns: u64,
    settings: &Settings,
) -> Option<u64> {
    let usage = SaUsage {
        pace,
        silent_ns,
        is_exact: false,
        is_stopped: false,
        is_own: false,
        separated_ns: 0,
    };
    jumped(oseq, esn, usage, settings)
}

/// Marks everything as received that may have been.
pub fn mark_possibly_received(replay: &mut Replay, esn: bool, pace: Pace, settings: &Settings) {
    if replay.window == 0 {
        return;
    }
    let under_way = u64::from(pace.packets_per_s) * settings.under_way_ns() / SECOND;
    replay.seq = replay
        .seq
        .saturating_add(u64::from(pace.threshold.max(1)) + under_way);
    if !esn {
        replay.seq = replay.seq.min(LAST_32);
    }
    match &mut replay.form {
        ReplayForm::Legacy(bits) => *bits = u32::MAX,
        ReplayForm::Extended(words) => words.fill(u32::MAX),
    }
}

/// Union of the numbers that two nodes have received, if both keep them in the same form.
pub fn union_of(here: &Replay, there: &Replay) -> Replay {
    let mut union = here.clone();
    if here.window != there.window
        || std::mem::discriminant(&here.form) != std::mem::discriminant(&there.form)
    {
        return union;
    }
    union.seq = here.seq.max(there.seq);
    if union.seq != here.seq {
        union.form = match &here.form {
            ReplayForm::Legacy(_) => ReplayForm::Legacy(0),
            ReplayForm::Extended(words) => ReplayForm::Extended(vec![0; words.len()]),
        };
    }
    for behind in 0..u64::from(union.window).min(union.seq) {
        let number = union.seq - behind;
        if has_received(here, number) || has_received(there, number) {
            mark(&mut union, number);
        }
    }
    union
}

/// True if a number within or above the window was received.
pub fn has_received(replay: &Replay, number: u64) -> bool {
    if number > replay.seq {
        return false;
    }
    let behind = replay.seq - number;
    if behind >= u64::from(replay.window) {
        return true;
    }
    match &replay.form {
        ReplayForm::Legacy(bits) => bits >> behind & 1 != 0,
        ReplayForm::Extended(words) => {
            let bit = ring_position(replay, behind);
            words
                .get(bit / 32)
                .is_some_and(|word| word >> (bit % 32) & 1 != 0)
        }
    }
}

fn mark(replay: &mut Replay, number: u64) {
    let behind = replay.seq - number;
    let bit = ring_position(replay, behind);
    match &mut replay.form {
        ReplayForm::Legacy(bits) => *bits |= 1 << behind,
        ReplayForm::Extended(words) => {
            if let Some(word) = words.get_mut(bit / 32) {
                *word |= 1 << (bit % 32);
            }
        }
    }
}

/// Bit of a number in the kernel's ring, by its distance from the highest: the kernel counts from the low 32 bits.
fn ring_position(replay: &Replay, behind: u64) -> usize {
    let window = u64::from(replay.window.max(1));
    let top = u64::from((replay.seq as u32).wrapping_sub(1)) % window;
    ((top + window - behind % window) % window) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_sa_that_was_silent_for_a_day_jumps_beyond_all_that_it_may_have_sent() {
        let pace = Pace {
            threshold: 0,
            packets_per_s: 1_000_000,
        };
        let jumped = jumped_once(0, true, pace, 86_400 * SECOND, &Settings::default());
        assert_eq!(jumped, Some(86_401 * 1_000_000 * 10));
    }
}
