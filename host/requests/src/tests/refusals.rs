//! Tests that a switchover is judged by one rule in all places: each cause, with and without `--anyway`.

use spared_group::{Action, Insistence};
use spared_message::word::Word;
use spared_verdict::{CauseKind, OrderFacts, PluginFacts, PluginState};

use super::*;

const LACK: &str = "sets failed too often and has not recovered yet";

/// Cause against switching "office" over from r1 to r2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Against {
    GiverStops,
    GiverForcedActive,
    SuccessorStops,
    SuccessorGaveUpAPlugin,
    SuccessorForcedBackup,
    SuccessorInMaintenance,
    SuccessorLacks,
    SuccessorHadItsAddressesDeleted,
    SuccessorNotArmed,
    /// Another group is forced on each node, which is no cause.
    OtherGroupForced,
}

use Against::*;

/// Place in which a switchover is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    PlanOnGiver,
    PlanOnSuccessor,
    ClientOfGiver,
    ClientOfSuccessor,
    PeerRequest,
    Offer,
}

use Place::*;

const PLACES: [Place; 6] = [
    PlanOnGiver,
    PlanOnSuccessor,
    ClientOfGiver,
    ClientOfSuccessor,
    PeerRequest,
    Offer,
];

/// Each cause, the places that know it, and the insistence that overrules it.
const CAUSES: [(Against, &[Place], Option<Insistence>); 10] = [
    (GiverStops, &[PlanOnGiver, ClientOfGiver, PeerRequest], None),
    (
        GiverForcedActive,
        &[PlanOnGiver, PlanOnSuccessor, ClientOfGiver, PeerRequest],
        Some(Insistence::Unserved),
    ),
    (
        SuccessorStops,
        &[PlanOnSuccessor, ClientOfSuccessor, Offer],
        None,
    ),
    (
        SuccessorGaveUpAPlugin,
        &[PlanOnSuccessor, ClientOfSuccessor, Offer],
        None,
    ),
    (
        SuccessorForcedBackup,
        &[PlanOnGiver, PlanOnSuccessor, ClientOfSuccessor, Offer],
        Some(Insistence::Unserved),
    ),
    (
        SuccessorInMaintenance,
        &[PlanOnGiver, PlanOnSuccessor, ClientOfSuccessor, Offer],
        Some(Insistence::Unserved),
    ),
    (
        SuccessorLacks,
        &[PlanOnGiver, PlanOnSuccessor, ClientOfSuccessor, Offer],
        Some(Insistence::Anyway),
    ),
    (
        SuccessorHadItsAddressesDeleted,
        &[PlanOnSuccessor, ClientOfSuccessor, Offer],
        Some(Insistence::Anyway),
    ),
    (
        SuccessorNotArmed,
        &[PlanOnGiver, PlanOnSuccessor, ClientOfSuccessor, Offer],
        None,
    ),
    (OtherGroupForced, &[], None),
];

/// Groups "lab" and "office" of both nodes. r1 is active for both.
struct Nodes {
    giver: Groups,
    successor: Groups,
    /// Facts that the nodes have reported.
    reported: [NodeFacts; 2],
}

impl Nodes {
    fn new(against: Against) -> Self {
        let mut nodes = Self {
            giver: linked_groups(),
            successor: linked_groups(),
            reported: [NodeFacts::default(), NodeFacts::default()],
        };
        for name in ["lab", "office"] {
            become_active(&mut nodes.giver, name);
        }
        nodes.apply(against);
        nodes.reported = [
            facts("r1", &nodes.giver, against),
            facts("r2", &nodes.successor, against),
        ];
        for groups in [&mut nodes.giver, &mut nodes.successor] {
            while groups.poll_action().is_some() {}
        }
        nodes
    }

    fn apply(&mut self, against: Against) {
        let (giver, successor) = (&mut self.giver, &mut self.successor);
        let force = |groups: &mut Groups, name, forced| {
            groups
                .handle_force(Some(name), forced, "root", "noon")
                .expect("the group exists");
        };
        match against {
            GiverStops => giver.close(),
            GiverForcedActive => force(giver, "office", Forced::Active),
            SuccessorStops => successor.close(),
            SuccessorGaveUpAPlugin => successor.handle_unfit("sets", "sets died".to_owned()),
            SuccessorForcedBackup => force(successor, "office", Forced::Backup),
            SuccessorInMaintenance => successor.set_maintenance(0, true),
            SuccessorLacks => successor.set_missing(vec![LACK.to_owned()]),
            SuccessorHadItsAddressesDeleted => {
                let why = "somebody deletes its addresses".to_owned();
                successor.handle_contested(0, "office", why);
            }
            SuccessorNotArmed => successor.set_unarmed(true),
            OtherGroupForced => {
                force(giver, "lab", Forced::Active);
                force(successor, "lab", Forced::Backup);
            }
        }
    }

