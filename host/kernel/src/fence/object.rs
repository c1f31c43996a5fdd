//! Tables, chains, sets, elements and counters that nftnl's safe API cannot express.

use std::ffi::{CStr, CString, c_void};
use std::ptr::NonNull;

use nftnl::{MsgType, NlMsg, ProtoFamily};
use nftnl_sys as sys;
use spared_netlink::constants::*;

const NLM_F_CREATE: u16 = 0x400;

/// Table of nftables; an `owned` table ends with the socket that created it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    pub family: ProtoFamily,
    pub name: &'static CStr,
    pub owned: bool,
}

impl Table {
    pub const FENCE: Self = Self::netdev(c"spared", false);
    pub const MIRROR: Self = Self::netdev(c"spared-mirror", true);

    const fn netdev(name: &'static CStr, owned: bool) -> Self {
        let family = ProtoFamily::NetDev;
        Self {
            family,
            name,
            owned,
        }
    }

    /// The table as an object of nftnl.
    pub fn nftnl(&self) -> nftnl::Table {
        nftnl::Table::new(self.name, self.family)
    }
}

// SAFETY: one table message is far below the largest netlink message.
unsafe impl NlMsg for Table {
    unsafe fn write(&self, buffer: *mut c_void, sequence: u32, kind: MsgType) {
        let kind = choose(kind, NFT_MSG_NEWTABLE, NFT_MSG_DELTABLE);
        // SAFETY: the caller gives room for any message; every pointer is used before it is freed.
        unsafe {
            let table = own(sys::nftnl_table_alloc());
            let raw = table.as_ptr();
            sys::nftnl_table_set_u32(raw, sys::NFTNL_TABLE_FAMILY as u16, self.family as u32);
            sys::nftnl_table_set_str(raw, sys::NFTNL_TABLE_NAME as u16, self.name.as_ptr());
            let flags = if self.owned { NFT_TABLE_F_OWNER } else { 0 };
            sys::nftnl_table_set_u32(raw, sys::NFTNL_TABLE_FLAGS as u16, flags);
            sys::nftnl_table_nlmsg_build_payload(header(buffer, kind, sequence, *self), raw);
            sys::nftnl_table_free(raw);
        }
    }
}

/// Chain on the hook of a device, or chain to jump to.
pub struct Chain<'a> {
    pub table: Table,
    pub name: &'a CStr,
    pub hook: Option<&'a Hook>,
}

/// Hook of a base chain. nftnl's `Hook` does not suffice: its `Ingress` is the number for inet, and it has no egress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// None for the hooks of a family that has no devices.
    pub device: Option<CString>,
    pub number: u32,
    pub priority: i32,
}

// SAFETY: one chain message is far below the largest netlink message.
unsafe impl NlMsg for Chain<'_> {
    unsafe fn write(&self, buffer: *mut c_void, sequence: u32, kind: MsgType) {
        let kind = choose(kind, NFT_MSG_NEWCHAIN, NFT_MSG_DELCHAIN);
        // SAFETY: as for Table.
        unsafe {
            let chain = own(sys::nftnl_chain_alloc());
            let raw = chain.as_ptr();
            sys::nftnl_chain_set_str(raw, sys::NFTNL_CHAIN_TABLE as u16, self.table.name.as_ptr());
            sys::nftnl_chain_set_str(raw, sys::NFTNL_CHAIN_NAME as u16, self.name.as_ptr());
            if let Some(hook) = self.hook {
                sys::nftnl_chain_set_str(raw, sys::NFTNL_CHAIN_TYPE as u16, c"filter".as_ptr());
                sys::nftnl_chain_set_u32(raw, sys::NFTNL_CHAIN_HOOKNUM as u16, hook.number);
                sys::nftnl_chain_set_s32(raw, sys::NFTNL_CHAIN_PRIO as u16, hook.priority);
                if let Some(device) = &hook.device {
                    sys::nftnl_chain_set_str(raw, sys::NFTNL_CHAIN_DEV as u16, device.as_ptr());
                }
            }
            sys::nftnl_chain_nlmsg_build_payload(header(buffer, kind, sequence, self.table), raw);
            sys::nftnl_chain_free(raw);
        }
    }
}

/// Types of keys in sets and maps. The numbers are nft's data types, so that `nft list` prints
/// them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Ipv4 = 7,
    Ipv6 = 8,
    Ether = 9,
    Mark = 19,
    Interface = 20,
    InterfaceName = 41,
}

