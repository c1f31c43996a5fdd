//! A node without a link: the only words of another router are its adverts, and in VRRP a backup
//! sends none. An active node cannot know whether somebody stands by, and is not blamed for it.

use spared_control::GroupStatus;

use super::{Headline, Level, bare, reason};

pub(super) fn headline(node: &str, group: &GroupStatus) -> Headline {
    let name = &group.name;
    let other = group.other_active.as_deref();
    let rival = group.conflict.as_deref().or(other);
    let (level, text) = match (group.role.as_str(), other) {
        ("active", _) if rival.is_some() => {
            let rival = rival.unwrap_or_default();
            (
                Level::Conflict,
                format!("active on BOTH: {node} and {rival}."),
            )
        }
        ("active", _) => (
            Level::Ok,
            format!("{node} is active (a VRRP backup does not announce itself)."),
        ),
        ("fault", Some(other)) => {
            let why = reason(group);
            (
                Level::Alone,
                format!("{other} is active and {node} cannot take over: {why}."),
            )
        }
        ("fault", None) => {
            let why = reason(group);
            (
                Level::NoneActive,
                format!("nobody is active; {node} cannot be: {why}."),
            )
        }
        (_, Some(other)) => backup(node, other, group),
        (_, None) => (
            Level::NoneActive,
            format!("nobody is active. {}.", bare(&group.why)),
        ),
    };
    Headline {
        level,
        text: format!("{name}: {text}"),
    }
}

fn backup(node: &str, other: &str, group: &GroupStatus) -> (Level, String) {
    if group.forced == "backup" {
        return (
            Level::Warn,
            format!("{other} is active, {node} is kept from taking over."),
        );
    }
    if group.quality < 100 {
        let quality = group.quality;
        let text =
            format!("{other} is active, {node} can take over but is less fit ({quality} of 100).");
        return (Level::Warn, text);
    }
    (Level::Ok, format!("{other} is active, {node} stands by."))
}
