//! Asks the plugins of the running daemon what they find in the programs that they work with: `sparectl PLUGIN check`.

use std::path::Path;
use std::time::Duration;

use spared_config::Setup;
use spared_message::control::{Answer, ErrorCode, Fault, Request, Value, ask as exchange};

use crate::{Finding, Severity};

/// Maximum wait for a plugin's answer: the plugin may ask another program, and has 12 s.
const PATIENCE: Duration = Duration::from_secs(15);
/// Prefix of rows about the question itself.
const ALL: &str = "all.";

/// Findings of the plugins; a note if no daemon runs that could ask them.
pub fn ask(setup: &Setup, runtime_dir: &Path) -> Vec<Finding> {
    let enabled = setup.plugins.iter().filter(|plugin| plugin.enabled);
    let mut findings = Vec::new();
    for plugin in enabled {
        let request = Request::Plugin {
            name: plugin.name.clone(),
            argv: vec!["check".to_owned()],
        };
        match exchange(runtime_dir, &request, PATIENCE) {
            Ok(answer) => findings.extend(found(&plugin.name, answer)),
            Err(error) if matches!(error.fault, Fault::NotRunning) => {
                let sentence =
                    "spared is not running: its plugins were not asked about other programs";
                return vec![Finding::new("not-asked", Severity::Note, sentence)];
            }
            Err(error) => {
                let sentence = format!("the plugins were not asked about other programs: {error}");
                return vec![Finding::new("not-asked", Severity::Note, sentence)];
            }
        }
    }
    findings.sort_by_key(|finding| finding.severity);
    findings
}

fn found(plugin: &str, answer: Answer) -> Vec<Finding> {
    match answer {
        Answer::Rows {
            rows, attention, ..
        } => {
            let each = rows.into_iter();
            each.map(|(key, value)| row(plugin, &key, &value, attention))
                .collect()
        }
        // most plugins have nothing to check, and do not know this word
        Answer::Error {
            code: ErrorCode::Usage,
            ..
        } => Vec::new(),
        Answer::Error { lines, .. } => {
            let sentence = format!("{plugin} was not asked: {}", lines.join("; "));
            vec![Finding::new("not-asked", Severity::Note, sentence)]
        }
        _ => Vec::new(),
    }
}

fn row(plugin: &str, key: &str, value: &Value, attention: bool) -> Finding {
    let is_about_all = key.starts_with(ALL);
    let severity = if attention && !is_about_all {
        Severity::Warning
    } else {
        Severity::Note
    };
    let value = match value {
        Value::Number(number) => number.to_string(),
        Value::Signed(number) => number.to_string(),
        Value::Flag(flag) => flag.to_string(),
        Value::Text(text) => text.clone(),
    };
    let key = key.strip_prefix(ALL).unwrap_or(key);
    Finding::new("plugin", severity, format!("{plugin}: {key}: {value}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(answer: Answer) -> Vec<String> {
        let found = found("ipsec", answer).into_iter();
        found.map(|finding| finding.to_string()).collect()
    }

    #[test]
    fn what_a_plugin_finds_is_a_warning_and_what_it_says_of_itself_a_note() {
        let row = |key: &str, text: &str| (key.to_owned(), Value::Text(text.to_owned()));
        let rows = [row("all.charon", "asked"), row("far.mobike", "it is on")];
        let answer = |attention| Answer::Rows {
            rows: rows.clone().into(),
            kinds: std::collections::BTreeMap::new(),
            attention,
            missing: false,
        };
        let notes = [
            "note[plugin]: ipsec: charon: asked",
            "note[plugin]: ipsec: far.mobike: it is on",
        ];
        assert_eq!(texts(answer(false)), notes);
        let warned = [notes[0], "warning[plugin]: ipsec: far.mobike: it is on"];
        assert_eq!(texts(answer(true)), warned);
    }

    #[test]
    fn a_plugin_that_has_nothing_to_look_at_is_passed_over() {
        let error = |code, line: &str| Answer::Error {
            code,
            lines: vec![line.to_owned()],
        };
        assert_eq!(texts(error(ErrorCode::Usage, "usage: sets")), [""; 0]);
        let refused = texts(error(ErrorCode::Refused, "ipsec is not running"));
        assert_eq!(
            refused,
            ["note[not-asked]: ipsec was not asked: ipsec is not running"]
        );
    }
}
