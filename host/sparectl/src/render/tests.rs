//! Recorded answers and what they must look like: `tests/cases/NAME.json` and `NAME.txt`, with
//! `NAME.verbose.txt` where `-v` adds something worth reading. `BLESS=1` writes the texts anew.

use std::fs;
use std::path::{Path, PathBuf};

use spared_control::{Answer, Force};

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
            format!("{}exit {code}\n", super::status(status, verbose))
        }
        Answer::Why { groups } => super::why(groups),
        Answer::History { changes, silent } => super::history(changes, silent.as_deref()),
        Answer::Events { events } => super::events(events),
        Answer::Plugins { plugins } => super::plugins(plugins),
        Answer::Rows {
            rows,
            kinds,
            missing,
            ..
        } => super::rows(rows, kinds, *missing),
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

#[test]
fn another_version_than_the_installed_one_is_said() {
    let status = spared_control::Status {
        node: "r1".to_owned(),
        version: "0.1.0".to_owned(),
        ..Default::default()
    };
    let line = "\nspared 0.2.0 is installed, 0.1.0 runs on r1: restart it while r1 is backup.\n";
    assert_eq!(super::outdated(&status, "0.2.0"), line);
    assert_eq!(super::outdated(&status, "0.1.0"), "");
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
