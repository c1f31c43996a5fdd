//! Notify scripts as hooks: each runs the script with the arguments that keepalived gave it, for the same group only.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::command::{Command, shell_word};
use super::group::Group;
use super::{Both, Top, Translation, child};
use crate::Texts;
use crate::toml::Each;
use crate::tree::Statement;

/// First lines of a hook of the import, by which it knows its own.
pub const MARK: &str = "#!/bin/sh\n# written by `sparectl import`\n";

/// Roles of spared with the words of keepalived.
const ROLES: [(&str, &str, &str); 3] = [
    ("active.d", "notify_master", "MASTER"),
    ("backup.d", "notify_backup", "BACKUP"),
    ("fault.d", "notify_fault", "FAULT"),
];
const AS_ROOT: &str =
    "they run as root; keepalived ran them as keepalived_script, if there is such a user";
const AS_ROOT_TODO: &str = "`id keepalived_script`: if it is there, write `script_user keepalived_script` into global_defs, and import again";
const USER: &str = "outside of the quotes of the command they are a user and a group; keepalived ignores the line if there is no such user, and the hook fails";
const USER_TODO: &str =
    "see that the user exists, or write quotes around the whole command, and import again";
const PRIORITY: &str =
    "it is the configured priority; keepalived gives that of the moment, with the points of checks";
const STOP: &str = "keepalived calls it with STOP, too, when it ends; when spared ends on the active node, the hooks of backup run, and on the other node none";
const STOP_TODO: &str = "nothing, or let the script do at BACKUP what it does at STOP";
/// Script of conntrackd, with its word by role.
const CONNTRACKD: &str = "/etc/conntrackd/primary-backup.sh";
const CONNTRACKD_WORDS: [&str; 3] = ["primary", "backup", "fault"];

/// A tracker of roles: a sync group or an instance.
struct Notifier<'t> {
    group: String,
    kind: &'static str,
    /// Last argument of `notify`: 0 for a sync group, as in keepalived.
    priority: Each<i64>,
    both: Both<'t>,
}

