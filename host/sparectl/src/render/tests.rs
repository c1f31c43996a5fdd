//! Recorded answers and their expected texts: `tests/cases/NAME.json` and `NAME.txt`, with `NAME.verbose.txt` if `-v`
//! adds something worth reading. `BLESS=1` writes the texts again.

use std::fs;
use std::path::{Path, PathBuf};

use spared_message::control::{Answer, Force};

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut cases: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the cases are beside the crate")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    cases.sort();
    cases
}

fn rendered(answer: &Answer, verbose: bool) -> String {
    match answer {
        Answer::Status(status) => {
            let code = status.verdict.word.exit_code();
            format!(
                "{}exit {code}\n",
                super::status(status, verbose, super::wrap::UNLIMITED)
            )
        }
        Answer::Why { groups } => super::why(groups),
        Answer::History(past) => super::history(past, super::wrap::UNLIMITED),
        Answer::Events { events } => super::events(events),
        Answer::Plugins { plugins } => super::plugins(plugins, super::wrap::UNLIMITED),
        Answer::Rows {
            rows,
            kinds,
            missing,
            ..
        } => super::rows(rows, kinds, *missing, super::wrap::UNLIMITED),
        Answer::Done { lines } => super::forced(lines, Force::Active, Some("office")),
        Answer::Report { lines, .. } | Answer::Error { lines, .. } => super::sentences(lines),
    }
}

fn compare(path: &Path, text: &str, differing: &mut Vec<String>) {
    if std::env::var_os("BLESS").is_some() {
        fs::write(path, text).expect("the cases are writable");
    }
    let wanted = fs::read_to_string(path).unwrap_or_default();
    if wanted != text {
        differing.push(format!(
            "{}\nwanted:\n{wanted}\nfound:\n{text}",
            path.display()
        ));
    }
}

/// Checks every recorded status: no line is wider than the terminal, and no word is lost or cut.
#[test]
fn a_status_fits_into_terminals_of_any_width() {
    let mut seen = 0;
    for case in cases() {
        let json = fs::read_to_string(&case).expect("a readable case");
        let Ok(Answer::Status(status)) = serde_json::from_str(&json) else {
            continue;
        };
        for verbose in [false, true] {
            let whole = super::status(&status, verbose, super::wrap::UNLIMITED);
            for columns in [60, 80, 120, 200] {
                let text = super::status(&status, verbose, columns);
                let place = format!("{} at {columns}:\n{text}", case.display());
                assert!(
                    text.lines().all(|it| it.chars().count() <= columns),
                    "{place}"
                );
                let words = |text: &str| {
                    let mut words: Vec<String> =
                        text.split_whitespace().map(str::to_owned).collect();
                    words.sort();
                    words
                };
                // only a word that is wider than its column may be broken
                if columns >= 120 {
                    assert_eq!(words(&text), words(&whole), "{place}");
                }
                seen += 1;
            }
        }
    }
    assert!(seen > 100, "{seen}");
}

#[test]
fn a_history_fits_into_80_columns_with_its_times_at_the_margin() {
    let mut seen = 0;
    for case in cases() {
        let json = fs::read_to_string(&case).expect("a readable case");
        let Ok(Answer::History(past)) = serde_json::from_str(&json) else {
            continue;
        };
        let whole = super::history(&past, super::wrap::UNLIMITED);
        let text = super::history(&past, 80);
        assert!(text.lines().all(|it| it.chars().count() <= 80), "{text}");
        let times = text.lines().filter(|it| it.starts_with("20")).count();
        let lines = whole.lines().filter(|it| it.starts_with("20")).count();
        assert_eq!(times, lines, "{text}");
        seen += lines;
    }
    assert!(seen > 8, "{seen}");
}

#[test]
fn columns_of_plugins_and_rows_stay_whatever_is_in_them() {
    let plugin = |name: &str, version: &str| spared_message::control::PluginStatus {
        name: name.to_owned(),
        version: version.to_owned(),
        state: "running".to_owned(),
        why: "a reason of many words ".repeat(6).trim().to_owned(),
        ..Default::default()
    };
    let long = "a-name-that-is-as-long-as-it-may";
    let all = [plugin("vrrp", "1.0"), plugin(long, "1.0.0-rc.1+debian13")];
    for columns in [60, 80, 120, 200] {
        let text = super::plugins(&all, columns);
        let states = text.lines().filter_map(|it| it.find("running"));
        let states: Vec<usize> = states.collect();
        assert!(matches!(states[..], [one, other] if one == other), "{text}");
        let details = text.lines().filter(|it| it.starts_with("    "));
        let mut widths = details.map(|it| it.chars().count());
        assert!(widths.all(|it| it <= columns), "{columns}:\n{text}");
    }
    let numbered = [1, 2, 10, 11].map(|it| {
        let value = spared_message::control::Value::Text(format!("/etc/{it}: added"));
        (format!("change.{it}"), value)
    });
    let text = super::rows(&numbered.into(), &Default::default(), false, 80);
    let order: Vec<&str> = text
        .lines()
        .map(|it| it.split(' ').next().unwrap_or(""))
        .collect();
    assert_eq!(order, ["change.1", "change.2", "change.10", "change.11"]);
    let value =
        spared_message::control::Value::Text("some words of a value ".repeat(9).trim().to_owned());
    let rows = [
        ("tree.spared.state".to_owned(), value.clone()),
        ("x".to_owned(), value),
    ];
    for columns in [60, 80, 120, 200] {
        let text = super::rows(&rows.clone().into(), &Default::default(), false, columns);
        assert!(
            text.lines().all(|it| it.len() <= columns),
            "{columns}:\n{text}"
        );
        let is_below = |it: &&str| it.starts_with(&" ".repeat(19));
        let (below, first): (Vec<&str>, Vec<&str>) = text.lines().partition(is_below);
        assert_eq!(first.len(), 2, "{columns}:\n{text}");
        let mut starts = first.iter().map(|it| it.find("some words"));
        assert!(starts.all(|at| at == Some(19)), "{columns}:\n{text}");
        let mut rest = below.iter().map(|it| it.trim_start().len() + 19);
        assert!(rest.all(|width| width <= columns), "{columns}:\n{text}");
    }
}

#[test]
fn recorded_answers_look_as_recorded() {
    let mut differing = Vec::new();
    for case in cases() {
        let json = fs::read_to_string(&case).expect("a readable case");
        let answer: Answer = serde_json::from_str(&json)
            .unwrap_or_else(|error| panic!("{}: {error}", case.display()));
        compare(
            &case.with_extension("txt"),
            &rendered(&answer, false),
            &mut differing,
        );
        let verbose = case.with_extension("verbose.txt");
        if verbose.exists() {
            compare(&verbose, &rendered(&answer, true), &mut differing);
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}
