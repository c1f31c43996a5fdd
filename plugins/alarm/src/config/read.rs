//! Reads every key of the file, with its allowed values.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use spared_sdk::child::{Refused, trusted};
use spared_sdk::config::{Config, Section, nearest};
use spared_sdk::nanoseconds;

use super::{Recipient, Settings, destination};
use crate::severity::Severity;

const RECIPIENTS_MAX: usize = 16;
const NAME_MAX: usize = 40;
const S: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Reads the file; None if `config` has noted faults that leave nothing to return.
pub fn read(config: &Config) -> Option<Settings> {
    let root = config.root();
    let delay = root.duration("delay", S..=HOUR).unwrap_or(S * 5);
    let mut recipients = Vec::new();
    let mut names = BTreeSet::new();
    let sections = root.sections("alarm");
    let count = sections.len();
    if count > RECIPIENTS_MAX {
        root.fault("alarm", format!("found {count}, allowed {RECIPIENTS_MAX}"));
    }
    for section in sections {
        let Some(recipient) = recipient(&section) else {
            continue;
        };
        if !names.insert(recipient.name.clone()) {
            let why = format!("another alarm is named {:?} already", recipient.name);
            section.fault("name", why);
        }
        recipients.push(recipient);
    }
    (recipients.len() == count).then_some(Settings {
        node: config.node().to_owned(),
        delay_ns: nanoseconds(delay),
        recipients,
    })
}

fn recipient(section: &Section<'_>) -> Option<Recipient> {
    let name = section.required("name", section.text("name"));
    let name = name.and_then(|name| fitting_name(section, name));
    let severity = severity(section);
    let findings = section.list(
        "findings",
        "\"SP-0401\", or \"SP-04*\" for all that begin so",
    );
    let ends = section.flag("ends").unwrap_or(true);
    let reminder = section.duration("reminder", S * 60..=HOUR * 720);
    let timeout = section.duration("timeout", S..=S * 60).unwrap_or(S * 10);
    let to = destination::read(section);
    Some(Recipient {
        name: name?,
        severity: severity?,
        findings: findings.unwrap_or_default(),
        ends,
        reminder_ns: reminder.map(nanoseconds),
        timeout,
        to: to?,
    })
}

fn fitting_name(section: &Section<'_>, name: String) -> Option<String> {
    let is_fitting = |it: char| it.is_ascii_alphanumeric() || it == '-' || it == '_';
    let fits = (1..=NAME_MAX).contains(&name.len()) && name.chars().all(is_fitting);
    if !fits {
        let allowed = format!("1-{NAME_MAX} letters, digits, hyphens, underscores");
        section.fault("name", format!("found {name:?}, allowed {allowed}"));
    }
    fits.then_some(name)
}

fn severity(section: &Section<'_>) -> Option<Severity> {
    let words = Severity::WORDS;
    let Some(word) = section.text("severity") else {
        return (!section.has("severity")).then_some(Severity::Warning);
    };
    if let Some((_, severity)) = words.iter().find(|(name, _)| *name == word) {
        return Some(*severity);
    }
    let names = words.map(|(name, _)| name);
    let meant = nearest(&word, names).map(|it| format!(": did you mean \"{it}\"?"));
    let allowed = names.map(|it| format!("\"{it}\"")).join(", ");
    let shown: String = word.chars().take(60).collect();
    let why = format!(
        "found {shown:?}, allowed {allowed}{}",
        meant.unwrap_or_default()
    );
    section.fault("severity", why);
    None
}

/// Notes a fault for each program that must not, or cannot, be run.
pub fn check_programs(config: &Config, settings: &Settings) {
    for (at, recipient) in settings.recipients.iter().enumerate() {
        let Some((key, argv)) = recipient.to.program() else {
            continue;
        };
        let program = argv.first().map(Path::new);
        let refused = program.and_then(|it| trusted(it).err());
        if let Some(refused) = refused.filter(|it| !is_out_of_sight(it)) {
            let key = format!("alarm.{at}.{key}");
            config.root().fault(&key, refused.to_string());
        }
    }
}

/// True if the account of the plugin may not look there: the program is checked again when it is run.
fn is_out_of_sight(refused: &Refused) -> bool {
    let Refused::Unreadable(_, error) = refused else {
        return false;
    };
    error.kind() == ErrorKind::PermissionDenied
}
