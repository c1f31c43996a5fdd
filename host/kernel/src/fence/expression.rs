//! Expressions of rules: nftnl's own, and by nftnl_sys those that nftnl lacks (chosen registers, verdict maps, inverted
//! lookups, dynamic sets, named counters).

use std::ffi::{CStr, CString};
use std::ptr::NonNull;

use nftnl::Rule;
use nftnl::expr::{Expression as NftnlExpression, Verdict};
use nftnl_sys as sys;
use spared_netlink::constants::*;

/// One step of a rule. Registers are numbered from 0, four bytes each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    Meta {
        key: u32,
        register: u32,
    },
    Payload {
        base: u32,
        offset: u32,
        length: u32,
        register: u32,
    },
    Equal {
        register: u32,
        value: Vec<u8>,
    },
    /// Replaces the four bytes in a register by a number.
    Replace {
        register: u32,
        number: u32,
    },
    /// Executes the verdict of the map for the key; continues if the map has none.
    VerdictMap {
        map: &'static CStr,
        key: u32,
    },
    /// Continues if the key is in the set.
    Member {
        set: &'static CStr,
        key: u32,
    },
    /// Continues if the key is not in the set.
    NotMember {
        set: &'static CStr,
        key: u32,
    },
    Renew {
        set: &'static CStr,
        key: u32,
        timeout_ms: u64,
    },
    Revoke {
        set: &'static CStr,
        key: u32,
    },
    Count(&'static CStr),
    Accept,
    Drop,
    Return,
    Jump(CString),
}

impl NftnlExpression for Expression {
    fn to_expr(&self, rule: &Rule) -> NonNull<sys::nftnl_expr> {
        use sys::*;
        match self {
            Self::Meta { key, register } => {
                let raw = Raw::new(c"meta");
                raw.number(NFTNL_EXPR_META_KEY, *key);
                raw.number(NFTNL_EXPR_META_DREG, NFT_REG32_00 + register);
                raw.0
            }
            Self::Payload {
                base,
                offset,
                length,
                register,
            } => {
                let raw = Raw::new(c"payload");
                raw.number(NFTNL_EXPR_PAYLOAD_BASE, *base);
                raw.number(NFTNL_EXPR_PAYLOAD_OFFSET, *offset);
                raw.number(NFTNL_EXPR_PAYLOAD_LEN, *length);
                raw.number(NFTNL_EXPR_PAYLOAD_DREG, NFT_REG32_00 + register);
                raw.0
            }
            Self::Equal { register, value } => {
                let raw = Raw::new(c"cmp");
                raw.number(NFTNL_EXPR_CMP_SREG, NFT_REG32_00 + register);
                raw.number(NFTNL_EXPR_CMP_OP, 0);
                raw.data(NFTNL_EXPR_CMP_DATA, value);
                raw.0
            }
            Self::Replace { register, number } => {
                let raw = Raw::new(c"bitwise");
                raw.number(NFTNL_EXPR_BITWISE_SREG, NFT_REG32_00 + register);
                raw.number(NFTNL_EXPR_BITWISE_DREG, NFT_REG32_00 + register);
                raw.number(NFTNL_EXPR_BITWISE_LEN, 4);
                raw.data(NFTNL_EXPR_BITWISE_MASK, &[0; 4]);
                raw.data(NFTNL_EXPR_BITWISE_XOR, &number.to_ne_bytes());
                raw.0
            }
            Self::VerdictMap { map, key } => lookup(map, *key, true, false),
            Self::Member { set, key } => lookup(set, *key, false, false),
            Self::NotMember { set, key } => lookup(set, *key, false, true),
            Self::Renew {
                set,
                key,
                timeout_ms,
            } => dynset(set, *key, NFT_DYNSET_OP_UPDATE, Some(*timeout_ms)),
            Self::Revoke { set, key } => dynset(set, *key, NFT_DYNSET_OP_DELETE, None),
            Self::Count(counter) => {
                let raw = Raw::new(c"objref");
                raw.number(NFTNL_EXPR_OBJREF_IMM_TYPE, NFT_OBJECT_COUNTER);
                raw.text(NFTNL_EXPR_OBJREF_IMM_NAME, counter);
                raw.0
            }
            Self::Accept => Verdict::Accept.to_expr(rule),
            Self::Drop => Verdict::Drop.to_expr(rule),
            Self::Return => Verdict::Return.to_expr(rule),
            Self::Jump(chain) => Verdict::Jump {
                chain: chain.clone(),
            }
            .to_expr(rule),
        }
    }
}

fn lookup(set: &CStr, key: u32, verdict: bool, invert: bool) -> NonNull<sys::nftnl_expr> {
    let raw = Raw::new(c"lookup");
    raw.text(sys::NFTNL_EXPR_LOOKUP_SET, set);
    raw.number(sys::NFTNL_EXPR_LOOKUP_SREG, NFT_REG32_00 + key);
    if verdict {
        const NFT_REG_VERDICT: u32 = 0;
        raw.number(sys::NFTNL_EXPR_LOOKUP_DREG, NFT_REG_VERDICT);
    }
    if invert {
        raw.number(sys::NFTNL_EXPR_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
    }
    raw.0
}

fn dynset(set: &CStr, key: u32, op: u32, timeout_ms: Option<u64>) -> NonNull<sys::nftnl_expr> {
    let raw = Raw::new(c"dynset");
    raw.text(sys::NFTNL_EXPR_DYNSET_SET_NAME, set);
    raw.number(sys::NFTNL_EXPR_DYNSET_SREG_KEY, NFT_REG32_00 + key);
    raw.number(sys::NFTNL_EXPR_DYNSET_OP, op);
    if let Some(timeout_ms) = timeout_ms {
        raw.long(sys::NFTNL_EXPR_DYNSET_TIMEOUT, timeout_ms);
    }
    raw.0
}

// An expression under construction; the rule that it is added to frees it.
struct Raw(NonNull<sys::nftnl_expr>);

impl Raw {
    fn new(name: &CStr) -> Self {
        // SAFETY: the name is a C string; libnftnl copies what it needs of it.
        let expr = unsafe { sys::nftnl_expr_alloc(name.as_ptr()) };
        match NonNull::new(expr) {
            Some(expr) => Self(expr),
            // nftnl itself aborts as well: without memory, Rust aborts everywhere.
            None => std::process::abort(),
        }
    }

    fn number(&self, attribute: u32, value: u32) {
        // SAFETY: the expression is alive, libnftnl copies the value.
        unsafe { sys::nftnl_expr_set_u32(self.0.as_ptr(), attribute as u16, value) }
    }

    fn long(&self, attribute: u32, value: u64) {
        // SAFETY: the expression is alive, libnftnl copies the value.
        unsafe { sys::nftnl_expr_set_u64(self.0.as_ptr(), attribute as u16, value) }
    }

    fn text(&self, attribute: u32, value: &CStr) {
        // SAFETY: the expression is alive, libnftnl copies the string.
        unsafe { sys::nftnl_expr_set_str(self.0.as_ptr(), attribute as u16, value.as_ptr()) };
    }

    fn data(&self, attribute: u32, value: &[u8]) {
        // SAFETY: the expression is alive, exactly `value.len()` bytes are copied.
        unsafe {
            sys::nftnl_expr_set(
                self.0.as_ptr(),
                attribute as u16,
                value.as_ptr().cast(),
                value.len() as u32,
            )
        };
    }
}
