//! The check in a short-lived worker: descriptors and configurations, with a time limit.

use std::os::fd::AsFd;
use std::path::Path;

use spared_contract::{Descriptor, Failure};
use spared_process::worker::process::{CheckError, Configuration, check};

use crate::lab::{Lab, executable};

fn run(
    path: &Path,
    name: &str,
    toml: Option<&str>,
) -> Result<(Descriptor, Vec<Failure>), CheckError> {
    let file = std::fs::File::open(path).unwrap();
    let configuration = toml.map(|toml| Configuration {
        table: crate::lab::table(toml),
        ..Configuration::default()
    });
    check(
        &executable("worker"),
        name,
        file.as_fd(),
        None,
        1 << 30,
        configuration.as_ref(),
    )
}

#[test]
fn a_check_gives_the_descriptor_and_every_fault() {
    let lab = Lab::new();
    let path = lab.probe();
    let (descriptor, failures) = run(&path, "probe", None).unwrap();
    assert_eq!((descriptor.name.as_str(), failures.len()), ("probe", 0));
    let (_, failures) = run(&path, "probe", Some("fine = 1")).unwrap();
    assert_eq!(failures, []);
    let (_, failures) = run(&path, "probe", Some("wrong = 1")).unwrap();
    let keys: Vec<&str> = failures
        .iter()
        .map(|failure| failure.key.as_str())
        .collect();
    assert_eq!(keys, ["wrong", "group.0.name"]);
}

#[test]
fn a_plugin_that_hangs_in_the_check_is_given_up() {
    let lab = Lab::new();
    let hung = run(&lab.probe(), "probe", Some("hang_in_check = 1"));
    let why = hung.unwrap_err().to_string();
    assert_eq!(why, "checking its configuration took longer than 2 s");
}

#[test]
fn a_constructor_that_crashes_or_hangs_costs_only_the_check() {
    let lab = Lab::new();
    let constructor = |body: &str| {
        let source = lab.dir.join("vendor.c");
        let text = format!(
            "#include <stdlib.h>\n#include <unistd.h>\n#include \"spared_plugin.h\"\n\
             __attribute__((constructor)) static void begin(void) {{ {body} }}\n\
             SPARED_PLUGIN(SPARED_NAME(\"vendor\"), .create = 0);\n"
        );
        std::fs::write(&source, text).unwrap();
        lab.compile("vendor", source.to_str().unwrap(), &["-D_GNU_SOURCE"])
    };
    let path = constructor("abort();");
    let why = run(&path, "vendor", None).unwrap_err().to_string();
    assert!(
        why.starts_with("loading ended the process (signal: 6"),
        "{why}"
    );
    let path = constructor("for (;;) pause();");
    assert!(matches!(
        run(&path, "vendor", None),
        Err(CheckError::Hung(_))
    ));
}

#[test]
fn what_is_no_plugin_is_refused_by_its_sentence() {
    let lab = Lab::new();
    let path = lab.dir.join("vendor.so");
    std::fs::write(&path, "no plugin").unwrap();
    let refused = run(&path, "vendor", None);
    assert!(
        matches!(refused, Err(CheckError::Refused(_))),
        "{refused:?}"
    );
}
