//! `sparectl metrics`: the daemon's snapshot as metrics of Prometheus, to standard output or to a file for the textfile
//! collector of the node exporter.

use std::path::{Path, PathBuf};

use spared_file::{Access, replace};
use spared_message::control::{Answer, Fault, Request, Status};
use spared_metrics as metrics;

use crate::args::Args;
use crate::{EXIT_FAILED, ask, exit_code, exit_code_down, output};

/// Form and place of the metrics.
#[derive(Debug, Default, PartialEq)]
pub struct Metrics {
    /// OpenMetrics instead of the text format of Prometheus.
    pub is_open: bool,
    /// File that is replaced; None: standard output.
    pub out: Option<PathBuf>,
}

/// Prints or writes the metrics. A daemon that does not answer is a metric, too: `spared_up 0`.
pub fn run(args: &Args, wanted: &Metrics) -> u8 {
    let text = match ask(args, &Request::Metrics) {
        Ok(Answer::Status(status)) => encode(Some(&status), wanted.is_open),
        Ok(answer) => {
            if let Answer::Error { lines, .. } = &answer {
                output::errors(lines);
            }
            return exit_code(&answer);
        }
        Err(error) if matches!(error.fault, Fault::Permission) => {
            output::errors(&[error.to_string()]);
            return exit_code_down(&error);
        }
        Err(_) => encode(None, wanted.is_open),
    };
    let Some(out) = &wanted.out else {
        output::text(&text);
        return 0;
    };
    match write(out, &text) {
        Ok(()) => 0,
        Err(why) => {
            output::errors(&[why]);
            EXIT_FAILED
        }
    }
}

// The collector of the node exporter, which has an account of its own, reads the file, and must never find a half of it.
fn write(out: &Path, text: &str) -> Result<(), String> {
    replace(out, text.as_bytes(), Access::AsBefore, || Ok(()))
}

fn encode(status: Option<&Status>, is_open: bool) -> String {
    metrics::encode(status.map(facts), is_open)
}

/// Facts of a status that metrics are made of.
pub fn facts(status: &Status) -> metrics::Status {
    let json = serde_json::to_value(status).unwrap_or_default();
    // a status has all fields, as their types are
    metrics::Status::of(json).unwrap_or_default()
}
