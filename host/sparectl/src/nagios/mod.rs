//! `sparectl probe --nagios`: headlines, findings and performance data in the form of Nagios' plugins, with the exit
//! codes 0 to 3.

mod range;
#[cfg(test)]
mod tests;

use std::fmt;

use spared_message::control::{Answer, AskError, Fault, Request, Status};
use spared_metrics::samples;
use spared_verdict::Word;

use crate::args::Args;
use crate::metrics::facts;
use crate::{ask, output, render, start_again};
use range::Range;

/// States of a plugin of Nagios, which are its exit codes.
const OK: u8 = 0;
const WARNING: u8 = 1;
const CRITICAL: u8 = 2;
const UNKNOWN: u8 = 3;

/// Name of performance data, and the range outside of which they are not fine.
pub type Threshold = (String, Range);

/// Limits that the command line names.
#[derive(Debug, Default, PartialEq)]
pub struct Thresholds {
    pub warning: Vec<Threshold>,
    pub critical: Vec<Threshold>,
}

/// Kind of performance data: its name here, the metric that it shows, unit, and the greatest value.
struct Kind {
    name: &'static str,
    metric: &'static str,
    unit: &'static str,
    max: Max,
}

enum Max {
    None,
    Fixed(f64),
    /// Value of another metric.
    Metric(&'static str),
}

const fn kind(name: &'static str, metric: &'static str, unit: &'static str, max: Max) -> Kind {
    Kind {
        name,
        metric,
        unit,
        max,
    }
}

/// All kinds, in the order in which they are printed.
const KINDS: &[Kind] = &[
    kind("quality", "quality", "%", Max::Fixed(100.0)),
    kind("findings", "findings", "", Max::None),
    kind("clock_offset", "peer_clock_offset", "s", Max::None),
    kind("rtt", "link_rtt", "s", Max::None),
    kind("lag", "replica_lag", "s", Max::None),
    kind("backlog", "replica_backlog", "", Max::None),
    kind("flows", "flows", "", Max::Metric("flows_limit")),
    kind("leases", "dhcp_leases", "", Max::None),
    kind("sas", "ipsec_sas", "", Max::None),
    kind("both_active", "both_active", "s", Max::None),
    kind("changes", "role_changes", "c", Max::None),
];

/// A value with its thresholds. It prints as performance data.
struct Value<'t> {
    label: String,
    value: f64,
    unit: &'static str,
    warning: Option<&'t Range>,
    critical: Option<&'t Range>,
    /// Least and greatest value.
    limits: (Option<f64>, Option<f64>),
}

/// Prints the state of the pair, and returns that of the plugin.
pub fn run(args: &Args, thresholds: &Thresholds) -> u8 {
    let (state, text) = match ask(args, &Request::Metrics) {
        Ok(Answer::Status(status)) => report(&status, thresholds),
        Ok(Answer::Error { lines, .. }) => (UNKNOWN, format!("UNKNOWN  {}\n", lines.join("\n"))),
        Ok(_) => (UNKNOWN, "UNKNOWN  no status\n".to_owned()),
        Err(error) => down(&error),
    };
    output::text(&text);
    state
}

fn down(error: &AskError) -> (u8, String) {
    match error.fault {
        Fault::Permission => (UNKNOWN, format!("UNKNOWN  {error}\n")),
        _ => (CRITICAL, format!("DOWN  {error}\n{}\n", start_again(error))),
    }
}

/// State and text for a status.
fn report(status: &Status, thresholds: &Thresholds) -> (u8, String) {
    let values = values(&facts(status), thresholds);
    let breaches = values.iter().filter_map(Value::breach);
    let breaches: Vec<(u8, String)> = breaches.collect();
    let worst = breaches.iter().map(|it| it.0).max();
    let state = worst.unwrap_or(OK).max(state(status.verdict.word));
    let mut text: String = breaches.into_iter().map(|it| it.1).collect();
    text += &render::head(&status.verdict, &status.at, render::wrap::UNLIMITED);
    // what stands behind a bar is performance data
    let text = text.replace('|', "/");
    let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
    let values: Vec<String> = values.iter().map(Value::to_string).collect();
    (state, format!("{first} | {}\n{rest}", values.join(" ")))
}

