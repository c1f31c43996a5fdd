//! Judges whether a group may be switched over: for the plan of `sparectl switch`, when a request begins on either node,
//! and when the peer offers the group.
//!
//! A standing order (a forced role, maintenance) is the will of a person, so `--anyway` of another person does not
//! overrule it: the refusal names the command that lifts the order. `--anyway` overrules that the successor is not
//! ready. Only E13 overrules orders: an active node that serves nobody gives the group to any node that can serve.

use std::fmt;

use spared_contract::{Forced, Role};
use spared_verdict::{Sentence as _, UNARMED};

use super::{Group, Groups, Phase};

/// Insistence on a switchover, from the weakest to the strongest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Insistence {
    /// The successor must be ready.
    #[default]
    IfReady,
    /// `--anyway` of an administrator: the successor need not be ready.
    Anyway,
    /// E13: the active node serves nobody, or is being stopped. Not even standing orders count.
    Unserved,
}

/// The active node of a switchover, as far as the judging node knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Giver {
    /// Reason why it cannot release the group now.
    pub unable: Option<String>,
    pub is_forced_active: bool,
}

/// The node that is to become active, as far as the judging node knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidate {
    /// Reason why it cannot become active now.
    pub unable: Option<String>,
    pub is_forced_backup: bool,
    pub is_in_maintenance: bool,
    /// Reasons why it is not ready, one sentence each.
    pub lacks: Vec<String>,
}

/// Reason against a switchover. "It" in a sentence is the node that refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The active node cannot release the group, whoever insists.
    GiverUnable(String),
    /// The successor cannot become active, whoever insists.
    CandidateUnable(String),
    /// A standing order, which has to be lifted first.
    Ordered(StandingOrder),
    /// The successor is not ready, for these reasons.
    NotReady(Vec<String>),
}

/// Order of an administrator that forbids a switchover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandingOrder {
    /// The active node is forced active.
    ForcedActive,
    /// The successor is forced backup.
    ForcedBackup,
    /// The successor is in maintenance: its elector would switch the group back at once.
    Maintenance,
}

/// Judges a switchover. What cannot be done is refused first, then what is forbidden, then what would lose something.
///
/// # Errors
/// The reason against the switchover.
pub fn judge(giver: &Giver, candidate: &Candidate, insistence: Insistence) -> Result<(), Refusal> {
    if let Some(why) = &giver.unable {
        return Err(Refusal::GiverUnable(why.clone()));
    }
    if let Some(why) = &candidate.unable {
        return Err(Refusal::CandidateUnable(why.clone()));
    }
    let order = StandingOrder::against(giver, candidate);
    if let Some(order) = order.filter(|_| !insistence.overrules_orders()) {
        return Err(Refusal::Ordered(order));
    }
    if insistence.overrules_lacks() || candidate.lacks.is_empty() {
        return Ok(());
    }
    Err(Refusal::NotReady(candidate.lacks.clone()))
}

impl Insistence {
    /// Makes the insistence of an administrator's order.
    pub fn of_order(anyway: bool) -> Self {
        if anyway { Self::Anyway } else { Self::IfReady }
    }

    /// Makes the insistence of the peer's offer. `unserved` is false in those of earlier versions.
    pub(super) fn of_offer(anyway: bool, unserved: bool) -> Self {
        if unserved {
            Self::Unserved
        } else {
            Self::of_order(anyway)
        }
    }

    /// Returns true if the successor need not be ready, and neither node waits for a plugin that is late.
    pub fn overrules_lacks(self) -> bool {
        self >= Self::Anyway
    }

    /// Returns true if orders of administrators do not count.
    pub fn overrules_orders(self) -> bool {
        self == Self::Unserved
    }
}

