//! Changes of keepalived.conf before the first node changes its program, and what goes on needing a keepalived.

use std::collections::BTreeSet;

use super::{Roles, Situation, Step};
use crate::toml::Each;
use crate::translate::Edit;

const RELOAD: &str = "systemctl reload keepalived";
/// End of the name of the whole file, as long as keepalived's has a part of it.
pub const WHOLE: &str = ".whole";
const STOP_KEEPALIVED: &str = "systemctl disable --now keepalived";

/// All that comes before the first step.
#[derive(Clone, Debug, Default)]
pub struct Before {
    pub edits: Vec<Edit>,
    /// Commands that put addresses back which the edits take away, by node.
    pub restores: Each<Vec<String>>,
    /// Blocks that go on needing a keepalived.
    pub kept: BTreeSet<&'static str>,
    /// Reasons for which no step can be taken.
    pub obstacles: Vec<String>,
}

impl Before {
    /// Lines that end keepalived, or all of it that spared does. A copy of its file stays for the second import.
    pub fn end_keepalived(&self, file: &str) -> Vec<String> {
        if self.kept.is_empty() {
            return vec![STOP_KEEPALIVED.to_owned()];
        }
        vec![
            format!("cp -n {file} {file}{WHOLE}"),
            format!(
                "# leave in keepalived.conf {} alone, and take all else out, with each `include` of it",
                self.names()
            ),
            RELOAD.to_owned(),
        ]
    }

    /// Blocks that stay, as a list in a sentence.
    fn names(&self) -> String {
        let names = self.kept.iter().chain(&["global_defs"]);
        names.copied().collect::<Vec<_>>().join(", ")
    }

    /// The step that tells which keepalived stays.
    pub fn stays(&self) -> Option<Step> {
        let why = "keepalived goes on running on both nodes for its blocks";
        let what = format!(
            "{why} {}: the steps take the others out of its file",
            self.names()
        );
        (!self.kept.is_empty()).then(|| Step::new(what, &[], ""))
    }
}

impl Situation<'_> {
    /// Changes of keepalived.conf without which the steps below are not true.
    pub(super) fn edits(&self, active: usize, roles: &Roles<'_>) -> Option<Step> {
        let edits = &self.before.edits;
        let mut whys: Vec<&str> = Vec::new();
        for edit in edits {
            whys.extend(Some(edit.why).filter(|it| !whys.contains(it)));
        }
        // the backup first: it would take the role of one whose priority becomes smaller
        let line = |node: usize, name: &str| {
            let own = edits
                .iter()
                .filter(move |it| it.node.is_none_or(|it| it == node));
            let lines: Vec<String> = own.map(|it| format!("# {name}: {}", it.line)).collect();
            lines
        };
        let Roles {
            active: a,
            backup: b,
            ..
        } = roles;
        let mut commands = line(1 - active, b);
        commands.extend(line(active, a));
        commands.push(RELOAD.to_owned());
        (!edits.is_empty()).then(|| Step {
            what: format!(
                "on both: change keepalived.conf by an editor as these lines say, then reload it on {b}, and at once on {a}:"
            ),
            commands,
            then: format!(
                "{}. Both reload within three `advert_int`: roles stay as they are. If the second one is later, both may be active until then",
                whys.join(". ")
            ),
        })
    }

    /// Addresses that the reload takes away, and keepalived does not put back.
    pub(super) fn restores(&self, active: usize, roles: &Roles<'_>) -> Option<Step> {
        let restores = &self.before.restores;
        let Roles {
            active: a,
            elsewhere,
            ..
        } = roles;
        let (node, mut commands) = match elsewhere.len() {
            0 => (format!("on {a}"), Vec::new()),
            _ => (
                "on the node that had the address before".to_owned(),
                restores[1 - active].clone(),
            ),
        };
        commands.extend(restores[active].iter().cloned());
        commands.dedup();
        (!commands.is_empty()).then(|| Step {
            what: format!("{node}, at once: put an address back that went with its second line"),
            commands,
            then: "no output: the address is there again. keepalived takes it away with a line of another label or prefix, or of another instance, and does not put it back".to_owned(),
        })
    }
}
