//! Decides which node should be active: facts in, a priority, a decision or a reason out. No state, no clock.
//!
//! The rules E0 to E16 are in docs/election.md. With heartbeats, scores are compared; without them, the rules act by
//! the priority of adverts.

mod reason;

use std::net::IpAddr;

use spared_sdk::Directive;

use crate::config::Election;

pub use reason::{OtherRouter, RoleReason, quality_of};

/// Priority of the router that owns the addresses (RFC 9568).
pub const OWNER: u8 = 255;
/// Priority of a node that is forced active or claims an unheard interface (E3, E10).
pub const CLAIM: u8 = 254;
/// Priority of a node that is forced backup or in maintenance (E10).
pub const LEAST: u8 = 1;
/// Least difference in quality, in points, for a change of the active node (E9).
const QUALITY_STEP: u8 = spared_sdk::abi::QUALITY_STEP as u8;
/// Longest hold time (E9).
const HOLD_MAX_NS: u64 = 60_000_000_000;
const QUALITY_BASE: u8 = 50;

/// Returns the class of a node, which is compared before quality (E0).
pub fn class(directive: &Directive) -> u8 {
    match (directive.stands_aside(), directive.is_forced_active()) {
        (true, _) => 0,
        (_, true) => 3,
        _ if directive.joining => 1,
        _ => 2,
    }
}

/// Inputs of the priority of a group's adverts.
#[derive(Clone, Copy, Debug)]
pub struct PriorityInputs<'a> {
    pub election: Election,
    pub carrier_weight: u8,
    pub directive: &'a Directive,
    /// Number of hurt interfaces of the group.
    pub hurt: u8,
    /// E3: this node claims an unheard interface.
    pub claims: bool,
}

/// Returns the priority of the adverts: RFC 9568 section 5.2.4, E2, E3 and E10.
pub fn priority(facts: &PriorityInputs<'_>) -> u8 {
    if facts.directive.stands_aside() {
        return LEAST;
    }
    let normal = match facts.election {
        Election::Priority { priority, .. } => {
            let weight = facts.carrier_weight.saturating_mul(facts.hurt);
            let points = facts.directive.points;
            // the quality has lost the points as well, as far as it had any
            let lost = (100 - facts.directive.quality.min(100)).saturating_sub(points);
            let lost = weight.max(lost).saturating_add(points);
            priority.saturating_sub(lost).max(LEAST)
        }
        Election::Quality { preferred, .. } => {
            QUALITY_BASE + 2 * facts.directive.quality.min(100) + u8::from(preferred == Some(true))
        }
    };
    if facts.claims || facts.directive.is_forced_active() {
        normal.max(CLAIM)
    } else {
        normal
    }
}

/// Returns the time in ns before an active router of lower priority is preempted; None for never.
///
/// `changes` counts this node's changes of role within the last five minutes (E9).
pub fn preempts_after_ns(
    facts: &PriorityInputs<'_>,
    own: u8,
    heard: u8,
    changes: u32,
) -> Option<u64> {
    if own <= heard {
        return None;
    }
    match facts.election {
        // RFC 9568 section 6.1: the owner preempts regardless of Preempt_Mode
        _ if own == OWNER || facts.claims || facts.directive.is_forced_active() => Some(0),
        // the least priority is an order, or a fault
        _ if facts.directive.frozen && heard != LEAST => None,
        Election::Priority {
            preempt,
            preempt_delay_ns,
            ..
        } => preempt.then_some(preempt_delay_ns),
        // the other node is in maintenance or forced backup: there is nothing to wait for
        Election::Quality { .. } if heard == LEAST => Some(0),
        Election::Quality {
            preferred,
            failback_delay_ns,
            hold_ns,
        } => {
            let ours = own - u8::from(preferred == Some(true));
            let theirs = heard.saturating_sub(u8::from(preferred == Some(false)));
            let points = ours.saturating_sub(theirs) / 2;
            if points >= QUALITY_STEP {
                Some(doubled_ns(hold_ns, changes))
            } else {
                (preferred == Some(true)).then_some(failback_delay_ns)
            }
        }
    }
}

/// Returns true if `own` wins by RFC 9568 section 6.4.3: the higher priority, then the greater address.
pub fn wins_over(own: (u8, IpAddr), other: (u8, IpAddr)) -> bool {
    own > other
}

/// Rules between two nodes that hear each other.
#[derive(Clone, Copy, Debug)]
pub struct ElectionRules {
    pub election: Election,
    /// Both nodes elect by priority, since one of them is configured so.
    pub by_priority: bool,
    /// A link is configured, on which a node can become ready; without one nothing is replicated.
    pub is_linked: bool,
    /// Quality, preference and priority change nothing.
    pub frozen: bool,
    /// An interface is unheard, or the group was switched over because of one that may still be, so preference and
    /// priority change nothing (E3).
    pub unheard: bool,
    /// Number of role changes within the last five minutes (E9).
    pub changes: u32,
}

/// State of a node, known directly or from its heartbeats (E0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rank {
    /// The node can be active: the host allows it, and an interface is usable.
    pub able: bool,
    pub class: u8,
    pub quality: u8,
    /// Priority of its adverts.
    pub priority: u8,
    pub preferred: bool,
    pub ready: bool,
    /// Number of hurt interfaces (E2, E3), those without adverts included.
    pub hurt: u8,
    /// Number of the term, which rises when the role moves to another node, as far as this node knows (E7).
    pub term: u32,
}

