//! Merges two nodes' knowledge of one flow.
//!
//! If both nodes see packets of a flow, each kernel sees a part: one the original direction, the
//! other the reply. Within one incarnation a state never goes back: status bits are combined, and
//! the more advanced state of TCP counts. A reused tuple is a new incarnation, which replaces the
//! previous one.

use super::table::Entry;
use crate::flow::{Flow, INCARNATIONS, TCP, status};
use crate::wire::Kind;

const SYN_SENT: u8 = 1;
const SYN_RECV: u8 = 2;
const ESTABLISHED: u8 = 3;
const FIN_WAIT: u8 = 4;
const TIME_WAIT: u8 = 7;
const CLOSE: u8 = 8;
/// TCP's state after a SYN from both sides.
const SYN_SENT2: u8 = 9;

/// Relation of the incarnation in the peer's report to the one known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IncarnationOrder {
    /// The reported incarnation is over here.
    Older,
    Same,
    Newer,
    /// Only the peer took a SYN for a new connection: packets of the one here still pass.
    InUse,
}

pub fn relate(entry: &Entry, kind: Kind, heard: &Flow) -> IncarnationOrder {
    let ahead = heard.incarnation.wrapping_sub(entry.incarnation()) % INCARNATIONS;
    let state = heard.tcp.map(|tcp| tcp.state);
    let is_opening = matches!(state, Some(SYN_SENT | SYN_RECV | SYN_SENT2));
    match ahead {
        0 if kind == Kind::Whole && is_opening && is_over(entry.state()) => IncarnationOrder::Newer,
        0 => IncarnationOrder::Same,
        _ if ahead >= INCARNATIONS / 2 => IncarnationOrder::Older,
        _ if state == Some(SYN_SENT) && entry.state() == ESTABLISHED && entry.is_busy() => {
            IncarnationOrder::InUse
        }
        _ => IncarnationOrder::Newer,
    }
}

/// Returns true if TCP's state says that both ends have closed it.
pub fn is_over(state: u8) -> bool {
    matches!(state, TIME_WAIT | CLOSE)
}

/// Returns true if both ends have closed the flow, by the kernel's state.
pub fn is_closed(flow: &Flow) -> bool {
    flow.original.protocol == TCP && flow.tcp.is_some_and(|tcp| is_over(tcp.state))
}

/// Returns true if the flow is so near its end that a new packet begins another incarnation.
pub fn is_ending(protocol: u8, state: u8) -> bool {
    protocol == TCP && (FIN_WAIT..=CLOSE).contains(&state)
}

/// Returns the progress of a connection, by TCP's state.
fn rank(state: u8) -> u8 {
    match state {
        SYN_SENT2 => 2 * SYN_SENT + 1,
        CLOSE.. => 2 * CLOSE,
        state => 2 * state,
    }
}

/// Merged state of a flow, and its differences from the kernel's.
#[derive(Clone, Debug)]
pub struct Merged {
    pub flow: Flow,
    /// The kernel's entry differs from the merged state.
    pub differs: bool,
    /// The peer's state is nearer to the end, so the peer's time counts.
    pub is_closing: bool,
    /// The kernel here knows more than the peer's report.
    pub knows_more: bool,
}

/// Rules for merging a report with the state here.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The report is complete.
    pub whole: bool,
    /// Mark and attributes stay as they are here.
    pub prefers_local: bool,
}

