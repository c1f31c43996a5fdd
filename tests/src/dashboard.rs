//! The dashboard of docs/examples, and its expressions as promtool reads them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::Result;

/// Times that Grafana puts in, as they may be.
const TIMES: [(&str, &str); 2] = [("$__range", "6h"), ("$__rate_interval", "1m")];
/// Samples of each series, and the time between two of them.
const SAMPLES: u32 = 40;
const INTERVAL: &str = "15s";
const END: &str = "10m";

/// A file of docs/examples.
pub fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs/examples")
        .join(name)
}

/// # Errors
/// The dashboard is not JSON.
pub fn grafana() -> Result<Value> {
    Ok(serde_json::from_str(&fs::read_to_string(example(
        "grafana.json",
    ))?)?)
}

/// Expressions of all panels: the panel's title, and the expression with values for Grafana's variables.
pub fn expressions(dashboard: &Value) -> Vec<(String, String)> {
    let panels = dashboard["panels"].as_array().into_iter().flatten();
    let expressions = panels.flat_map(|panel| {
        let targets = panel["targets"].as_array().into_iter().flatten();
        targets.map(|target| {
            let title = panel["title"].as_str().unwrap_or_default().to_owned();
            let mut expression = target["expr"].as_str().unwrap_or_default().to_owned();
            for (variable, time) in TIMES {
                expression = expression.replace(variable, time);
            }
            for variable in ["$instance", "$group"] {
                expression = expression.replace(variable, ".*");
            }
            (title, expression)
        })
    });
    expressions.collect()
}

/// Runs promtool with a file of this content.
///
/// # Errors
/// promtool finds a fault, which the error tells.
pub fn promtool_on(words: &[&str], dir: &Path, content: &Value) -> Result<()> {
    let file = dir.join("promtool.yml");
    // JSON is YAML, too
    fs::write(&file, content.to_string())?;
    promtool(words, &file)
}

/// Runs promtool with a file.
///
/// # Errors
/// promtool finds a fault, which the error tells.
pub fn promtool(words: &[&str], file: &Path) -> Result<()> {
    let output = Command::new("promtool").args(words).arg(file).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(String::from_utf8_lossy(&said).into_owned().into())
}

/// Evaluates each expression over metrics of nodes, of which counters rise.
///
/// # Errors
/// An expression has no result, or promtool cannot read it.
pub fn evaluate(expressions: &[(String, String)], nodes: &[String], dir: &Path) -> Result<()> {
    let mut series = Vec::new();
    for (number, text) in nodes.iter().enumerate() {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        for (name, value) in samples.filter_map(|line| line.rsplit_once(' ')) {
            let node = format!("instance=\"r{}\"", number + 1);
            let (name, labels) = name.split_once('{').unwrap_or((name, "}"));
            let rises = ["_total", "_bucket", "_count", "_sum"]
                .iter()
                .any(|it| name.ends_with(it));
            let step = u8::from(rises);
            series.push(json!({
                "series": format!("{name}{{{node},{labels}"),
                "values": format!("{value}+{step}x{SAMPLES}"),
            }));
        }
    }
    let tests = expressions.iter().map(|(_, expression)| {
        json!({
            "expr": format!("count({expression}) > bool 0"),
            "eval_time": END,
            "exp_samples": [{"labels": "{}", "value": 1}],
        })
    });
    let tests: Vec<Value> = tests.collect();
    let test = json!({"interval": INTERVAL, "input_series": series, "promql_expr_test": tests});
    let content = json!({"evaluation_interval": INTERVAL, "tests": [test]});
    promtool_on(&["test", "rules"], dir, &content)
}