/// Fields in the order of comparison (E0). The alphabetically first name breaks a tie.
pub type Score = (bool, u8, u8, bool, bool);
pub type RivalScore = (bool, u8, u8, u32, bool, bool);

impl Rank {
    pub fn score(&self, by_priority: bool, named_first: bool) -> Score {
        let (fitness, preferred) = if by_priority {
            (self.priority, false)
        } else {
            (self.quality, self.preferred)
        };
        (self.able, self.class, fitness, preferred, named_first)
    }

    /// Returns the score of one of two active nodes (E7). Clients have learned the node that took over later; a
    /// preferred node gets the group by a switchover.
    pub fn rival_score(&self, by_priority: bool, named_first: bool) -> RivalScore {
        let (able, class, fitness, preferred, named) = self.score(by_priority, named_first);
        (able, class, fitness, self.term, preferred, named)
    }

    /// Returns true if neither node is better by a relevant difference (E3).
    pub fn equals(&self, other: &Rank, by_priority: bool) -> bool {
        let fitness = if by_priority {
            self.priority == other.priority
        } else {
            self.quality.abs_diff(other.quality) < QUALITY_STEP
        };
        (self.able, self.class) == (other.able, other.class) && fitness
    }
}

/// Reason why the active node switches the group over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwitchoverCause {
    /// No interface of the active node is usable.
    Isolated,
    /// The active node is forced or in maintenance.
    Class,
    /// The active node is not yet in sync.
    Joining,
    /// More of its interfaces are hurt.
    Hurt,
    Quality,
    Preferred,
    Priority,
    /// An interface is unheard, and is rated no better here than there (E3).
    Unheard,
    /// A network drops the active node's virtual identity, and may carry the other one's (E15).
    Dropped,
}

impl SwitchoverCause {
    /// Returns true if the cause overrules that a network is proven on the active node alone: that node serves nobody,
    /// or an administrator ordered it.
    pub fn is_urgent(self) -> bool {
        matches!(self, Self::Isolated | Self::Class)
    }
}

/// Returns, for the active node, the cause for which the other node should get the group, and the time after which (E1,
/// E9).
pub fn switches_over(
    own: &Rank,
    other: &Rank,
    rules: &ElectionRules,
) -> Option<(SwitchoverCause, u64)> {
    if !other.able {
        return None;
    }
    if !own.able {
        return Some((SwitchoverCause::Isolated, 0));
    }
    if own.class != other.class {
        let better = other.class > own.class;
        return better.then(|| match own.class {
            1 if other.class == 2 => (SwitchoverCause::Joining, hold_ns(rules)),
            _ => (SwitchoverCause::Class, 0),
        });
    }
    if own.class == 3 {
        // both are forced: the active node keeps it
        return None;
    }
    if rules.by_priority {
        by_priority(own, other, rules)
    } else {
        by_quality(own, other, rules)
    }
}

fn by_quality(own: &Rank, other: &Rank, rules: &ElectionRules) -> Option<(SwitchoverCause, u64)> {
    let points = other.quality.saturating_sub(own.quality);
    let calm = !(rules.frozen || rules.unheard);
    if points > 0 && own.hurt > other.hurt {
        return Some((SwitchoverCause::Hurt, 0));
    }
    if points >= QUALITY_STEP && !rules.frozen {
        return Some((SwitchoverCause::Quality, hold_ns(rules)));
    }
    let is_ready = other.ready || !rules.is_linked;
    let preferred = other.preferred && is_ready && other.quality >= own.quality;
    let Election::Quality {
        failback_delay_ns, ..
    } = rules.election
    else {
        return None;
    };
    (preferred && calm).then_some((SwitchoverCause::Preferred, failback_delay_ns))
}

fn by_priority(own: &Rank, other: &Rank, rules: &ElectionRules) -> Option<(SwitchoverCause, u64)> {
    if other.priority <= own.priority {
        return None;
    }
    if own.hurt > other.hurt {
        return Some((SwitchoverCause::Hurt, 0));
    }
    if rules.frozen || rules.unheard {
        return None;
    }
    let delay_ns = match rules.election {
        _ if other.priority == OWNER => Some(0),
        Election::Priority {
            preempt,
            preempt_delay_ns,
            ..
        } => preempt.then_some(preempt_delay_ns),
        Election::Quality {
            failback_delay_ns, ..
        } => Some(failback_delay_ns),
    };
    Some((SwitchoverCause::Priority, delay_ns?))
}

/// Returns the hold time in ns, doubled with each change within five minutes (E9).
pub fn hold_ns(rules: &ElectionRules) -> u64 {
    let Election::Quality { hold_ns, .. } = rules.election else {
        return 0;
    };
    doubled_ns(hold_ns, rules.changes)
}

fn doubled_ns(hold_ns: u64, changes: u32) -> u64 {
    let doubled = hold_ns.saturating_mul(1 << changes.min(6));
    doubled.min(HOLD_MAX_NS.max(hold_ns))
}
