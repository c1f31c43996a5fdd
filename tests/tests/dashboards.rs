// SPDX-License-Identifier: MIT OR Apache-2.0
//! The dashboard for Grafana and the template for Zabbix of docs/examples have the form that these read, and promtool
//! reads each expression. That their metrics exist is a test of sparectl.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use spared_tests::dashboard::{example, expressions, grafana, promtool_on};
use spared_tests::lab::find_program;

const COLUMNS: u64 = 24;
/// Kinds of panels that Grafana has built in.
const PANELS: [&str; 4] = ["stat", "state-timeline", "table", "timeseries"];

/// A folder that goes with its value.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("spared-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

/// Cells of the dashboard's grid that a panel covers.
fn cells(panel: &Value) -> Vec<(u64, u64)> {
    let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| {
        let number = panel["gridPos"][key].as_u64();
        number.unwrap_or_else(|| panic!("{}: no {key}", text(panel, "title")))
    });
    assert!(w > 0 && h > 0 && x + w <= COLUMNS, "{panel}");
    (x..x + w)
        .flat_map(|column| (y..y + h).map(move |row| (column, row)))
        .collect()
}

#[test]
fn the_dashboard_has_the_form_of_grafana() {
    let dashboard = grafana().expect("a dashboard");
    assert!(dashboard["schemaVersion"].as_u64() >= Some(36));
    assert!(!text(&dashboard, "uid").is_empty() && !text(&dashboard, "title").is_empty());
    let variables = list(&dashboard["templating"]["list"]);
    let variables: BTreeSet<&str> = variables.iter().map(|it| text(it, "name")).collect();
    assert_eq!(
        variables,
        BTreeSet::from(["datasource", "group", "instance"])
    );
    let built_in = BTreeSet::from(["__range", "__rate_interval"]);

    let (mut ids, mut covered) = (BTreeSet::new(), BTreeSet::new());
    for panel in list(&dashboard["panels"]) {
        let title = text(panel, "title");
        assert!(ids.insert(panel["id"].as_u64()), "{title}: its id twice");
        assert!(PANELS.contains(&text(panel, "type")), "{title}");
        assert!(!title.is_empty() && text(panel, "description").ends_with('.'));
        for cell in cells(panel) {
            assert!(covered.insert(cell), "{title} overlaps at {cell:?}");
        }
        assert!(panel["fieldConfig"]["defaults"].is_object(), "{title}");
        assert!(panel["options"].is_object(), "{title}");
        let targets = list(&panel["targets"]);
        let refs: BTreeSet<&str> = targets.iter().map(|it| text(it, "refId")).collect();
        assert!(
            !targets.is_empty() && refs.len() == targets.len(),
            "{title}"
        );
        for target in targets {
            let source = text(&target["datasource"], "uid");
            assert_eq!(source, "${datasource}", "{title}: another data source");
            let used = text(target, "expr").split('$').skip(1);
            for variable in used {
                let is_part = |it: char| it.is_ascii_lowercase() || it == '_';
                let end = variable.find(|it| !is_part(it)).unwrap_or(variable.len());
                let name = &variable[..end];
                let is_known = variables.contains(name) || built_in.contains(name);
                assert!(is_known, "{title}: there is no ${name}");
            }
        }
    }
    assert!(ids.len() >= 12, "{} panels", ids.len());
}

#[test]
fn promtool_reads_each_expression_of_the_dashboard() {
    if find_program(Path::new("promtool")).is_none() {
        eprintln!("skipped: promtool is not installed");
        return;
    }
    let folder = Folder::new("dashboard");
    let all = expressions(&grafana().expect("a dashboard"));
    let rules = |all: &[(String, String)]| {
        let rules = all.iter().enumerate().map(|(number, (_, expression))| {
            json!({"record": format!("panel:{number}"), "expr": expression})
        });
        let rules: Vec<Value> = rules.collect();
        json!({"groups": [{"name": "dashboard", "rules": rules}]})
    };
    let read = promtool_on(&["check", "rules"], &folder.0, &rules(&all));
    assert!(read.is_ok(), "{read:?}");
    let wrong = [("wrong".to_owned(), "sum(spared_up".to_owned())];
    let read = promtool_on(&["check", "rules"], &folder.0, &rules(&wrong));
    assert!(read.is_err(), "promtool finds nothing");
}

