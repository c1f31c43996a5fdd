//! The result of `sparectl force`: the daemon answers at once, and the role changes afterwards.

use std::thread::sleep;
use std::time::{Duration, Instant};

use spared_message::control::{Answer, Force, GroupStatus, Request, Status};

use crate::args::Args;

/// Maximum wait for the role. A switchover between two routers takes milliseconds, a claim one advert interval.
const PATIENCE: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(50);

/// Sentence for each forced group, with its role once the role has changed or the wait is over.
pub fn outcome(args: &Args, to: Force, group: Option<&str>) -> Vec<String> {
    let until = Instant::now() + PATIENCE;
    loop {
        let answer = crate::ask(args, &Request::Status);
        let Ok(Answer::Status(status)) = answer else {
            return Vec::new();
        };
        let groups = status.groups.iter();
        let meant: Vec<&GroupStatus> = groups
            .filter(|it| group.is_none_or(|name| name == it.name))
            .collect();
        if meant.iter().all(|it| has_role(it, to)) || Instant::now() >= until {
            return meant.iter().map(|it| sentence(&status, it, to)).collect();
        }
        sleep(PAUSE);
    }
}

fn has_role(group: &GroupStatus, to: Force) -> bool {
    match to {
        Force::Active => group.role == "active",
        Force::Backup => group.role != "active",
        // the election decides, which may take time
        Force::Reset => true,
    }
}

fn sentence(status: &Status, group: &GroupStatus, to: Force) -> String {
    let (name, node, role) = (&group.name, &status.node, &group.role);
    if has_role(group, to) {
        return format!("{name}: {node} is {role}.");
    }
    format!("{name}: not yet: {}.", group.why.trim_end_matches('.'))
}
