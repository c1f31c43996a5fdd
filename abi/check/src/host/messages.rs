//! What a plugin under trial sends: to its peer, to partners, to whoever holds the keys.

use std::ffi::c_void;

use spared_abi as abi;

use super::{EPERM, Record, enter, misuse, record, request};

const EAGAIN: abi::Status = -11;
const EMSGSIZE: abi::Status = -90;
const ENOTCONN: abi::Status = -107;

/// Number of messages to the peer after which the channel is full.
const FULL_EVERY: u64 = 50;
/// Refused messages within one callback after which the plugin is taken to wait for room.
const REFUSED_MAX: u32 = 100;

/// Requests to sign or verify that may wait.
const TICKETS_MAX: usize = 20;

pub(super) unsafe extern "C" fn send(ctx: *mut c_void, message: abi::Bytes) -> abi::Status {
    let record = enter!(ctx, "send");
    if message.len > abi::PEER_MESSAGE_MAX as usize {
        let text = "sends its peer messages that are longer than 65536 bytes";
        misuse(record, text.to_owned());
        return EMSGSIZE;
    }
    if !record.is_up.get() {
        return ENOTCONN;
    }
    record.sent.set(record.sent.get() + 1);
    if record.sent.get() % FULL_EVERY == 0 {
        record.is_full.set(true);
    }
    // SAFETY: the contract: the message is lent.
    unsafe { take(record, record.is_full.get(), message, "its peer") }
}

pub(super) unsafe extern "C" fn send_local(
    ctx: *mut c_void,
    partner: u32,
    message: abi::Bytes,
) -> abi::Status {
    let record = enter!(ctx, "send");
    if message.len > abi::LOCAL_MESSAGE_MAX as usize {
        let text = "sends a partner messages that are longer than 65536 bytes";
        misuse(record, text.to_owned());
        return EMSGSIZE;
    }
    if !record.partners_up.borrow().contains(&partner) {
        return ENOTCONN;
    }
    record.sent.set(record.sent.get() + 1);
    let mut full = record.partners_full.borrow_mut();
    if record.sent.get() % FULL_EVERY == 0 {
        full.insert(partner);
    }
    // SAFETY: the contract: the message is lent.
    unsafe { take(record, full.contains(&partner), message, "a partner") }
}

/// Takes a message, or refuses it as there is no room.
///
/// # Safety
/// The message is lent.
unsafe fn take(record: &Record, is_full: bool, message: abi::Bytes, to: &str) -> abi::Status {
    if !is_full {
        if message.len > 0 {
            // SAFETY: the caller's promise; all of it is read, as by a host.
            let bytes = unsafe { std::slice::from_raw_parts(message.ptr, message.len) };
            std::hint::black_box(bytes.iter().fold(0u8, |sum, byte| sum ^ byte));
        }
        return 0;
    }
    record.refused.set(record.refused.get() + 1);
    if record.refused.get() < REFUSED_MAX {
        return EAGAIN;
    }
    // waiting for room within a callback never ends
    let text = format!("keeps sending to {to} after -EAGAIN: return and wait for writable()");
    misuse(record, text);
    ENOTCONN
}

/// Queues a request, as the process that holds the keys does.
fn queue(record: &Record, ticket: u64) -> abi::Status {
    let mut tickets = record.tickets.borrow_mut();
    if tickets.len() >= TICKETS_MAX {
        return EAGAIN;
    }
    tickets.push(ticket);
    request(record)
}

pub(super) unsafe extern "C" fn sign(
    ctx: *mut c_void,
    ticket: u64,
    statement: abi::Bytes,
) -> abi::Status {
    let record = enter!(ctx, "sign");
    if statement.len > abi::IDENTITY_STATEMENT_MAX as usize {
        let text = "has statements of more than 512 bytes signed";
        misuse(record, text.to_owned());
        return EMSGSIZE;
    }
    queue(record, ticket)
}

pub(super) unsafe extern "C" fn verify(
    ctx: *mut c_void,
    ticket: u64,
    statement: abi::Bytes,
    signature: abi::Bytes,
) -> abi::Status {
    let record = enter!(ctx, "verify");
    if statement.len > abi::IDENTITY_STATEMENT_MAX as usize
        || signature.len != abi::IDENTITY_SIGNATURE_SIZE as usize
    {
        let text = "has statements of more than 512 bytes verified, or signatures not of 64";
        misuse(record, text.to_owned());
        return EMSGSIZE;
    }
    queue(record, ticket)
}