pub(super) fn hooks(
    translation: &mut Translation<'_>,
    top: &Top<'_>,
    groups: &[Group<'_>],
    has_conntrackd: bool,
) -> Texts {
    let mut hooks: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let script_user = top.global("script_user");
    let mut calls_conntrackd = false;
    for notifier in notifiers(groups) {
        for (folder, word, state) in ROLES {
            for (order, word) in [("50", word), ("60", "notify")] {
                let statements = child(&notifier.both, word);
                let is_conntrackd = |it: &Statement| it.word(1).contains("primary-backup.sh");
                if statements.iter().flatten().any(|it| is_conntrackd(it)) {
                    calls_conntrackd = true;
                    if translation.is_final && has_conntrackd {
                        continue;
                    }
                }
                let lines = [0, 1].map(|node| {
                    let statement = statements[node]?;
                    let Some(command) = Command::of_notify(statement) else {
                        let why = "keepalived cannot read the command, and ignores the line";
                        translation.list(statement, why, "correct it");
                        return None;
                    };
                    if command.user.is_some() {
                        let what = "words behind a notify script";
                        translation.tell(statement.place, what, USER, USER_TODO);
                    }
                    let user = command.user.clone().or(script_user[node].map(user_of));
                    if user.is_none() {
                        let place = statement.place;
                        translation.tell(place, "notify scripts", AS_ROOT, AS_ROOT_TODO);
                    }
                    let mut words = Vec::new();
                    if word == "notify" {
                        translation.tell(statement.place, "notify", STOP, STOP_TODO);
                        let todo = "nothing, unless the script reads it";
                        if notifier.kind == "INSTANCE" {
                            let what = "last argument of notify";
                            let place = statement.place;
                            translation.tell(place, what, PRIORITY, todo);
                        }
                        let priority = notifier.priority[node].to_string();
                        // a script knows the name in its node's file
                        let name = notifier.both[node].map_or("", |it| it.word(1));
                        words = [notifier.kind, name, state, &priority]
                            .map(str::to_owned)
                            .to_vec();
                    }
                    Some(line(&command, user, &words))
                });
                if let Some(run) = runs(translation.nodes, lines) {
                    let name = format!("hooks/{folder}/{order}-{}-{word}", notifier.group);
                    let runs = hooks.entry(name).or_default();
                    if !runs.contains(&run) {
                        runs.push(run);
                    }
                }
            }
        }
    }
    let mut texts: Texts = hooks
        .into_iter()
        .map(|(name, runs)| {
            let group = name.rsplit('/').next().unwrap_or_default();
            let group = group
                .get(3..)
                .and_then(|it| it.rsplit_once('-'))
                .map_or("", |it| it.0);
            let text = format!(
                "{MARK}[ \"$SPARED_GROUP\" = {} ] || exit 0\n{}",
                shell_word(group),
                in_turn(&runs)
            );
            (name, text)
        })
        .collect();
    if has_conntrackd && !calls_conntrackd && !translation.is_final {
        for ((folder, _, _), word) in ROLES.iter().zip(CONNTRACKD_WORDS) {
            let text = format!("{MARK}exec {CONNTRACKD} {word}\n");
            texts.insert(format!("hooks/{folder}/40-conntrackd"), text);
        }
    }
    texts
}

fn notifiers<'t>(groups: &'t [Group<'t>]) -> Vec<Notifier<'t>> {
    let mut found = Vec::new();
    for group in groups {
        let new = |kind, priority, both| Notifier {
            group: group.name.clone(),
            kind,
            priority,
            both,
        };
        for member in &group.members {
            let priority = member.election.priority;
            found.push(new("INSTANCE", priority, member.both));
        }
        if group.is_sync {
            found.push(new("GROUP", [0, 0], group.both));
        }
    }
    found
}

/// User and group of `script_user`.
fn user_of(statement: &Statement) -> (String, Option<String>) {
    let group = Some(statement.word(2).to_owned()).filter(|it| !it.is_empty());
    (statement.word(1).to_owned(), group)
}

/// A line of a shell that runs the command as a user.
fn line(command: &Command, user: Option<(String, Option<String>)>, more: &[String]) -> String {
    let mut text = String::new();
    if let Some((user, group)) = user.filter(|it| it.0 != "root" && !it.0.is_empty()) {
        let user = shell_word(&user);
        text = match group {
            Some(group) => format!(
                "setpriv --reuid={user} --regid={} --clear-groups -- ",
                shell_word(&group)
            ),
            None => format!("setpriv --reuid={user} --regid=\"$(id -g {user})\" --init-groups -- "),
        };
    }
    let words: Vec<String> = command
        .words
        .iter()
        .chain(more)
        .map(|it| shell_word(it))
        .collect();
    format!("exec {text}{}", words.join(" "))
}

/// One after the other: each runs its program in place of a shell, the last in that of the hook.
fn in_turn(runs: &[String]) -> String {
    let last = runs.len().saturating_sub(1);
    let run = |(at, run): (usize, &String)| {
        if at < last {
            format!("({})\n", run.trim_end())
        } else {
            run.clone()
        }
    };
    runs.iter().enumerate().map(run).collect()
}

fn runs(nodes: &Each<String>, lines: Each<Option<String>>) -> Option<String> {
    match lines {
        [Some(one), Some(two)] if one == two => Some(one + "\n"),
        [None, None] => None,
        lines => {
            let mut text = "case \"$SPARED_NODE\" in\n".to_owned();
            for (node, line) in nodes.iter().zip(lines) {
                if let Some(line) = line {
                    let _ = writeln!(text, "{}) {line} ;;", shell_word(node));
                }
            }
            Some(text + "esac\n")
        }
    }
}
