//! Whatever the kernel says of IPsec, and whatever the peer calls an SA or a policy: no bytes panic, and
//! what is taken of the kernel is something that a peer would take.
//!
//! Input: one byte for the type of the message, then its payload.

pub(crate) struct Here;

use spared_ipsec::codec::{
    ReadContext, WriteContext, check_policy, check_sa, hides_keys, read, requests,
};
use spared_ipsec::engine::{Change, XfrmEvent};

use crate::sample::{policy, sa};

impl ReadContext for Here {
    fn interface(&mut self, index: u32) -> Option<String> {
        (index % 2 == 0).then(|| index.to_string())
    }

    fn wall_s(&mut self) -> u64 {
        1_000_000
    }
}

impl WriteContext for Here {
    fn index(&mut self, interface: &str) -> Option<u32> {
        interface.parse().ok()
    }

    fn wall_s(&mut self) -> u64 {
        2_000_000
    }

    fn random(&mut self, bytes: &mut [u8]) {
        bytes.fill(1);
    }
}

pub fn run(input: &[u8]) {
    let Some((kind, payload)) = input.split_first() else {
        return;
    };
    let _ = (check_sa(payload), check_policy(payload));
    match read(u16::from(*kind), u32::from(*kind), payload, &mut Here) {
        Some(XfrmEvent::Sa(sa)) => {
            let _ = (hides_keys(&sa), check_sa(sa.body.bytes()));
            let id = sa.id;
            let replay = sa.replay.clone();
            for change in [
                Change::AddSa(Box::new(sa.clone()), 1),
                Change::Probe(Box::new(sa)),
                Change::SetReplay(id, replay),
                Change::DeleteSa(id),
            ] {
                let _ = requests(&change, &mut Here);
            }
        }
        Some(XfrmEvent::Policy(policy)) => {
            let _ = check_policy(policy.body.bytes());
            let _ = requests(&Change::DeletePolicy(policy.id), &mut Here);
            let _ = requests(&Change::PutPolicy(policy), &mut Here);
        }
        _ => {}
    }
}

/// An SA and a policy as the kernel lists them, and the kinds of its notifications.
pub fn seeds() -> Vec<Vec<u8>> {
    let (sa, policy) = (sa(), policy());
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    // XFRM_MSG_NEWSA to XFRM_MSG_MIGRATE
    for kind in 0x10..=0x26_u8 {
        seeds.push([&[kind], &sa[..]].concat());
        seeds.push([&[kind], &policy[..]].concat());
    }
    seeds
}
