//! Members of a bond, a team or a bridge, read from /sys/class/net.

use super::{Root, line, names};
use crate::engine::Finding;

/// One finding for each member, or one for the whole if it is gone or has none.
pub(super) fn read(root: &Root, interface: &str) -> Vec<Finding> {
    let directory = root.join(&format!("/sys/class/net/{interface}"));
    if !directory.exists() {
        return vec![Finding::failed("is not there")];
    }
    let entries = match names(&directory) {
        Ok(entries) => entries,
        Err(why) => return vec![Finding::failed(why)],
    };
    let members: Vec<&str> = entries
        .iter()
        .filter_map(|entry| entry.strip_prefix("lower_"))
        .collect();
    if members.is_empty() {
        return vec![Finding::failed("has no members")];
    }
    members
        .into_iter()
        .map(|member| state(root, member))
        .collect()
}

fn state(root: &Root, member: &str) -> Finding {
    let directory = root.join(&format!("/sys/class/net/{member}"));
    // the file `carrier` of an interface that is down cannot be read
    let finding = match line(&directory.join("carrier")).as_deref() {
        Some("1") => Finding::good("up"),
        Some(_) => Finding::failed("has no carrier"),
        None if directory.exists() => Finding::failed("is down"),
        None => Finding::failed("is not there"),
    };
    Finding {
        part: Some(member.to_owned()),
        ..finding
    }
}