fn state(word: Word) -> u8 {
    match word {
        Word::Ok => OK,
        Word::Warn | Word::Unknown => WARNING,
        Word::Alone | Word::Conflict | Word::None => CRITICAL,
    }
}

fn values<'t>(status: &spared_metrics::Status, thresholds: &'t Thresholds) -> Vec<Value<'t>> {
    let kinds = KINDS.iter().flat_map(|kind| {
        let samples = samples(status, kind.metric).into_iter();
        samples.map(move |(labels, value)| (kind, labels, value))
    });
    let value = |(kind, labels, value): (&Kind, Vec<(&str, String)>, f64)| {
        let labels = labels.iter().map(|it| it.1.as_str());
        let label: Vec<&str> = [kind.name].into_iter().chain(labels).collect();
        let label = label.join("_").replace(['=', '\''], "_");
        Value {
            warning: of_label(&thresholds.warning, kind.name, &label),
            critical: of_label(&thresholds.critical, kind.name, &label),
            label,
            value,
            unit: kind.unit,
            limits: kind.limits(status),
        }
    };
    kinds.map(value).collect()
}

/// Range for a label: its own one rather than that of all labels of its kind.
fn of_label<'t>(thresholds: &'t [Threshold], kind: &str, label: &str) -> Option<&'t Range> {
    let named = |name: &str| thresholds.iter().rev().find(|it| it.0 == name);
    let found = named(label).or_else(|| named(kind));
    found.map(|it| &it.1)
}

impl Kind {
    fn limits(&self, status: &spared_metrics::Status) -> (Option<f64>, Option<f64>) {
        let max = match self.max {
            Max::None => None,
            Max::Fixed(max) => Some(max),
            Max::Metric(name) => samples(status, name).first().map(|it| it.1),
        };
        // the clock of the other node may be behind
        let min = (self.name != "clock_offset").then_some(0.0);
        (min, max)
    }
}

impl Value<'_> {
    /// Worst state that a threshold makes of the value, with a line that says so.
    fn breach(&self) -> Option<(u8, String)> {
        let alerts = |it: &&Range| it.alerts(self.value);
        let critical = self
            .critical
            .filter(alerts)
            .map(|it| (CRITICAL, "CRITICAL", it));
        let found = critical.or_else(|| {
            self.warning
                .filter(alerts)
                .map(|it| (WARNING, "WARNING", it))
        });
        let (state, word, range) = found?;
        let Self {
            label, value, unit, ..
        } = self;
        Some((
            state,
            format!("{word}  {label} is {value}{unit}, allowed is {range}\n"),
        ))
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let range = |range: Option<&Range>| range.map(Range::to_string).unwrap_or_default();
        let limit = |limit: Option<f64>| limit.map(|it| it.to_string()).unwrap_or_default();
        let Self {
            label, value, unit, ..
        } = self;
        let (warning, critical) = (range(self.warning), range(self.critical));
        let (min, max) = (limit(self.limits.0), limit(self.limits.1));
        let all = format!("'{label}'={value}{unit};{warning};{critical};{min};{max}");
        f.write_str(all.trim_end_matches(';'))
    }
}

/// Parses a threshold of the command line, `lag=1` or `lag_conntrack_flows=@5:10`.
pub fn threshold(text: &str) -> Result<Threshold, String> {
    let (name, range) = text
        .split_once('=')
        .ok_or("not a name and a range, such as lag=1")?;
    let is_of = |kind: &Kind| {
        let rest = name.strip_prefix(kind.name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
    };
    if !KINDS.iter().any(is_of) {
        let known: Vec<&str> = KINDS.iter().map(|it| it.name).collect();
        return Err(format!("\"{name}\" is not one of {}", known.join(", ")));
    }
    Ok((name.to_owned(), range.parse()?))
}
