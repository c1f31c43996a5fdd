//! Parses the kernel's bytes of SAs and policies, as far as they matter here.
//!
//! The layouts are those of `linux/xfrm.h` on 64-bit machines. Numbers are in the machine's byte order, addresses and
//! SPIs in network order.

use std::net::IpAddr;

use spared_netlink::constants::*;
use spared_netlink::{attributes, find_attribute, u32_of};

use crate::error::Malformed;
use crate::sa::{Body, Direction, Mark, Policy, PolicyId, Sa, SaId, Template};

/// Size of `struct xfrm_usersa_info`: selector, id, source, lifetimes, statistics, then the following fields.
pub const SA_LEN: usize = 224;
/// Size of `struct xfrm_userpolicy_info`.
pub const POLICY_LEN: usize = 168;
const TEMPLATE_LEN: usize = 64;

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

const XFRMA_SA_DIR: u16 = 33;

/// Field `reqid` of `struct xfrm_usersa_info`.
const REQID: std::ops::Range<usize> = 208..212;

/// Parses an SA, with its sequence numbers at zero.
pub fn parse_sa(mut body: Body) -> Result<Sa, Malformed> {
    let reqid = Fields(body.bytes()).u32(REQID.start)?;
    body.clear(REQID);
    let bytes = body.bytes();
    let attrs = bytes.get(SA_LEN..).ok_or(Malformed::Short)?;
    let at = Fields(bytes);
    let family = at.u16(212)?;
    Ok(Sa {
        id: SaId {
            destination: at.address(56, family)?,
            spi: at.spi(72)?,
            protocol: at.u8(76)?,
            mark: mark(attrs)?,
        },
        source: at.address(80, family)?,
        reqid,
        if_id: number(attrs, XFRMA_IF_ID)?,
        mode: at.u8(214)?,
        direction: direction(attrs)?,
        esn: at.u8(216)? & XFRM_STATE_ESN != 0,
        interfaces: Default::default(),
        replay: Default::default(),
        life: Default::default(),
        body,
    })
}

pub fn parse_policy(body: Body) -> Result<Policy, Malformed> {
    let bytes = body.bytes();
    let attrs = bytes.get(POLICY_LEN..).ok_or(Malformed::Short)?;
    let at = Fields(bytes);
    let templates = find_attribute(attrs, XFRMA_TMPL).unwrap_or_default();
    let id = PolicyId {
        selector: at.chunk(0)?,
        interface: Default::default(),
        direction: at.u8(160)?,
        kind: find_attribute(attrs, XFRMA_POLICY_TYPE).map_or(Ok(0), |it| Fields(it).u8(0))?,
        mark: mark(attrs)?,
        if_id: number(attrs, XFRMA_IF_ID)?,
    };
    let templates = templates.chunks(TEMPLATE_LEN).map(template);
    let templates: Vec<Template> = templates.collect::<Result<_, _>>()?;
    Ok(Policy {
        end: local_end(&id, &templates),
        id,
        templates,
        body,
    })
}

fn template(bytes: &[u8]) -> Result<Template, Malformed> {
    let at = Fields(bytes);
    let family = at.u16(24)?;
    Ok(Template {
        destination: at.address(0, family)?,
        spi: at.spi(16)?,
        protocol: at.u8(20)?,
        source: at.address(28, family)?,
        reqid: at.u32(44)?,
        mode: at.u8(48)?,
    })
}

/// Returns the features that an SA needs of a kernel: its bytes without identity, ends and keys.
pub fn suite(body: &Body) -> Vec<u8> {
    let Some((head, attrs)) = body.bytes().split_at_checked(SA_LEN) else {
        return Vec::new();
    };
    let mut suite = vec![head[76]];
    suite.extend_from_slice(&head[212..217]);
    for (kind, payload) in attributes(attrs) {
        // a name, lengths in bits, the key
        let telling = match kind {
            XFRMA_ALG_AUTH | XFRMA_ALG_CRYPT | XFRMA_ALG_COMP => 68,
            XFRMA_ALG_AEAD | XFRMA_ALG_AUTH_TRUNC => 72,
            XFRMA_ENCAP => 2,
            _ => 0,
        };
        suite.extend(kind.to_ne_bytes());
        suite.extend_from_slice(&payload[..payload.len().min(telling)]);
    }
    suite
}

