//! Libraries of plugins.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// Copies a plugin's library into a folder, once.
pub fn install(plugin: &str, folder: &Path) {
    let library = folder.join(format!("{plugin}.so"));
    if !library.exists() {
        fs::copy(build(plugin), &library).unwrap();
        fs::set_permissions(&library, fs::Permissions::from_mode(0o644)).unwrap();
    }
}

/// Installs the smallest plugin in C under another name, with `lines` in its note.
pub fn install_c(plugin: &str, lines: &str, folder: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let smallest = fs::read_to_string(root.join("abi/c/examples/smallest.c")).unwrap();
    let named = smallest.replace("\"smallest\"", &format!("\"{plugin}\""));
    let source = folder.join(format!("{plugin}.c"));
    fs::write(
        &source,
        named.replace("SPARED_ROLES,", &format!("SPARED_ROLES {lines},")),
    )
    .unwrap();
    compile(plugin, &source, folder);
    fs::remove_file(source).unwrap();
}

/// Installs the plugin that returns invalid statuses, under another name.
pub fn install_invalid(plugin: &str, folder: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/run/lab/invalid_status.c");
    compile(plugin, &source, folder);
}

/// Installs a plugin in C of the tests, from the file of its name.
pub fn install_own(plugin: &str, folder: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/run/lab");
    compile(plugin, &source.join(format!("{plugin}.c")), folder);
}

fn compile(plugin: &str, source: &Path, folder: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let library = folder.join(format!("{plugin}.so"));
    let mut compiler = Command::new("cc");
    compiler.args([
        "-std=c11",
        "-D_GNU_SOURCE",
        "-Wall",
        "-Werror",
        "-shared",
        "-fPIC",
        "-fvisibility=hidden",
    ]);
    compiler.arg(format!("-DTEST_NAME=\"{plugin}\""));
    compiler.arg("-I").arg(root.join("abi/c"));
    compiler.arg("-o").arg(&library).arg(source);
    compiler.arg(root.join("abi/c/spared_plugin.c"));
    compiler.arg("-lpthread");
    assert!(
        compiler.status().unwrap().success(),
        "{plugin} does not compile"
    );
    fs::set_permissions(&library, fs::Permissions::from_mode(0o644)).unwrap();
}

// Builds a plugin once. Cargo builds it only if it is named; `make test` has built everything.
fn build(plugin: &str) -> PathBuf {
    static BUILT: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let package = match plugin {
        "vrrp" => "spared-vrrp".to_owned(),
        "courier-root" => "spared-example-courier".to_owned(),
        "newer" => "spared-example-probe".to_owned(),
        example => format!("spared-example-{example}"),
    };
    let folder = Path::new(env!("CARGO_BIN_EXE_spared")).parent().unwrap();
    let library = match plugin {
        "courier-root" => folder.join("examples/libcourier_root.so"),
        "newer" => folder.join("examples/libnewer.so"),
        _ => folder.join(format!("lib{}.so", package.replace('-', "_"))),
    };
    let mut built = BUILT.lock().unwrap();
    if std::env::var_os("SPARED_BUILT").is_none() && built.insert(package.clone()) {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--lib", "--examples", "-p", &package]);
        if folder.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(
            cargo.status().unwrap().success(),
            "{package} does not build"
        );
    }
    library
}
