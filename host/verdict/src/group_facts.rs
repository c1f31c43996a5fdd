//! Facts about a group on one node. The parts are flat in JSON: other versions know only the keys.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use spared_contract::{Forced, Role};

use crate::addresses::{AddressStatus, BareInterface, DuplicateAddress, ForeignAddress};
use crate::cause::Cause;
use crate::change_numbers::ChangeNumbers;
use crate::facts::{Fence, is_default};
use crate::identity::NetworkLoss;

/// Facts about a group, whose addresses move together, on one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupFacts {
    /// Name of the group, as configured.
    pub name: String,
    /// Role on this node.
    pub role: Role,
    /// Time since which the node has this role.
    #[serde(skip_serializing_if = "is_default")]
    pub since: String,
    /// Reason for the role.
    #[serde(skip_serializing_if = "is_default")]
    pub cause: Cause,
    /// Numbers of the changes by which the node last became active and ceased to be.
    #[serde(skip_serializing_if = "is_default")]
    pub changes: ChangeNumbers,
    /// True if the plugin that elects for the group is gone, so that it cannot become active.
    #[serde(skip_serializing_if = "is_default")]
    pub is_unelected: bool,
    /// Role that an administrator forced on this node.
    #[serde(skip_serializing_if = "is_default")]
    pub forced: Forced,
    /// Time since which the role is forced.
    #[serde(skip_serializing_if = "is_default")]
    pub forced_since: String,
    /// The node's quality for this group.
    pub quality: u8,
    /// State of the fence.
    pub fence: Fence,
    /// Faults of the group's addresses and routes.
    #[serde(flatten)]
    pub addresses: AddressFaults,
    /// Causes that delay a failover of the group.
    #[serde(flatten)]
    pub failover: FailoverFaults,
    /// Other active routers.
    #[serde(flatten)]
    pub rivals: Rivals,
    /// Losses on the group's networks.
    #[serde(flatten)]
    pub networks: NetworkFaults,
    /// Faults of the group's virtual routers.
    #[serde(flatten)]
    pub routers: RouterFaults,
}

/// Delays of a failover.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FailoverFaults {
    /// Reason, as far as this node knows, why the backup could not become active within the failover time. It is a
    /// clause in which "it" is the backup.
    #[serde(rename = "failover_waits", skip_serializing_if = "is_default")]
    pub waits: String,
    /// Links on which the other node's heartbeats do not arrive, though the nodes have a session.
    #[serde(skip_serializing_if = "is_default")]
    pub deaf_links: BTreeSet<String>,
}

/// Faults of a group's addresses and routes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AddressFaults {
    /// Addresses that should be here and are not.
    #[serde(skip_serializing_if = "is_default")]
    pub missing: Vec<AddressStatus>,
    /// Copies of its addresses here that spared did not set.
    #[serde(skip_serializing_if = "is_default")]
    pub foreign: Vec<ForeignAddress>,
    /// Routes that should be here and are not.
    #[serde(skip_serializing_if = "is_default")]
    pub missing_routes: Vec<MissingRoute>,
    /// True if no interface of the group is up with an address of the node's own.
    #[serde(skip_serializing_if = "is_default")]
    pub is_cut_off: bool,
    /// Interfaces of the group that have no address of the node's own.
    #[serde(skip_serializing_if = "is_default")]
    pub bare: Vec<BareInterface>,
    /// Addresses for which another machine answers.
    #[serde(skip_serializing_if = "is_default")]
    pub duplicates: Vec<DuplicateAddress>,
}

/// Other routers that are active for a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rivals {
    /// Another router that is heard as active.
    #[serde(skip_serializing_if = "is_default")]
    pub other_active: Option<OtherActive>,
    /// Rival that is active for the group at the same time as this node.
    #[serde(skip_serializing_if = "is_default")]
    pub conflict: Option<String>,
}

/// Faults of a group's networks: losses between the nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkFaults {
    /// Interfaces on which one node does not hear the other although both live, each with the kind of the failure: see
    /// spared-vrrp(5).
    #[serde(skip_serializing_if = "is_default")]
    pub unheard: BTreeMap<String, String>,
    /// Interfaces on which adverts of the other node are heard although no path brings its heartbeats, with that node
    /// and its priority.
    #[serde(skip_serializing_if = "is_default")]
    pub adverts_alone: BTreeMap<String, String>,
    /// Losses on networks where a node's heartbeats arrive: its adverts or virtual MAC addresses do not arrive, or did
    /// not when it was last active.
    #[serde(skip_serializing_if = "is_default")]
    pub lost: Vec<NetworkLoss>,
    /// Networks of the group, "lan, wan", if this node is active and nothing proves that it is reached on any of them;
    /// empty otherwise.
    #[serde(skip_serializing_if = "is_default")]
    pub unproven: String,
}

/// Faults of a group's virtual routers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RouterFaults {
    /// Virtual routers for which a router outside the pair advertises, with that router.
    #[serde(skip_serializing_if = "is_default")]
    pub strangers: Vec<RouterFault>,
    /// Virtual routers for which a router signs its adverts, with that router.
    #[serde(skip_serializing_if = "is_default")]
    pub signers: Vec<RouterFault>,
    /// Virtual routers for which a router names other addresses in its adverts, with that router and those.
    #[serde(skip_serializing_if = "is_default")]
    pub differing: Vec<RouterFault>,
    /// Virtual routers whose adverts cannot leave, with the reason.
    #[serde(skip_serializing_if = "is_default")]
    pub muted: Vec<RouterFault>,
    /// Virtual routers whose adverts to some unicast peers are refused by the node's kernel, with those peers.
    #[serde(skip_serializing_if = "is_default")]
    pub refused: Vec<RouterFault>,
}

/// A fault of a virtual router.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RouterFault {
    /// Virtual router, as the elector names it.
    pub router: String,
    /// Interface of the virtual router; empty if the elector does not name it.
    pub interface: String,
    /// Sentence about the fault.
    pub why: String,
}

/// A router that is active for a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OtherActive {
    /// Address or name of the router.
    pub name: String,
    /// True if the router is the other node of the pair.
    pub is_peer: bool,
}

/// A route or policy rule of a group that the kernel does not have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MissingRoute {
    /// Route, as "0.0.0.0/0 via 192.0.2.1".
    pub route: String,
    /// Interface of the route; empty if the file names none.
    pub interface: String,
    /// True for a policy rule, as "100: from 192.0.2.0/24 lookup 100".
    #[serde(skip_serializing_if = "is_default")]
    pub is_rule: bool,
}