impl StandingOrder {
    fn against(giver: &Giver, candidate: &Candidate) -> Option<Self> {
        let orders = [
            (giver.is_forced_active, Self::ForcedActive),
            (candidate.is_forced_backup, Self::ForcedBackup),
            (candidate.is_in_maintenance, Self::Maintenance),
        ];
        let mut orders = orders.into_iter();
        orders.find_map(|(stands, order)| stands.then_some(order))
    }

    /// Returns a sentence that names the order and the command that lifts it.
    pub fn sentence(self, node: &str) -> String {
        let (order, command) = match self {
            Self::ForcedActive => ("forced active", "force reset"),
            Self::ForcedBackup => ("forced backup", "force reset"),
            Self::Maintenance => ("in maintenance", "maintenance off"),
        };
        format!("{node} is {order}: run `sparectl {command}` there first")
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GiverUnable(why) | Self::CandidateUnable(why) => f.write_str(why),
            Self::Ordered(order) => f.write_str(&order.sentence("it")),
            Self::NotReady(lacks) => write!(f, "not ready: {}", lacks.join("; ")),
        }
    }
}

impl Groups {
    /// Returns this node as the active node of a switchover.
    pub fn giver(&self, name: &str) -> Giver {
        let Some(group) = self.groups.get(name) else {
            return Giver {
                unable: Some("it has no such group".to_owned()),
                ..Giver::default()
            };
        };
        let unable = if self.is_closing() {
            Some("it is being stopped")
        } else if group.offer.is_some() {
            // the request joins the switchover in progress
            None
        } else if group.role != Role::Active {
            Some("it is not active")
        } else if group.phase != Phase::Installed {
            Some("it has not yet finished taking over")
        } else {
            None
        };
        Giver {
            unable: unable.map(str::to_owned),
            is_forced_active: group.forced() == Forced::Active,
        }
    }

    /// Returns this node as the successor of a switchover.
    pub fn candidate(&self, name: &str) -> Candidate {
        let group = self.groups.get(name);
        let unable = match group.filter(|group| !group.stale) {
            Some(group) => self.reason_no_successor(group),
            None => Some(format!("it has no group \"{name}\"")),
        };
        Candidate {
            unable,
            is_forced_backup: group.is_some_and(|it| it.forced() == Forced::Backup),
            is_in_maintenance: self.condition.maintenance,
            lacks: group.map_or_else(Vec::new, |it| self.lacks_as_successor(it)),
        }
    }

    /// Judges this node as the successor.
    pub(super) fn may_succeed(&self, name: &str, insistence: Insistence) -> Result<(), Refusal> {
        judge(&Giver::default(), &self.candidate(name), insistence)
    }

    // Returns why this node cannot become active for the group.
    fn reason_no_successor(&self, group: &Group) -> Option<String> {
        if self.is_closing() || self.leaving {
            return Some("it is being stopped".to_owned());
        }
        if self.condition.unarmed {
            return Some(UNARMED.to_owned());
        }
        match group.role {
            Role::Fault => {
                let why = group.cause.clause(group.role);
                Some(format!("it cannot be active: {why}"))
            }
            Role::Active => Some("it is active too".to_owned()),
            Role::Backup if group.phase != Phase::Idle => {
                Some("it has not left the group yet".to_owned())
            }
            Role::Backup => self.reason_not_active(group),
        }
    }

    // Returns why this node is not ready for the group. An order to take it although the node is not ready counts.
    fn lacks_as_successor(&self, group: &Group) -> Vec<String> {
        if self.takes_anyway(group) {
            return Vec::new();
        }
        let deferred = group.eligibility.reason_to_defer().map(str::to_owned);
        // An active follower does not apply the peer's records.
        let still_active = group.still_active();
        let still_active = (!still_active.is_empty()).then(|| {
            let names = still_active.join(", ");
            format!("it has not left the group yet: still active: {names}")
        });
        let lacks = deferred.into_iter().chain(still_active);
        lacks
            .chain(self.condition.missing.iter().cloned())
            .collect()
    }
}