/// The template, as /usr/bin/python3 reads YAML; None without its module.
fn zabbix() -> Option<Value> {
    const READ: &str = "import json, sys, yaml\n\
                        json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)\n";
    let mut python = Command::new("/usr/bin/python3");
    if !python
        .args(["-c", "import yaml"])
        .status()
        .is_ok_and(|it| it.success())
    {
        return None;
    }
    let mut python = Command::new("/usr/bin/python3");
    let output = python
        .args(["-c", READ])
        .arg(example("zabbix.yaml"))
        .output();
    let output = output.expect("python starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    Some(serde_json::from_slice(&output.stdout).expect("JSON"))
}

/// All ids in a value, and all expressions of triggers.
fn collect<'v>(value: &'v Value, key: &str, found: &mut Vec<&'v str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get(key).and_then(Value::as_str));
            fields.values().for_each(|it| collect(it, key, found));
        }
        Value::Array(all) => all.iter().for_each(|it| collect(it, key, found)),
        _ => {}
    }
}

/// Asserts that an item, or the prototype of one, has what an import demands, and takes its value from the metrics.
fn assert_is_item(item: &Value) {
    let key = text(item, "key");
    assert_eq!(text(item, "type"), "DEPENDENT", "{key}");
    assert_eq!(text(&item["master_item"], "key"), "spared.metrics", "{key}");
    assert_eq!(text(item, "delay"), "0", "{key}");
    let kind = text(item, "value_type");
    assert!(["CHAR", "FLOAT"].contains(&kind), "{key}: {kind}");
    let steps = list(&item["preprocessing"]);
    assert_eq!(text(&steps[0], "type"), "PROMETHEUS_PATTERN", "{key}");
    let parameters = list(&steps[0]["parameters"]);
    let parameters: Vec<&str> = parameters.iter().filter_map(Value::as_str).collect();
    let [pattern, output, label] = parameters[..] else {
        panic!("{key}: {parameters:?}");
    };
    assert!(pattern.starts_with("spared_"), "{key}: {pattern}");
    match output {
        "value" => assert!(label.is_empty() && kind == "FLOAT", "{key}"),
        "label" => assert!(!label.is_empty() && kind == "CHAR", "{key}"),
        other => panic!("{key}: {other}"),
    }
}

#[test]
fn the_template_has_the_form_of_zabbix() {
    let Some(export) = zabbix() else {
        eprintln!("skipped: python3-yaml is not installed");
        return;
    };
    let export = &export["zabbix_export"];
    assert_eq!(text(export, "version"), "6.0");
    let mut ids = Vec::new();
    collect(export, "uuid", &mut ids);
    for id in &ids {
        // of version 4, in the form that an import takes
        let is_hex = id
            .chars()
            .all(|it| it.is_ascii_hexdigit() && !it.is_ascii_uppercase());
        assert!(
            is_hex && id.len() == 32 && id.as_bytes()[12] == b'4',
            "{id}"
        );
        assert!(b"89ab".contains(&id.as_bytes()[16]), "{id}");
    }
    let unique: BTreeSet<&&str> = ids.iter().collect();
    assert!(ids.len() > 40 && unique.len() == ids.len(), "an id twice");

    let [template] = list(&export["templates"]) else {
        panic!("one template");
    };
    let [master, items @ ..] = list(&template["items"]) else {
        panic!("no items");
    };
    assert_eq!(text(master, "key"), "spared.metrics");
    assert_eq!(text(master, "value_type"), "TEXT");
    items.iter().for_each(assert_is_item);
    for rule in list(&template["discovery_rules"]) {
        let key = text(rule, "key");
        assert_eq!(text(&rule["master_item"], "key"), "spared.metrics", "{key}");
        let steps = list(&rule["preprocessing"]);
        assert_eq!(text(&steps[0], "type"), "PROMETHEUS_TO_JSON", "{key}");
        let macros = list(&rule["lld_macro_paths"]);
        let macros: Vec<&str> = macros.iter().map(|it| text(it, "lld_macro")).collect();
        let prototypes = list(&rule["item_prototypes"]);
        assert!(!prototypes.is_empty() && !macros.is_empty(), "{key}");
        for prototype in prototypes {
            assert_is_item(prototype);
            let key = text(prototype, "key");
            let has = |name: &&str| key.contains(*name);
            assert!(macros.iter().all(has), "{key}: one for all");
        }
    }

    let (mut keys, mut triggers) = (Vec::new(), Vec::new());
    collect(template, "key", &mut keys);
    collect(template, "expression", &mut triggers);
    assert!(triggers.len() >= 12, "{triggers:?}");
    for trigger in triggers {
        for item in trigger.split("(/spared/").skip(1) {
            let is_named = |key: &&&str| {
                let rest = item.strip_prefix(**key);
                rest.is_some_and(|rest| rest.starts_with([',', ')']))
            };
            assert!(keys.iter().any(|key| is_named(&key)), "{trigger}");
        }
    }
}
