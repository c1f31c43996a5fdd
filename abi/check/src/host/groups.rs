//! `spared.group/1` for a plugin under trial.

use std::ffi::{c_char, c_void};

use spared_abi as abi;
use spared_contract::Role;
use spared_worker::sized_array;

use super::{EPERM, Record, enter, misuse, record, request, size};

pub(super) static GROUP: abi::Group = abi::Group {
    size: size::<abi::Group>(),
    reserved: 0,
    claim: Some(claim),
    publish: Some(publish),
    announce: Some(announce),
    switch_over: Some(switch_over),
    explain: Some(explain),
};

unsafe extern "C" fn claim(
    ctx: *mut c_void,
    _claims: *const abi::GroupClaim,
    count: u32,
    statuses: *mut abi::Status,
) -> abi::Status {
    let record = enter!(ctx, "claim");
    // SAFETY: the contract: statuses has room.
    unsafe { answer(statuses, count, 0) };
    request(record)
}

unsafe extern "C" fn publish(
    ctx: *mut c_void,
    first: *const abi::Publication,
    count: u32,
    statuses: *mut abi::Status,
) -> abi::Status {
    let record = enter!(ctx, "publish");
    // SAFETY: the contract: the array is lent.
    let elements = unsafe { sized_array(first, count) };
    let Some(elements) = elements else {
        return misuse(
            record,
            "publish: an array that is NULL, or an element without its size".to_owned(),
        );
    };
    let mut result = 0;
    for (index, element) in elements.iter().enumerate() {
        // SAFETY: the contract: the causes are lent as well.
        let status = unsafe { with_cause(record, "publish", Some(element.role), element.cause) };
        if !statuses.is_null() {
            // SAFETY: the contract: statuses has room.
            unsafe { *statuses.add(index) = status };
        }
        result = if result == 0 { status } else { result };
    }
    result
}

unsafe extern "C" fn announce(
    ctx: *mut c_void,
    _groups: *const abi::Str,
    count: u32,
    statuses: *mut abi::Status,
) -> abi::Status {
    let record = enter!(ctx, "announce");
    // SAFETY: as above.
    unsafe { answer(statuses, count, 0) };
    request(record)
}

/// # Safety
/// Unless NULL, `statuses` has room for `count`.
unsafe fn answer(statuses: *mut abi::Status, count: u32, status: abi::Status) {
    for index in 0..count as usize {
        if !statuses.is_null() {
            // SAFETY: the caller's promise.
            unsafe { *statuses.add(index) = status };
        }
    }
}

unsafe extern "C" fn switch_over(
    ctx: *mut c_void,
    _group: *const c_char,
    cause: *const abi::Cause,
) -> abi::Status {
    let record = enter!(ctx, "switch_over");
    // SAFETY: the contract: the cause is lent.
    unsafe { with_cause(record, "switch_over", None, cause) }
}

unsafe extern "C" fn explain(
    ctx: *mut c_void,
    _group: *const c_char,
    role: u32,
    cause: *const abi::Cause,
) -> abi::Status {
    let record = enter!(ctx, "explain");
    // SAFETY: the contract: the cause is lent.
    unsafe { with_cause(record, "explain", Some(role), cause) }
}

/// Checks role and cause as a host does.
///
/// # Safety
/// `cause` is NULL or valid.
unsafe fn with_cause(
    record: &Record,
    function: &str,
    role: Option<u32>,
    cause: *const abi::Cause,
) -> abi::Status {
    if let Some(role) = role.filter(|role| Role::from_raw(*role).is_none()) {
        return misuse(record, format!("{function}: there is no role {role}"));
    }
    // SAFETY: the caller's promise; only its size is read.
    let said = (!cause.is_null()).then(|| unsafe { (*cause).size });
    match said {
        None => misuse(record, format!("{function}: without a cause")),
        Some(said) if said < size::<abi::Cause>() => misuse(
            record,
            format!(
                "{function}: spared_cause has {said} bytes, at least {} are needed",
                size::<abi::Cause>()
            ),
        ),
        Some(_) => request(record),
    }
}