impl Type {
    // Number of bytes, rounded up to whole registers.
    fn length(self) -> u32 {
        match self {
            Self::Ipv6 | Self::InterfaceName => 16,
            Self::Ether => 8,
            _ => 4,
        }
    }
}

/// Definition of a set.
#[derive(Clone, Copy, Debug)]
pub struct SetKind {
    pub name: &'static CStr,
    pub key: &'static [Type],
    /// True for a map to verdicts.
    pub verdicts: bool,
    /// True if packets change the set and its elements expire.
    pub dynamic: bool,
}

pub struct Set<'a> {
    pub table: Table,
    pub kind: &'a SetKind,
    pub id: u32,
}

// SAFETY: one set message is far below the largest netlink message.
unsafe impl NlMsg for Set<'_> {
    unsafe fn write(&self, buffer: *mut c_void, sequence: u32, kind: MsgType) {
        const DYNAMIC_MAX: u32 = 65535;
        let kind = choose(kind, NFT_MSG_NEWSET, NFT_MSG_DELSET);
        let concatenated = |types: &[Type]| types.iter().fold(0, |id, &t| id << 6 | t as u32);
        let length = |types: &[Type]| types.iter().map(|t| t.length()).sum();
        // SAFETY: as for Table.
        unsafe {
            let set = named_set(self.table.name, self.kind.name);
            let raw = set.as_ptr();
            let number = |attribute, value| sys::nftnl_set_set_u32(raw, attribute as u16, value);
            let mut flags = 0;
            number(sys::NFTNL_SET_ID, self.id);
            number(sys::NFTNL_SET_KEY_TYPE, concatenated(self.kind.key));
            number(sys::NFTNL_SET_KEY_LEN, length(self.kind.key));
            if self.kind.verdicts {
                const NFT_DATA_VERDICT: u32 = 0xffff_ff00;
                flags |= NFT_SET_MAP;
                number(sys::NFTNL_SET_DATA_TYPE, NFT_DATA_VERDICT);
                number(sys::NFTNL_SET_DATA_LEN, 16);
            }
            if self.kind.dynamic {
                flags |= NFT_SET_TIMEOUT | NFT_SET_EVAL;
                number(sys::NFTNL_SET_DESC_SIZE, DYNAMIC_MAX);
            }
            number(sys::NFTNL_SET_FLAGS, flags);
            sys::nftnl_set_nlmsg_build_payload(header(buffer, kind, sequence, self.table), raw);
            sys::nftnl_set_free(raw);
        }
    }
}

/// Element: key, chain that a verdict map jumps to, timeout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    pub key: Vec<u8>,
    pub jump: Option<CString>,
    pub timeout_ms: Option<u64>,
}

/// Elements of one set, at most [`Elements::CHUNK`]. Deleting an empty list deletes all elements.
pub struct Elements<'a> {
    pub table: Table,
    pub set: &'static CStr,
    pub elements: &'a [Element],
}

impl Elements<'_> {
    /// Maximum number of elements of one message, which stays below the 64 KiB of one attribute.
    pub const CHUNK: usize = 250;
}

// SAFETY: CHUNK elements of a key, a short chain name and their headers stay below 64 KiB.
unsafe impl NlMsg for Elements<'_> {
    unsafe fn write(&self, buffer: *mut c_void, sequence: u32, kind: MsgType) {
        let kind = choose(kind, NFT_MSG_NEWSETELEM, NFT_MSG_DELSETELEM);
        // SAFETY: as for Table; an element belongs to its set once added, and is freed with it.
        unsafe {
            let set = named_set(self.table.name, self.set);
            for element in self.elements.iter().take(Self::CHUNK) {
                let raw = own(sys::nftnl_set_elem_alloc()).as_ptr();
                let bytes = |attribute, value: &[u8]| {
                    let length = value.len() as u32;
                    sys::nftnl_set_elem_set(raw, attribute as u16, value.as_ptr().cast(), length);
                };
                bytes(sys::NFTNL_SET_ELEM_KEY, &element.key);
                if let Some(chain) = &element.jump {
                    const NFT_JUMP: i32 = -3;
                    bytes(sys::NFTNL_SET_ELEM_VERDICT, &NFT_JUMP.to_ne_bytes());
                    sys::nftnl_set_elem_set_str(
                        raw,
                        sys::NFTNL_SET_ELEM_CHAIN as u16,
                        chain.as_ptr(),
                    );
                }
                if let Some(timeout_ms) = element.timeout_ms {
                    sys::nftnl_set_elem_set_u64(
                        raw,
                        sys::NFTNL_SET_ELEM_TIMEOUT as u16,
                        timeout_ms,
                    );
                }
                sys::nftnl_set_elem_add(set.as_ptr(), raw);
            }
            let header = header(buffer, kind, sequence, self.table);
            sys::nftnl_set_elems_nlmsg_build_payload(header, set.as_ptr());
            sys::nftnl_set_free(set.as_ptr());
        }
    }
}

