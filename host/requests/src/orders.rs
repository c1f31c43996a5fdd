//! Plans orders of an administrator: returns the groups that are concerned, or reasons against the
//! order.

use spared_contract::Role;
use spared_message::control::{Answer, ErrorCode, Force};

use crate::View;

/// Effect of `sparectl force`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForcePlan {
    /// Forces these groups, or lets the election decide about them again.
    Groups(Vec<String>),
    /// Forgets the force of a group that is no longer configured.
    Forget(String),
}

impl View<'_> {
    /// Plans a force of a group, or of all.
    ///
    /// # Errors
    /// Reasons against the force.
    pub fn plan_force(
        &self,
        group: Option<&str>,
        to: Force,
        anyway: bool,
    ) -> Result<ForcePlan, Answer> {
        let names = match self.groups_named(group) {
            Ok(names) => names,
            Err(answer) => {
                let known = |it: &&str| to == Force::Reset && self.forced.contains_key(it);
                let forgotten = group.filter(known).ok_or(answer)?;
                return Ok(ForcePlan::Forget(forgotten.to_owned()));
            }
        };
        refuse(self.objections_to_force(&names, to, anyway))?;
        Ok(ForcePlan::Groups(names))
    }

    /// Plans maintenance of this node. Returns a line for each group that is active here.
    ///
    /// # Errors
    /// Reasons against the maintenance.
    pub fn plan_maintenance(&self, anyway: bool) -> Result<Vec<String>, Answer> {
        let names = self.groups.iter().map(|(name, _)| name);
        if !anyway {
            let objections = names.flat_map(|name| self.objections_to_leaving(name));
            refuse(objections.collect())?;
        }
        let active = self.groups.iter().filter(|it| it.1.role == Role::Active);
        Ok(active.map(|(name, _)| self.leaves(name)).collect())
    }

    /// Plans the end of this node's daemon, which `is_managed` if something starts it again. Returns the lines of the
    /// answer.
    ///
    /// # Errors
    /// Reasons against it.
    pub fn plan_restart(&self, is_managed: bool) -> Result<Vec<String>, Answer> {
        let own = self.own;
        let active = self.groups.iter().filter(|it| it.1.role == Role::Active);
        let active = active.map(|(name, _)| {
            format!("{name}: {own} is active: switch over first (`sparectl switch`)")
        });
        let unmanaged = (!is_managed).then(|| {
            format!("{own}: nothing would start spared again, as no service manager runs it: restart it there")
        });
        refuse(active.chain(unmanaged).collect())?;
        Ok(vec![format!("{own}: spared ends, to be started again")])
    }

    /// Returns the answer to an order to arm both nodes: `lines` about this one, then the peer's answer.
    pub fn armed(&self, mut lines: Vec<String>, there: Option<Answer>) -> Answer {
        let Some(peer) = self.peer else {
            return Answer::Done { lines };
        };
        match there {
            Some(Answer::Error { lines: said, .. }) => {
                lines.extend(said.into_iter().map(|line| {
                    let named = line.starts_with(peer);
                    if named {
                        line
                    } else {
                        format!("{peer}: {line}")
                    }
                }));
                let code = ErrorCode::Failed;
                return Answer::Error { code, lines };
            }
            Some(Answer::Done { lines: said }) => lines.extend(said),
            _ => {
                let why = if self.is_peer_up {
                    "does not answer"
                } else {
                    "is not heard: no link is up"
                };
                lines.push(format!("{peer} {why}: run `sparectl arm` there as well"));
            }
        }
        Answer::Done { lines }
    }

    /// Returns the answer to an order to confirm the reloads of both nodes, of which only one may have any.
    pub fn confirmed(&self, here: Answer, there: Option<Answer>) -> Answer {
        let Some(peer) = self.peer else { return here };
        let is_idle = |answer: &Answer| {
            let refused = ErrorCode::Refused;
            matches!(answer, Answer::Error { code, .. } if *code == refused)
        };
        match (here, there) {
            (here, None) => {
                let why = if self.is_peer_up {
                    "does not answer"
                } else {
                    "is not heard"
                };
                let line =
                    format!("{peer} {why}: a reload that waits there has to be confirmed there");
                with_lines(here, vec![line])
            }
            (here, Some(there)) if is_idle(&there) => here,
            (here, Some(there @ Answer::Done { .. })) if is_idle(&here) => there,
            (here, Some(Answer::Done { lines })) => with_lines(here, lines),
            (
                Answer::Done { lines } | Answer::Error { lines, .. },
                Some(Answer::Error { code, lines: more }),
            ) => {
                let lines = [lines, more].concat();
                Answer::Error { code, lines }
            }
            (here, Some(_)) => here,
        }
    }

    fn leaves(&self, group: &str) -> String {
        let own = self.own;
        match self.peer {
            Some(peer) => format!("{group}: {own} switches it over to {peer}"),
            None => format!("{group}: {own} gives up being active"),
        }
    }
}

/// The answer with further lines.
fn with_lines(answer: Answer, more: Vec<String>) -> Answer {
    match answer {
        Answer::Done { lines } => Answer::Done {
            lines: [lines, more].concat(),
        },
        Answer::Error { code, lines } => Answer::Error {
            code,
            lines: [lines, more].concat(),
        },
        other => other,
    }
}

fn refuse(lines: Vec<String>) -> Result<(), Answer> {
    let code = ErrorCode::Refused;
    if lines.is_empty() {
        Ok(())
    } else {
        Err(Answer::Error { code, lines })
    }
}
