//! Length of the longest records.

use spared_contract::{
    AddressClaim, Call, Cause, Claims, Family, FromPlugin, Publication, Role, VirtualRouterClaim,
};
use spared_verdict::CauseKind;

/// Group with two virtual routers and four addresses, like most groups.
fn usual(number: u8) -> (String, Option<Claims>) {
    let router = VirtualRouterClaim {
        interface: "enp129s0f1.4000".to_owned(),
        family: Family::V4,
        vrid: number,
        vmac: true,
        vmac_name: String::new(),
        accept: true,
        routed: false,
    };
    let address = AddressClaim {
        interface: "enp129s0f1.4000".to_owned(),
        router: Some(0),
        address: std::net::Ipv6Addr::from([number; 16]).into(),
        prefix: 64,
        source: false,
        own: false,
        label: String::new(),
    };
    let claims = Claims {
        routers: vec![router; 2],
        addresses: vec![address; 4],
        ..Claims::default()
    };
    (format!("customer-{number}"), Some(claims))
}

#[test]
fn hundreds_of_groups_are_one_record() {
    let groups: Vec<_> = (0..=u8::MAX).map(usual).collect();
    let names = groups.iter().map(|(name, _)| name.clone());
    let publication = Publication {
        role: Role::Active,
        reopens: false,
        cause: Cause::new(CauseKind::PeerSilent, "x".repeat(200)),
        sent_ns: u64::MAX,
    };
    let groups_of = |name| (name, publication.clone());
    let publish = Call::Publish {
        groups: names.map(groups_of).collect(),
    };
    for call in [Call::Claim { groups }, publish] {
        let record = spared_records::encode(&FromPlugin::Call { number: 1, call }).unwrap();
        println!("{} bytes", record.len());
    }
}
