//! `spared.group/1`: the functions that an elector calls, most of them for many groups at once.

use std::collections::BTreeSet;
use std::ffi::{c_char, c_void};

use spared_abi as abi;
use spared_contract::{Call, Claims, Publication, Role};
use spared_records::monotonic::now_ns;

use super::host::{enter, size};
use super::{Driver, cause, claims, lent};

pub static GROUP: abi::Group = abi::Group {
    size: size::<abi::Group>(),
    reserved: 0,
    claim: Some(claim),
    publish: Some(publish),
    announce: Some(announce),
    switch_over: Some(switch_over),
    explain: Some(explain),
};

pub static ADDITION: abi::Addition = abi::Addition {
    size: size::<abi::Addition>(),
    reserved: 0,
    add: Some(add),
};

unsafe extern "C" fn add(
    ctx: *mut c_void,
    group: *const c_char,
    raw: *const abi::Claims,
) -> abi::Status {
    let driver = enter!(ctx, "add");
    // SAFETY: the contract: group and claims are lent.
    let (group, claims) = unsafe {
        let claims = (!raw.is_null()).then(|| claims::read(raw)).transpose();
        (lent::c_text(group), claims)
    };
    match (group, claims) {
        ("", _) => driver.refuse("add", "empty group name"),
        (group, Ok(claims)) => driver.call(Call::Add {
            group: group.to_owned(),
            claims,
        }),
        (_, Err(why)) => driver.refuse("add", &why),
    }
}

unsafe extern "C" fn claim(
    ctx: *mut c_void,
    first: *const abi::GroupClaim,
    count: u32,
    statuses: *mut abi::Status,
) -> abi::Status {
    let driver = enter!(ctx, "claim");
    // SAFETY: the contract: the array and all that it leads to are lent.
    let elements = unsafe { sized(first, count) }.map(|elements| {
        // SAFETY: as above, for each element.
        let read = elements.iter().map(|raw| unsafe { claimed(raw) });
        read.collect()
    });
    let call = |groups| Call::Claim { groups };
    // SAFETY: the contract: statuses has room.
    unsafe { each(driver, "claim", elements, statuses, call) }
}

/// # Safety
/// All that `raw` leads to is valid.
unsafe fn claimed(raw: &abi::GroupClaim) -> Element<(String, Option<Claims>)> {
    lent::check_flags("spared_group_claim", raw.flags)?;
    // SAFETY: the caller's promise.
    let (group, claims) = unsafe {
        let claims = (!raw.claims.is_null()).then(|| claims::read(raw.claims));
        (lent::text(raw.group).into_owned(), claims.transpose()?)
    };
    Ok((group.clone(), (group, claims)))
}

unsafe extern "C" fn publish(
    ctx: *mut c_void,
    first: *const abi::Publication,
    count: u32,
    statuses: *mut abi::Status,
) -> abi::Status {
    let driver = enter!(ctx, "publish");
    let sent_ns = now_ns();
    // SAFETY: as above.
    let elements = unsafe { sized(first, count) }.map(|elements| {
        // SAFETY: as above, for each element.
        let read = elements
            .iter()
            .map(|raw| unsafe { published(raw, sent_ns) });
        read.collect()
    });
    let call = |groups| Call::Publish { groups };
    // SAFETY: as above.
    unsafe { each(driver, "publish", elements, statuses, call) }
}

/// # Safety
/// All that `raw` leads to is valid.
unsafe fn published(raw: &abi::Publication, sent_ns: u64) -> Element<(String, Publication)> {
    lent::check_flags("publish", raw.flags)?;
    // SAFETY: the caller's promise.
    let (group, cause) = unsafe { (lent::text(raw.group).into_owned(), cause::read(raw.cause)?) };
    let publication = Publication {
        role: role(raw.role)?,
        reopens: raw.flags & abi::PUBLISH_REOPEN != 0,
        cause,
        sent_ns,
    };
    Ok((group.clone(), (group, publication)))
}

