//! A failover leaves most records as they are: with thousands of SAs and policies, only those that have changed are
//! made again, and each change is found.

use spared_replica::Tag;

use super::*;
use crate::store::Record;

impl Engine {
    /// Asserts that each record matches its SA or policy, and that each of these has its record.
    pub(in crate::engine) fn check_records(&self) {
        let store = &self.store;
        let sas = store.sas.keys().chain(store.held.sas().keys());
        let recorded = store.index.sas.records().map(|(id, _)| id);
        for id in sas.chain(recorded) {
            let record = store.index.sas.get(id);
            let present = store.present_sa(id);
            assert_eq!(record.map(untagged), present, "{id:?}");
        }
        let policies = store.policies.keys().chain(store.held.policies.keys());
        let recorded = store.index.policies.records().map(|(id, _)| id);
        for id in policies.chain(recorded) {
            let record = store.index.policies.get(id);
            let present = store.present_policy(id);
            assert_eq!(record.map(untagged), present, "{id:?}");
        }
    }
}

fn untagged(record: &Record) -> Record {
    Record {
        tag: Tag::default(),
        ..record.clone()
    }
}

/// Pair whose second node has what it is to take over in its kernel.
fn settled_backup(tunnels: u32) -> Pair {
    let mut pair = Pair::settled(tunnels);
    pair.kill(0);
    pair.prepare(1);
    pair
}

#[test]
fn a_failover_makes_no_record_anew() {
    let mut pair = settled_backup(20);
    let engine = &mut pair.nodes[1].engine;
    let ends = BTreeSet::from([IpAddr::from(VIP)]);
    engine.handle_endpoints(pair.now_ns, ends);
    engine.store.is_active = true;
    engine.store.ends.confirm();
    engine.take_over(pair.now_ns, true);
    assert_eq!(engine.store.held.sas().len(), 0);
    assert_eq!(engine.store.held.policies.len(), 0);
    assert_eq!(engine.store.sas_to_update(), []);
    assert_eq!(engine.store.policies_to_update(), []);
    engine.check_records();
    let mut policies = engine.store.index.policies.records();
    assert!(policies.all(|(_, it)| it.is_local));
}