/// Named counter. It keeps its value when its rules are replaced.
pub struct Counter {
    pub table: Table,
    pub name: &'static CStr,
}

// SAFETY: one counter message is far below the largest netlink message.
unsafe impl NlMsg for Counter {
    unsafe fn write(&self, buffer: *mut c_void, sequence: u32, kind: MsgType) {
        let kind = choose(kind, NFT_MSG_NEWOBJ, NFT_MSG_DELOBJ);
        // SAFETY: as for Table.
        unsafe {
            let counter = own(sys::nftnl_obj_alloc());
            let raw = counter.as_ptr();
            sys::nftnl_obj_set_str(raw, sys::NFTNL_OBJ_TABLE as u16, self.table.name.as_ptr());
            sys::nftnl_obj_set_str(raw, sys::NFTNL_OBJ_NAME as u16, self.name.as_ptr());
            sys::nftnl_obj_set_u32(raw, sys::NFTNL_OBJ_TYPE as u16, NFT_OBJECT_COUNTER);
            sys::nftnl_obj_set_u64(raw, sys::NFTNL_OBJ_CTR_PKTS as u16, 0);
            sys::nftnl_obj_set_u64(raw, sys::NFTNL_OBJ_CTR_BYTES as u16, 0);
            sys::nftnl_obj_nlmsg_build_payload(header(buffer, kind, sequence, self.table), raw);
            sys::nftnl_obj_free(raw);
        }
    }
}

/// Wrapper of an nftnl object that requests no acknowledgement. Failures are reported anyway, and a thousand
/// acknowledgements would displace them in the buffer of the socket.
pub struct Quiet<'a, T>(pub &'a T);

// SAFETY: it writes what the inner object writes.
unsafe impl<T: NlMsg> NlMsg for Quiet<'_, T> {
    unsafe fn write(&self, buffer: *mut c_void, sequence: u32, kind: MsgType) {
        // SAFETY: the inner object has just written a whole header at the start of the buffer,
        // which libnftnl aligns.
        unsafe {
            self.0.write(buffer, sequence, kind);
            (*buffer.cast::<libc::nlmsghdr>()).nlmsg_flags &= !(libc::NLM_F_ACK as u16);
        }
    }
}

fn choose(kind: MsgType, add: u16, delete: u16) -> u16 {
    match kind {
        MsgType::Add => add,
        MsgType::Del => delete,
    }
}

// SAFETY (of callers): `buffer` has room for any netlink message.
unsafe fn header(
    buffer: *mut c_void,
    kind: u16,
    sequence: u32,
    table: Table,
) -> *mut libc::nlmsghdr {
    // SAFETY: the caller's promise.
    unsafe {
        sys::nftnl_nlmsg_build_hdr(
            buffer.cast(),
            kind,
            table.family as u16,
            NLM_F_CREATE,
            sequence,
        )
        .cast()
    }
}

fn named_set(table: &CStr, name: &CStr) -> NonNull<sys::nftnl_set> {
    // SAFETY: libnftnl copies both names.
    unsafe {
        let set = own(sys::nftnl_set_alloc());
        sys::nftnl_set_set_str(set.as_ptr(), sys::NFTNL_SET_TABLE as u16, table.as_ptr());
        sys::nftnl_set_set_str(set.as_ptr(), sys::NFTNL_SET_NAME as u16, name.as_ptr());
        set
    }
}

// Wraps a pointer from libnftnl. Without memory it aborts, like nftnl itself and Rust everywhere.
fn own<T>(pointer: *mut T) -> NonNull<T> {
    NonNull::new(pointer).unwrap_or_else(|| std::process::abort())
}