unsafe extern "C" fn announce(
    ctx: *mut c_void,
    first: *const abi::Str,
    count: u32,
    statuses: *mut abi::Status,
) -> abi::Status {
    let driver = enter!(ctx, "announce");
    let elements = check(first, count).map(|()| {
        // SAFETY: the contract: the array and its texts are lent.
        let groups = unsafe { lent::slice(first, count as usize) }.iter();
        // SAFETY: as above.
        let groups = groups.map(|group| unsafe { lent::text(*group).into_owned() });
        groups.map(|group| Ok((group.clone(), group))).collect()
    });
    let call = |groups| Call::Announce { groups };
    // SAFETY: as above.
    unsafe { each(driver, "announce", elements, statuses, call) }
}

/// An element with its group, or what is wrong with it.
type Element<T> = Result<(String, T), String>;

fn check<T>(first: *const T, count: u32) -> Result<(), String> {
    if count > abi::GROUPS_MAX {
        let most = abi::GROUPS_MAX;
        return Err(format!("{count} groups, at most {most} are allowed"));
    }
    match first.is_null() && count > 0 {
        true => Err("NULL array".to_owned()),
        false => Ok(()),
    }
}

/// # Safety
/// As for [`lent::sized_array`].
unsafe fn sized<T: abi::PassedStruct>(first: *const T, count: u32) -> Result<Vec<T>, String> {
    check(first, count)?;
    let least = T::SIZE_MIN;
    // SAFETY: the caller's promise.
    let elements = unsafe { lent::sized_array(first, count) };
    elements.ok_or_else(|| format!("an element with less than its {least} bytes"))
}

/// Asks the host for all elements that are valid, in one call, and stores the status of each.
///
/// # Safety
/// Unless NULL, `statuses` has room for all elements.
unsafe fn each<T: Clone>(
    driver: &Driver,
    function: &str,
    elements: Result<Vec<Element<T>>, String>,
    statuses: *mut abi::Status,
    call: impl Fn(Vec<T>) -> Call,
) -> abi::Status {
    let elements = match elements {
        Ok(elements) => elements,
        Err(why) => return driver.refuse(function, &why),
    };
    let mut results = vec![0; elements.len()];
    let (mut asked, mut wanted, mut groups) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (element, result) in elements.into_iter().zip(&mut results) {
        let valid = element.and_then(|(group, wanted)| {
            if group.is_empty() {
                return Err("empty group name".to_owned());
            }
            let again = format!("group {group} stands twice in the array");
            groups.insert(group).then_some(wanted).ok_or(again)
        });
        match valid {
            Ok(valid) => {
                wanted.push(valid);
                asked.push(result);
            }
            Err(why) => *result = driver.refuse(function, &why),
        }
    }
    let answers = driver.call_each(&wanted, &call);
    for (result, answer) in asked.into_iter().zip(answers) {
        *result = answer;
    }
    if !statuses.is_null() {
        // SAFETY: the caller's promise.
        unsafe {
            results
                .as_ptr()
                .copy_to_nonoverlapping(statuses, results.len())
        };
    }
    results.into_iter().find(|status| *status != 0).unwrap_or(0)
}

unsafe extern "C" fn switch_over(
    ctx: *mut c_void,
    group: *const c_char,
    cause: *const abi::Cause,
) -> abi::Status {
    let driver = enter!(ctx, "switch_over");
    // SAFETY: the contract: group and cause are lent.
    match unsafe { (lent::c_text(group), cause::read(cause)) } {
        ("", _) => driver.refuse("switch_over", "empty group name"),
        (group, Ok(cause)) => driver.call(Call::SwitchOver {
            group: group.to_owned(),
            cause,
        }),
        (_, Err(why)) => driver.refuse("switch_over", &why),
    }
}

unsafe extern "C" fn explain(
    ctx: *mut c_void,
    group: *const c_char,
    to: u32,
    cause: *const abi::Cause,
) -> abi::Status {
    let driver = enter!(ctx, "explain");
    // SAFETY: the contract: group and cause are lent.
    let said = unsafe { role(to).and_then(|role| Ok((role, cause::read(cause)?))) };
    // SAFETY: as above.
    match (unsafe { lent::c_text(group) }, said) {
        ("", _) => driver.refuse("explain", "empty group name"),
        (group, Ok((role, cause))) => {
            driver.explain(group, role, cause);
            0
        }
        (_, Err(why)) => driver.refuse("explain", &why),
    }
}

fn role(number: u32) -> Result<Role, String> {
    Role::from_raw(number).ok_or_else(|| format!("there is no role {number}"))
}
