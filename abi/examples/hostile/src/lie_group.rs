//! Invalid calls about groups, by a plugin that is not the elector, and requests for what it may not read.

use spared_abi::Status;
use spared_contract::{
    AddressClaim, Call, Cause, CauseKind, Claims, Family, FromPlugin, Publication, Role,
    VirtualRouterClaim,
};

use crate::host::{call, say_status};
use crate::{records, run};

fn claim(name: &str, claims: Option<Claims>) -> Status {
    call(Call::Claim {
        groups: vec![(name.to_owned(), claims)],
    })
}

/// Twice the same group in one array.
fn publish(name: &str, role: Role) -> Status {
    let publication = Publication {
        role,
        reopens: true,
        cause: Cause {
            kind: CauseKind::Other,
            flags: u32::MAX,
            own: u32::MAX,
            theirs: u32::MAX,
            for_ns: u64::MAX,
            peer: "\x1b[2J".to_owned(),
            interface: "lan".to_owned(),
            text: "a hostile plugin wants it".to_owned(),
        },
        sent_ns: u64::MAX,
    };
    call(Call::Publish {
        groups: vec![(name.to_owned(), publication); 2],
    })
}

fn no_claims() -> Claims {
    Claims {
        lease_ns: 300_000_000,
        ..Claims::default()
    }
}

/// Adds to a group without the capability.
pub fn add_uninvited() -> Status {
    let add = |group: &str, claims| {
        let group = group.to_owned();
        call(Call::Add { group, claims })
    };
    add("", None);
    say_status("add", add("office", Some(no_claims())))
}

/// Watches what there is not, and floods itself with what it watches.
pub fn watch() -> Status {
    call(Call::Watch { what: 8 });
    for _ in 0..1000 {
        call(Call::Watch { what: 3 });
    }
    say_status("watch", call(Call::Watch { what: u32::MAX }))
}

/// Asks for documents without the part that may.
pub fn documents() -> Status {
    for ticket in 1..=100 {
        for (what, from) in [(1, 0), (99, 0), (1, 1), (0, u64::MAX)] {
            records::send_surely(&FromPlugin::Document { ticket, what, from });
        }
    }
    say_status("documents", run::document(100))
}

/// Claims a group without being an elector.
pub fn claim_uninvited() -> Status {
    claim("office", Some(no_claims()));
    say_status("publish", publish("office", Role::Backup))
}

pub fn group_empty() -> Status {
    claim("", Some(no_claims()));
    say_status("claim", claim("", None))
}

/// More than there may be, and names that are longer.
pub fn group_many() -> Status {
    let groups = (0..3000).map(|number| (format!("hostile{number}"), Some(no_claims())));
    let groups: Vec<_> = groups.collect();
    claim(&"hostile ".repeat(5000), Some(no_claims()));
    say_status("claim", call(Call::Claim { groups }))
}

pub fn group_unknown() -> Status {
    publish("hostile", Role::Active);
    say_status("publish", publish("no such group", Role::Active))
}

/// The group of another plugin: claimed, withdrawn, published, announced.
pub fn group_steal() -> Status {
    claim("office", Some(no_claims()));
    claim("office", None);
    publish("office", Role::Backup);
    publish("office", Role::Fault);
    call(Call::Announce {
        groups: vec!["office".to_owned()],
    });
    say_status("publish", publish("office", Role::Active))
}

/// Its own group with the address and the virtual router of another group, then withdrawn.
pub fn group_same_address() -> Status {
    let claims = Claims {
        routers: vec![VirtualRouterClaim {
            interface: "lan".to_owned(),
            family: Family::V4,
            vrid: 51,
            vmac: false,
            vmac_name: String::new(),
            accept: false,
            routed: false,
        }],
        addresses: vec![AddressClaim {
            interface: "lan".to_owned(),
            router: Some(0),
            address: [10, 1, 0, 1].into(),
            prefix: 24,
            source: false,
            own: false,
            label: String::new(),
        }],
        ..no_claims()
    };
    let status = claim("hostile", Some(claims));
    publish("hostile", Role::Active);
    publish("hostile", Role::Backup);
    claim("hostile", None);
    say_status("claim", status)
}