/// Returns the names of its algorithms.
pub fn algorithms(body: &Body) -> String {
    let attrs = body.bytes().get(SA_LEN..).unwrap_or_default();
    let mut names = Vec::new();
    for (kind, payload) in attributes(attrs) {
        let named = [
            XFRMA_ALG_AUTH,
            XFRMA_ALG_CRYPT,
            XFRMA_ALG_COMP,
            XFRMA_ALG_AEAD,
            XFRMA_ALG_AUTH_TRUNC,
        ];
        let name = spared_netlink::text(payload.get(..64).unwrap_or_default());
        if named.contains(&kind) && !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(" with ")
}

/// Returns the bytes before and after an SA's reqid.
pub fn split_at_reqid(body: &Body) -> (&[u8], &[u8]) {
    let bytes = body.bytes();
    let tail = bytes.get(REQID.end..).unwrap_or_default();
    (bytes.get(..REQID.start).unwrap_or_default(), tail)
}

/// Returns the SA with another reqid.
pub fn sa_with_reqid(sa: &Sa, reqid: u32) -> Sa {
    Sa {
        reqid,
        ..sa.clone()
    }
}

/// Returns the policy with other reqids in its templates.
pub fn policy_with_reqids(policy: &Policy, other: impl Fn(u32) -> u32) -> Policy {
    let mut policy = policy.clone();
    let mut bytes = policy.body.bytes().to_vec();
    for template in &mut policy.templates {
        template.reqid = other(template.reqid);
    }
    if let Some(place) = templates_in(&bytes).and_then(|range| bytes.get_mut(range)) {
        for (bytes, template) in place.chunks_exact_mut(TEMPLATE_LEN).zip(&policy.templates) {
            bytes[16..20].copy_from_slice(&template.spi.to_be_bytes());
            bytes[44..48].copy_from_slice(&template.reqid.to_ne_bytes());
        }
    }
    policy.body = Body::new(bytes);
    policy
}

// ---- reqids of SAs installed for the peer: outside of the range of an IKE daemon, which counts from 1

/// First reqid of the plugin's range.
pub const FIRST_OWN_REQID: u32 = 0x4000_0000;

pub fn own_reqid(reqid: u32) -> u32 {
    match reqid {
        0 => 0,
        reqid if reqid < FIRST_OWN_REQID => reqid | FIRST_OWN_REQID,
        reqid => reqid,
    }
}

pub fn sa_with_own_reqid(sa: &Sa) -> Sa {
    sa_with_reqid(sa, own_reqid(sa.reqid))
}

pub fn policy_with_own_reqids(policy: &Policy) -> Policy {
    let mut reqids = policy.templates.iter().map(|it| it.reqid);
    if reqids.all(|it| own_reqid(it) == it) {
        policy.clone()
    } else {
        policy_with_reqids(policy, own_reqid)
    }
}

/// Reqid that no SA has, beyond the plugin's range.
const PARKED_REQID: u32 = 0x8000_0000;

/// Returns the policy as it leads to no SA, and names none: a packet that finds no SA with an SPI has the kernel add one
/// that only waits, in the place of the one that an IKE daemon is about to add.
pub fn parked_policy(policy: &Policy) -> Policy {
    let mut policy = policy.clone();
    policy.templates.iter_mut().for_each(|it| it.spi = 0);
    policy_with_reqids(&policy, |_| PARKED_REQID)
}

pub fn is_parked(policy: &Policy) -> bool {
    policy.templates.iter().any(|it| it.reqid == PARKED_REQID)
}

// ---- blocking policies, and copies in their place: the policy's selector with a user of this plugin, which matches the
// same packets

/// Field `user` of `struct xfrm_selector`, which does not affect matching.
const USER: std::ops::Range<usize> = 52..56;
const BLOCKER: u32 = 0x7370_6172;
/// Field `priority` of `struct xfrm_userpolicy_info`.
const PRIORITY: std::ops::Range<usize> = 152..156;

/// Returns the policy that drops packets if this one is missing; None if this one has a user.
pub fn blocking_policy(policy: &Policy) -> Option<Policy> {
    const LIMITS: std::ops::Range<usize> = 56..88;
    const USED: std::ops::Range<usize> = 120..152;
    const ACTION: usize = 161;
    const BLOCK: u8 = 1;
    let id = blocking_id(&policy.id)?;
    let mut bytes = policy.body.bytes().get(..POLICY_LEN)?.to_vec();
    bytes[USER].copy_from_slice(&BLOCKER.to_ne_bytes());
    bytes[LIMITS].fill(0xff);
    bytes[LIMITS.end..USED.end].fill(0);
    bytes[PRIORITY].fill(0xff);
    bytes[ACTION] = BLOCK;
    // mark, interface number, and type of the policy
    let attrs = attributes(policy.body.bytes().get(POLICY_LEN..)?);
    for (kind, value) in attrs.filter(|(kind, _)| *kind != XFRMA_TMPL) {
        let length = u16::try_from(value.len() + 4).ok()?;
        bytes.extend(length.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    Some(Policy {
        id,
        body: Body::new(bytes),
        templates: Vec::new(),
        end: None,
    })
}

/// Returns the policy with the user of blocking ones, just before itself: it takes the place of the blocking one, and
/// leads as this one, whatever replaces this one. None if this one has a user.
pub fn policy_copy(policy: &Policy) -> Option<Policy> {
    let id = blocking_id(&policy.id)?;
    let mut bytes = policy.body.bytes().to_vec();
    bytes.get_mut(USER)?.copy_from_slice(&BLOCKER.to_ne_bytes());
    let priority = bytes.get_mut(PRIORITY)?;
    let before = u32::from_ne_bytes(priority.try_into().ok()?).saturating_sub(1);
    priority.copy_from_slice(&before.to_ne_bytes());
    Some(Policy {
        id,
        body: Body::new(bytes),
        templates: policy.templates.clone(),
        end: None,
    })
}

/// Returns the policy of which this one is a copy; None if it is none, but one that blocks.
pub fn copied_policy(copy: &Policy) -> Option<Policy> {
    let id = blocked_id(&copy.id).filter(|_| !copy.templates.is_empty())?;
    let mut bytes = copy.body.bytes().to_vec();
    bytes.get_mut(USER)?.fill(0);
    let priority = bytes.get_mut(PRIORITY)?;
    let after = u32::from_ne_bytes(priority.try_into().ok()?).saturating_add(1);
    priority.copy_from_slice(&after.to_ne_bytes());
    Some(Policy {
        end: local_end(&id, &copy.templates),
        id,
        body: Body::new(bytes),
        templates: copy.templates.clone(),
    })
}

/// Returns the id of the policy that blocks below this one.
pub fn blocking_id(id: &PolicyId) -> Option<PolicyId> {
    let mut id = *id;
    let is_free = id.selector[USER] == [0; 4];
    id.selector[USER].copy_from_slice(&BLOCKER.to_ne_bytes());
    is_free.then_some(id)
}

/// Returns the id of the policy below which this one blocks, if it is a blocking policy.
pub fn blocked_id(id: &PolicyId) -> Option<PolicyId> {
    let mut id = *id;
    let is_block = id.selector[USER] == BLOCKER.to_ne_bytes();
    id.selector[USER].fill(0);
    is_block.then_some(id)
}

fn templates_in(bytes: &[u8]) -> Option<std::ops::Range<usize>> {
    let templates = find_attribute(bytes.get(POLICY_LEN..)?, XFRMA_TMPL)?;
    let begin = templates.as_ptr() as usize - bytes.as_ptr() as usize;
    Some(begin..begin + templates.len())
}

/// Returns source and destination address of `struct xfrm_selector`.
pub fn selector_ends(selector: &[u8; 56]) -> Option<(IpAddr, IpAddr)> {
    let at = Fields(selector);
    let family = at.u16(40).ok()?;
    Some((at.address(16, family).ok()?, at.address(0, family).ok()?))
}

/// A network: an address in it, and the prefix length.
type Network = (IpAddr, u8);

/// Returns source and destination network of `struct xfrm_selector`.
pub fn networks(selector: &[u8; 56]) -> Option<(Network, Network)> {
    let (source, destination) = selector_ends(selector)?;
    let [to, from] = [42, 43].map(|at| selector[at]);
    Some(((source, from), (destination, to)))
}

/// Returns the networks, if the selector matches every packet between them.
pub fn networks_if_unlimited(selector: &[u8; 56]) -> Option<(Network, Network)> {
    const PORTS: std::ops::Range<usize> = 32..40;
    const PROTOCOL: usize = 44;
    let takes_all = selector[PROTOCOL] == 0 && selector[PORTS] == [0; 8];
    networks(selector).filter(|_| takes_all)
}

/// Returns the local end of a policy's tunnels, on the node that carries it. In transport mode it is in the selector.
fn local_end(id: &PolicyId, templates: &[Template]) -> Option<IpAddr> {
    let near = |source, destination| {
        if id.is_outbound() {
            source
        } else {
            destination
        }
    };
    let outer = templates.last()?;
    let end = near(outer.source, outer.destination);
    if !end.is_unspecified() {
        return Some(end);
    }
    let (source, destination) = selector_ends(&id.selector)?;
    Some(near(source, destination))
}

fn number(attrs: &[u8], kind: u16) -> Result<u32, Malformed> {
    match find_attribute(attrs, kind) {
        Some(payload) => u32_of(payload).ok_or(Malformed::Field("number")),
        None => Ok(0),
    }
}

fn mark(attrs: &[u8]) -> Result<Mark, Malformed> {
    let Some(payload) = find_attribute(attrs, XFRMA_MARK) else {
        return Ok(Mark::default());
    };
    let at = Fields(payload);
    Ok(Mark {
        value: at.u32(0)?,
        mask: at.u32(4)?,
    })
}

fn direction(attrs: &[u8]) -> Result<Option<Direction>, Malformed> {
    match find_attribute(attrs, XFRMA_SA_DIR) {
        None => Ok(None),
        Some([1]) => Ok(Some(Direction::In)),
        Some([2]) => Ok(Some(Direction::Out)),
        Some(_) => Err(Malformed::Field("direction")),
    }
}

/// Bytes with fields at fixed offsets.
struct Fields<'b>(&'b [u8]);

impl Fields<'_> {
    fn chunk<const N: usize>(&self, at: usize) -> Result<[u8; N], Malformed> {
        let bytes = self.0.get(at..).and_then(|rest| rest.first_chunk());
        bytes.copied().ok_or(Malformed::Short)
    }

    fn u8(&self, at: usize) -> Result<u8, Malformed> {
        self.chunk(at).map(|[byte]| byte)
    }

    fn u16(&self, at: usize) -> Result<u16, Malformed> {
        self.chunk(at).map(u16::from_ne_bytes)
    }

    fn u32(&self, at: usize) -> Result<u32, Malformed> {
        self.chunk(at).map(u32::from_ne_bytes)
    }

    fn spi(&self, at: usize) -> Result<u32, Malformed> {
        self.chunk(at).map(u32::from_be_bytes)
    }

    fn address(&self, at: usize, family: u16) -> Result<IpAddr, Malformed> {
        match family {
            AF_INET => self.chunk::<4>(at).map(IpAddr::from),
            AF_INET6 => self.chunk::<16>(at).map(IpAddr::from),
            _ => Err(Malformed::Field("family")),
        }
    }
}
