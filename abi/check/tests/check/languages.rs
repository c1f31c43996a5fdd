//! Plugins in other languages than C and Rust, and programs that exec runs.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::lab::{Lab, built, check, repository};

/// True if the compiler is here; else says that the test is skipped.
fn is_there(compiler: &str, version: &str) -> bool {
    let is_there = Command::new(compiler).arg(version).output().is_ok();
    if !is_there {
        eprintln!("skipped: there is no {compiler} here");
    }
    is_there
}

fn passes_without_a_warning(path: &Path, arguments: &[&str]) {
    let (code, said) = check(path, arguments);
    assert_eq!(code, 0, "{said}");
    assert!(said.lines().all(|line| line.starts_with("ok")), "{said}");
}

#[test]
fn a_plugin_in_cpp_passes_without_a_warning() {
    if !is_there("c++", "--version") {
        return;
    }
    let lab = Lab::new();
    let source = lab.0.join("acme-lamp.cc");
    let text = "#include <cstdio>\n#include \"spared_plugin.h\"\n\
                static spared_status configure(void *, int) { struct spared_str name;\n\
                if (spared_config_keys(\"\", 0, &name)) return 0; char key[64];\n\
                snprintf(key, sizeof(key), \"%.*s\", (int)name.len, name.ptr);\n\
                spared_fail(key, spared_text(\"unknown key\")); return -EINVAL; }\n\
                SPARED_PLUGIN(SPARED_NAME(\"acme-lamp\") SPARED_VERSION(\"1\") SPARED_VENDOR(\"acme\")\n\
                SPARED_SUMMARY(\"lights a lamp\"), .configure = configure);";
    fs::write(&source, text).unwrap();
    let library = lab.library();
    let arguments = [library.to_str().unwrap(), "-lpthread"];
    let path = lab.compile_by("c++", "-std=c++20", "acme-lamp", &source, &arguments);
    let (code, said) = check(&path, &[]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("ok    symbols"), "{said}");
}

#[test]
fn the_example_in_cpp_passes_without_a_warning() {
    if !is_there("c++", "--version") {
        return;
    }
    let lab = Lab::new();
    let library = lab.library();
    let arguments = [library.to_str().unwrap(), "-lpthread"];
    let source = repository().join("abi/c/examples/sessions.cpp");
    let path = lab.compile_by("c++", "-std=c++20", "sessions", &source, &arguments);
    passes_without_a_warning(&path, &[]);
}

#[test]
fn the_example_in_go_passes_without_a_warning() {
    if !is_there("go", "version") {
        return;
    }
    let lab = Lab::new();
    let path = lab.0.join("sessions.so");
    let output = Command::new("go")
        .args(["build", "-buildmode=c-shared", "-o"])
        .arg(&path)
        .arg(".")
        .current_dir(repository().join("abi/c/examples/go"))
        .env("GOCACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("go"))
        .env("GOFLAGS", "-mod=readonly -buildvcs=false")
        .env("GOPROXY", "off")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    passes_without_a_warning(&path, &[]);
}

#[test]
fn a_program_of_exec_passes_where_its_configuration_names_it() {
    if !Path::new("/usr/bin/python3").exists() {
        eprintln!("skipped: there is no /usr/bin/python3 here");
        return;
    }
    let lab = Lab::new();
    let exec = built(&lab, "exec", "spared-exec");
    // a folder that only root can write, unlike that of temporary files
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = Lab(folder.join(format!("exec-{}", std::process::id())));
    fs::create_dir_all(&folder.0).unwrap();
    let program = folder.0.join("sessions.py");
    fs::copy(
        repository().join("plugins/exec/examples/sessions.py"),
        &program,
    )
    .unwrap();
    let config = lab.0.join("exec.toml");
    let text = format!("program = {program:?}\n[settings]\nlimit = 100\n");
    fs::write(&config, &text).unwrap();
    let arguments = ["--config", config.to_str().unwrap()];
    let (_, said) = check(&exec, &["--only", "configure", arguments[0], arguments[1]]);
    if ["is not run: ", "(os error 13)"]
        .iter()
        .any(|it| said.contains(it))
    {
        eprintln!("skipped: programs of this folder are not run: {said}");
        return;
    }
    passes_without_a_warning(&exec, &arguments);
    // the program itself refuses a key of its own
    fs::write(&config, text.replace("100", "0")).unwrap();
    let (code, said) = check(&exec, &arguments);
    let why = "refuses its configuration: settings.limit: found 0, allowed 1-100000";
    assert!(code == 1 && said.contains(why), "{code}, {said}");
}
