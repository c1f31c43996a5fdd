//! Makes a pair without faults except those that a plugin reports. Tests of plugins use it to drive their engines into
//! every faulty state that their files allow.

use std::collections::BTreeMap;

use crate::{
    CheckStatus, GroupFacts, NetworkFaults, NodeFacts, PairFacts, PeerLife, PluginFacts, Role,
    Verdict, Word, missing, verdict,
};

/// An engine's report on its node.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// All checks of the plugin, including good ones.
    pub checks: Vec<CheckStatus>,
    /// Reason why the plugin is not in sync; None if it is in sync.
    pub lack: Option<String>,
    /// Interfaces on which one node does not hear the other, with the kind of the failure.
    pub unheard: BTreeMap<String, String>,
}

impl Report {
    /// Adds a check of weight 0. The state None means that there is no result yet.
    pub fn check(&mut self, name: &str, state: Option<u32>, why: &str) {
        self.checks.push(CheckStatus {
            name: name.to_owned(),
            state: state.unwrap_or(crate::STATE_UNKNOWN),
            why: why.to_owned(),
            ..CheckStatus::default()
        });
    }

    /// Returns the reports of r1 and r2: this one is that of the active node (r1) or of the backup, and the other node
    /// has nothing to report.
    pub fn on(self, is_active: bool) -> [Self; 2] {
        if is_active {
            [self, Self::default()]
        } else {
            [Self::default(), self]
        }
    }
}

/// Returns the verdicts of r1, which is active, and of r2 for these reports of their plugins.
pub fn verdicts(plugin: &str, reports: &[Report; 2]) -> [Verdict; 2] {
    let [r1, r2] = reports;
    let mut r1 = node("r1", Role::Active, plugin, r1);
    let mut r2 = node("r2", Role::Backup, plugin, r2);
    r1.missing = missing(&r1, "r2", None, &[]);
    r2.missing = missing(&r2, "r1", None, &[]);
    let of = |own: &NodeFacts, peer: &NodeFacts| {
        let pair = PairFacts {
            peer: peer.node.clone(),
            has_link: true,
            link_up: true,
            life: PeerLife::Alive,
            facts: Some(peer.clone()),
            ..PairFacts::default()
        };
        verdict("2026-11-22T12:00:00+01:00", own, Some(&pair))
    };
    [of(&r1, &r2), of(&r2, &r1)]
}

/// Asserts that neither verdict is OK and that both name the object.
///
/// # Panics
/// If a verdict is OK or does not name the object.
#[track_caller]
pub fn assert_told(plugin: &str, reports: &[Report; 2], thing: &str, state: &str) {
    for verdict in verdicts(plugin, reports) {
        let names = verdict.findings.iter().any(|it| it.text.contains(thing));
        assert!(
            verdict.word != Word::Ok && names,
            "{plugin}: {thing} {state}: {verdict:#?}\n{reports:#?}"
        );
    }
}

/// Asserts that both verdicts are OK.
///
/// # Panics
/// If a verdict is not OK.
#[track_caller]
pub fn assert_fine(plugin: &str, reports: &[Report; 2]) {
    for verdict in verdicts(plugin, reports) {
        assert_eq!(
            verdict.word,
            Word::Ok,
            "{plugin}: {verdict:#?}\n{reports:#?}"
        );
    }
}

fn node(name: &str, role: Role, plugin: &str, report: &Report) -> NodeFacts {
    let of_plugin = PluginFacts {
        name: plugin.to_owned(),
        has_channel: true,
        has_peer: true,
        in_sync: report.lack.is_none(),
        lack: report.lack.clone().unwrap_or_default(),
        ..PluginFacts::default()
    };
    let group = GroupFacts {
        name: "office".to_owned(),
        role,
        quality: 100,
        networks: NetworkFaults {
            unheard: report.unheard.clone(),
            ..NetworkFaults::default()
        },
        ..GroupFacts::default()
    };
    let mut checks = report.checks.clone();
    checks.retain(|check| check.state != 100);
    for check in &mut checks {
        plugin.clone_into(&mut check.plugin);
    }
    NodeFacts {
        node: name.to_owned(),
        quality: 100,
        groups: vec![group],
        plugins: vec![of_plugin],
        checks,
        ..NodeFacts::default()
    }
}
