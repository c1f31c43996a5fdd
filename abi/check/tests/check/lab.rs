//! Plugins that are built for a test, and the program that checks them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory that goes with the test.
pub struct Lab(pub PathBuf);

impl Lab {
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir =
            std::env::temp_dir().join(format!("spared-check-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    pub fn compile(&self, name: &str, source: &Path, arguments: &[&str]) -> PathBuf {
        let library = repository().join("abi/c/spared_plugin.c");
        let library = [library.to_str().unwrap(), "-lpthread"];
        let arguments = [arguments, &library].concat();
        self.compile_by("cc", "-std=c11", name, source, &arguments)
    }

    pub fn compile_by(
        &self,
        compiler: &str,
        standard: &str,
        name: &str,
        source: &Path,
        arguments: &[&str],
    ) -> PathBuf {
        let path = self.0.join(format!("{name}.so"));
        let output = Command::new(compiler)
            .args([standard, "-shared", "-fPIC", "-fvisibility=hidden", "-I"])
            .arg(repository().join("abi/c"))
            .arg("-o")
            .arg(&path)
            .arg(source)
            .args(arguments)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        path
    }

    /// The library for C, compiled.
    pub fn library(&self) -> PathBuf {
        let library = self.0.join("library.o");
        let compiled = Command::new("cc")
            .args(["-std=c11", "-fPIC", "-fvisibility=hidden", "-c", "-o"])
            .arg(&library)
            .arg(repository().join("abi/c/spared_plugin.c"))
            .status()
            .unwrap();
        assert!(compiled.success());
        library
    }

    /// A plugin in C: `body` before the note, in which `lines` are, and `fields` among its callbacks.
    pub fn plugin(&self, body: &str, lines: &str, fields: &str) -> PathBuf {
        let text = format!(
            "#define _GNU_SOURCE\n#include <errno.h>\n#include <fcntl.h>\n#include <pthread.h>\n\
             #include <stdlib.h>\n#include <unistd.h>\n#include \"spared_plugin.h\"\n\
             {body}\n\
             SPARED_PLUGIN(SPARED_NAME(\"vendor\") SPARED_VERSION(\"1\") SPARED_VENDOR(\"spared\")\n\
             SPARED_SUMMARY(\"s\") {lines}, {fields} .create = 0);\n"
        );
        let source = self.0.join("vendor.c");
        std::fs::write(&source, text).unwrap();
        self.compile("vendor", &source, &[])
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The exit code and what was said.
pub fn check(path: &Path, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_spared-plugin-check"))
        .arg(path)
        .args(arguments)
        .output()
        .unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

/// Asserts that `path` fails with a line that holds `what`.
pub fn fails(path: &Path, what: &str) {
    let (code, said) = check(path, &[]);
    let line = said.lines().find(|line| line.contains(what));
    assert!(
        code == 1 && line.is_some_and(|line| line.starts_with("fail")),
        "{code}, {said}"
    );
}

/// Asserts that `path` fails the check `name` with a line that holds `what`. The other checks, which would wait for the same
/// thing, are not run.
pub fn fails_alone(path: &Path, name: &str, what: &str) {
    let (_, said) = check(path, &["--only", name]);
    let is_told = |line: &str| line.starts_with("finding fail ") && line.contains(what);
    assert!(said.lines().any(is_told), "{said}");
}

pub fn example_in_rust(lab: &Lab, name: &str) -> PathBuf {
    built(lab, name, &format!("spared-example-{name}"))
}

/// A plugin in Rust of this build, under its name.
pub fn built(lab: &Lab, name: &str, package: &str) -> PathBuf {
    // `make test` has built everything.
    if std::env::var_os("SPARED_BUILT").is_none() {
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--package", package])
            .current_dir(repository())
            .status()
            .unwrap();
        assert!(status.success());
    }
    let target = Path::new(env!("CARGO_BIN_EXE_spared-plugin-check"))
        .parent()
        .unwrap();
    let path = lab.0.join(format!("{name}.so"));
    std::fs::copy(
        target.join(format!("lib{}.so", package.replace('-', "_"))),
        &path,
    )
    .unwrap();
    path
}

/// A plugin with a role, whose body is this.
pub fn with_role(lab: &Lab, body: &str) -> PathBuf {
    let body = format!(
        "static spared_status role(void *self, uint64_t token, const struct spared_role *event)\n\
         {{ (void)self, (void)token, (void)event; {body} }}"
    );
    lab.plugin(&body, "SPARED_ROLES", ".role = role,")
}

/// A plugin whose start or stop is this.
pub fn with_call(lab: &Lab, callback: &str, body: &str, lines: &str) -> PathBuf {
    let body = format!(
        "static spared_status {callback}(void *self, uint64_t token) {{ (void)self, (void)token; {body} }}"
    );
    lab.plugin(&body, lines, &format!(".{callback} = {callback},"))
}

/// A plugin with a peer, whose message is this.
pub fn with_peer(lab: &Lab, body: &str, more: &str, fields: &str) -> PathBuf {
    let body = format!(
        "{more}\nstatic spared_status message(void *self, struct spared_bytes bytes) {{ (void)self, (void)bytes; {body} }}"
    );
    let lines = "SPARED_PEER SPARED_TRANSFER SPARED_WIRE(\"1-1\")";
    lab.plugin(&body, lines, &format!(".message = message, {fields}"))
}
