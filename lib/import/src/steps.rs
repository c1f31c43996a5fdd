//! The steps of a migration, as they are printed below the files.

use std::path::Path;

use crate::conntrackd::Replication;
use crate::toml::Each;
use crate::translate::Decision;

/// All that the steps depend on.
pub struct Situation<'s> {
    pub nodes: &'s Each<String>,
    pub decisions: &'s [Decision],
    pub replication: Option<&'s Replication>,
    /// Arguments by which the import is repeated.
    pub arguments: &'s str,
    pub has_hooks: bool,
    pub keepalived: &'s Path,
    /// The other node's priority is a guess.
    pub is_guess: bool,
}

impl Situation<'_> {
    /// Node that has the role while both run keepalived, by the first group that prefers one.
    fn active(&self) -> usize {
        self.decisions
            .iter()
            .find_map(|it| it.preferred)
            .unwrap_or(0)
    }

    /// Steps until both nodes run spared.
    pub fn steps(&self) -> Vec<String> {
        let (active, backup) = (self.active(), 1 - self.active());
        let [active, backup] = [active, backup].map(|it| self.nodes[it].as_str());
        let mut steps = Vec::new();
        if self.is_guess {
            steps.push(format!(
                "which node is backup is a guess: `ip address` shows no virtual address there. If that is {active}, read {active} for {backup} below, and {backup} for {active}"
            ));
        }
        let elsewhere: Vec<&str> = self
            .decisions
            .iter()
            .filter(|it| it.preferred.is_some_and(|it| self.nodes[it] == backup))
            .map(|it| it.group.as_str())
            .collect();
        if !elsewhere.is_empty() {
            steps.push(format!(
                "the nodes prefer different groups: begin with {backup}. Its keepalived gives {} to {active} when it ends",
                elsewhere.join(", ")
            ));
        }
        steps.push(format!(
            "on {backup}, if you are not there: install spared, copy {} there, and run this import on it",
            self.keepalived.display()
        ));
        steps.push(format!(
            "on {backup}: `sparectl check`, then `systemctl disable --now keepalived && systemctl enable --now spared && sparectl reload`. \
             `sparectl status` has to say that {backup} stands by"
        ));
        let conntrackd = self.replication.is_some();
        if conntrackd {
            steps.push(
                "conntrackd goes on running on both nodes until both run spared: the hooks in /etc/spared/hooks run primary-backup.sh, which commits its cache \
                 on the node that becomes active"
                    .to_owned(),
            );
        }
        steps.push(format!(
            "on {backup}: `sparectl force active`. It takes the role by a greater priority, without waiting: this is the only change of roles"
        ));
        steps.push(format!("on {active}: `systemctl disable --now keepalived`. From here to the next step {backup} serves alone"));
        let hooks = if self.has_hooks { " and hooks" } else { "" };
        steps.push(format!(
            "on {active}: install spared, copy spared.toml, plugins{hooks} of /etc/spared from {backup} (`rsync -a --exclude=/key {backup}:/etc/spared/ \
             /etc/spared/`), then `systemctl enable --now spared && sparectl reload`. `sparectl status` has to say that {active} stands by"
        ));
        steps.push(format!(
            "on {backup}: `sparectl force reset`. It stays active, by `preempt = false`"
        ));
        if conntrackd {
            steps.push("on both: `systemctl disable --now conntrackd`. Connections are replicated again when the nodes are a pair".to_owned());
        }
        steps.push(format!(
            "on {backup}: `{}`, which joins the nodes",
            self.link()
        ));
        steps.push(format!("on {backup}: `sparectl import --both {}`, which writes the files of two nodes of spared", self.arguments));
        steps.push(format!(
            "`sparectl pair` on {backup}, then on {active}, which takes these files; then `sparectl arm`. {backup} needs `sparectl reload --anyway` if it says so"
        ));
        steps.push(
            "later, in a quiet hour: remove `version` and `advert_interval` for failovers in 0.3 s. `sparectl reload` on the backup, and at once \
             `sparectl reload --anyway` on the active node"
                .to_owned(),
        );
        steps
    }

    /// The command that makes a link, as far as conntrackd.conf says what it needs.
    fn link(&self) -> String {
        match self.replication.and_then(|it| it.link.as_ref()) {
            Some((interface, own, other)) if !own.is_empty() && !other.is_empty() => {
                format!("sparectl init --link {interface} --link-addresses {own}/LEN,{other}/LEN")
            }
            Some((interface, _, _)) => format!("sparectl init --link {interface}"),
            None => "sparectl init --link IF".to_owned(),
        }
    }
}