/// Merges a report with the kernel's state, `here`.
pub fn merge(here: &Flow, heard: &Flow, rules: Rules) -> Merged {
    let known = here.status & status::SHARED;
    let mut flow = heard.clone();
    flow.status |= known;
    if rules.prefers_local {
        flow.mark = here.mark;
        flow.extra = if rules.whole {
            here.extra.clone()
        } else {
            Vec::new()
        };
    }
    let mut is_closing = false;
    let mut knows_more = flow.status != heard.status
        || flow.mark != heard.mark
        || rules.prefers_local && flow.extra != heard.extra;
    if let (Some(tcp), Some(own)) = (&mut flow.tcp, here.tcp) {
        let is_later = (FIN_WAIT..=CLOSE).contains(&tcp.state);
        is_closing = is_later && rank(tcp.state) > rank(own.state);
        if rank(own.state) > rank(tcp.state) {
            tcp.state = own.state;
            knows_more = true;
        }
        for (scale, own) in tcp.scales.iter_mut().zip(own.scales) {
            *scale = own.max(*scale);
        }
    }
    let state = flow.state();
    let differs = flow.status != known
        || flow.mark != here.mark
        || state.is_some_and(|state| Some(state) != here.state())
        || flow.tcp.is_some() && here.tcp.is_some_and(|tcp| !tcp.is_liberal())
        || if rules.whole {
            !holds_all(&here.extra, &flow.extra)
        } else {
            !flow.extra.is_empty()
        };
    Merged {
        flow,
        differs,
        is_closing,
        knows_more,
    }
}

/// Returns true if the kernel has all reported attributes, except those that are only set at
/// creation.
fn holds_all(here: &[u8], heard: &[u8]) -> bool {
    use crate::codec::only_at_creation;
    use spared_netlink::attributes;
    let mut settable = attributes(heard).filter(|(kind, _)| !only_at_creation(*kind));
    settable.all(|attribute| attributes(here).any(|known| known == attribute))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Tcp;
    use crate::flow::samples::connection;

    const PART: Rules = Rules {
        whole: false,
        prefers_local: false,
    };

    fn in_state(state: u8) -> Flow {
        let tcp = connection().tcp.map(|tcp| Tcp { state, ..tcp });
        Flow {
            tcp,
            ..connection()
        }
    }

    #[test]
    fn the_further_state_of_both_counts_whoever_speaks_first() {
        let order = [
            SYN_SENT,
            SYN_SENT2,
            SYN_RECV,
            ESTABLISHED,
            FIN_WAIT,
            5,
            6,
            TIME_WAIT,
            CLOSE,
        ];
        for (at, one) in order.iter().enumerate() {
            for other in &order[at..] {
                for (here, heard) in [(*one, *other), (*other, *one)] {
                    let merged = merge(&in_state(here), &in_state(heard), PART);
                    assert_eq!(merged.flow.state(), Some(*other), "{here} and {heard}");
                    assert_eq!(merged.knows_more, here == *other && one != other);
                }
            }
        }
    }

    #[test]
    fn status_bits_are_gathered() {
        let mut here = connection();
        here.status = status::SEEN_REPLY | status::ASSURED;
        let heard = Flow {
            status: 0,
            ..connection()
        };
        let merged = merge(&here, &heard, PART);
        assert_eq!(merged.flow.status, here.status);
        assert!(merged.knows_more);
    }

    #[test]
    fn a_tuple_that_is_used_again_is_another_life() {
        let mut entry = Entry::default();
        entry.learn(&in_state(TIME_WAIT));
        let opening = in_state(SYN_SENT);
        assert_eq!(
            relate(&entry, Kind::Whole, &opening),
            IncarnationOrder::Newer
        );
        assert_eq!(relate(&entry, Kind::Part, &opening), IncarnationOrder::Same);
        entry.set_incarnation(7);
        assert_eq!(
            relate(&entry, Kind::Whole, &opening),
            IncarnationOrder::Newer,
            "7, 0"
        );
        entry.set_incarnation(1);
        assert_eq!(
            relate(&entry, Kind::Whole, &opening),
            IncarnationOrder::Older
        );
    }

    #[test]
    fn a_syn_takes_nothing_from_a_connection_that_carries_packets() {
        let mut entry = Entry::default();
        entry.learn(&in_state(ESTABLISHED));
        let syn = Flow {
            incarnation: 1,
            ..in_state(SYN_SENT)
        };
        assert_eq!(relate(&entry, Kind::Whole, &syn), IncarnationOrder::Newer);
        entry.set(super::super::table::flag::PACKET_LAST_RESYNC, true);
        assert_eq!(relate(&entry, Kind::Whole, &syn), IncarnationOrder::InUse);
    }
}