    /// Returns the reason against the switchover in a place; None if there is none.
    fn refusal(&mut self, place: Place, insistence: Insistence) -> Option<String> {
        let anyway = insistence.overrules_lacks();
        let cause = Cause::new(CauseKind::Asked, "a test");
        match place {
            PlanOnGiver => self.plan("r1", anyway),
            PlanOnSuccessor => self.plan("r2", anyway),
            ClientOfGiver => {
                let groups = &mut self.giver;
                groups.handle_client_request(1, 7, "office", cause, anyway);
                answer(groups)
            }
            ClientOfSuccessor => {
                let groups = &mut self.successor;
                groups.handle_client_request(1, 7, "office", cause, anyway);
                answer(groups)
            }
            PeerRequest => {
                let request = Word::Request {
                    group: "office".to_owned(),
                    reason: "asked".to_owned(),
                    why: "a test".to_owned(),
                    anyway,
                };
                self.giver.handle_peer_word(1, request);
                answer(&mut self.giver)
            }
            Offer => {
                let offer = Word::Offer {
                    switchover: 9,
                    group: "office".to_owned(),
                    reason: "asked".to_owned(),
                    why: "a test".to_owned(),
                    anyway,
                    unserved: insistence.overrules_orders(),
                    within_ms: 1_000,
                    channels: Vec::new(),
                };
                self.successor.handle_peer_word(1, offer);
                answer(&mut self.successor)
            }
        }
    }

    fn plan(&self, own: &'static str, anyway: bool) -> Option<String> {
        let [r1, r2] = &self.reported;
        let (peer, groups, here, there) = match own {
            "r1" => ("r2", &self.giver, r1, r2),
            _ => ("r1", &self.successor, r2, r1),
        };
        let view = View {
            own,
            peer: Some(peer),
            missing: &here.missing,
            groups,
            ..view(groups, there)
        };
        match view.plan_switch(Some("office"), Some("r2"), anyway) {
            Ok(planned) => {
                assert_eq!(planned.moves.len(), 1);
                None
            }
            Err(Answer::Error { lines, .. }) => Some(lines.join("\n")),
            Err(answer) => panic!("{answer:?}"),
        }
    }
}

fn linked_groups() -> Groups {
    let mut groups = Groups::new(0, String::new);
    groups.handle_plugin_up(0, "vrrp", Follower::default());
    for name in ["lab", "office"] {
        groups.handle_checked(ticket(), name, Claims::default(), Ok(()));
        groups.handle_claimed(0, name, Ok(()));
    }
    groups.set_missing(Vec::new());
    groups.handle_link_up();
    groups
}

/// Returns the facts that a node reports about itself.
fn facts(node: &str, groups: &Groups, against: Against) -> NodeFacts {
    let of_group = |(name, group): (&str, &spared_group::Group)| GroupFacts {
        name: name.to_owned(),
        role: group.role,
        forced: group.forced(),
        ..GroupFacts::default()
    };
    let lacks = against == SuccessorLacks && node == "r2";
    let sets = PluginFacts {
        name: "sets".to_owned(),
        state: PluginState::Recovering,
        ..PluginFacts::default()
    };
    let mut facts = NodeFacts {
        node: node.to_owned(),
        quality: 100,
        orders: OrderFacts {
            maintenance: groups.is_in_maintenance().then(Maintenance::default),
            unarmed: against == SuccessorNotArmed && node == "r2",
            ..OrderFacts::default()
        },
        groups: groups.iter().map(of_group).collect(),
        plugins: lacks.then_some(sets).into_iter().collect(),
        ..NodeFacts::default()
    };
    facts.missing = spared_verdict::missing(&facts, "the peer", None, &[]);
    facts
}

/// Returns the reason with which a node ends a request or an offer; None if it goes on.
fn answer(groups: &mut Groups) -> Option<String> {
    let mut actions = std::iter::from_fn(|| groups.poll_action());
    actions.find_map(|action| match action {
        Action::SwitchedOver { result, .. } => result.err(),
        Action::Say(Word::Refused { why, .. } | Word::Declined { why, .. }) => Some(why),
        _ => None,
    })
}

#[test]
fn a_switchover_is_judged_by_one_rule_in_every_place() {
    for (against, known_by, overruled_by) in CAUSES {
        for place in PLACES {
            for insistence in [
                Insistence::IfReady,
                Insistence::Anyway,
                Insistence::Unserved,
            ] {
                if insistence == Insistence::Unserved && place != Offer {
                    // no request of a client says that nobody is served
                    continue;
                }
                let refusal = Nodes::new(against).refusal(place, insistence);
                let is_overruled = overruled_by.is_some_and(|least| insistence >= least);
                assert_eq!(
                    refusal.is_some(),
                    known_by.contains(&place) && !is_overruled,
                    "{against:?} {place:?} {insistence:?}: {refusal:?}"
                );
            }
        }
    }
}

#[test]
fn a_refusal_because_of_an_order_names_the_command_that_lifts_it() {
    for (against, sentence) in [
        (
            GiverForcedActive,
            "is forced active: run `sparectl force reset` there first",
        ),
        (
            SuccessorForcedBackup,
            "is forced backup: run `sparectl force reset` there first",
        ),
        (
            SuccessorInMaintenance,
            "is in maintenance: run `sparectl maintenance off` there first",
        ),
        (SuccessorNotArmed, "is not armed: run `sparectl arm`"),
    ] {
        for place in PLACES {
            let refusal = Nodes::new(against).refusal(place, Insistence::Anyway);
            if let Some(refusal) = refusal {
                assert!(refusal.ends_with(sentence), "{place:?}: {refusal}");
                let is_hinted = refusal.contains("--anyway");
                assert!(!is_hinted, "{place:?}: {refusal}");
            }
        }
    }
}
