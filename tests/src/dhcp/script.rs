// SPDX-License-Identifier: MIT OR Apache-2.0
//! Script that starts and stops a server, like an init script: `status` exits with 0 if the server runs, and with 3 if
//! it does not. It enters no namespace.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::Result;

pub struct Script {
    /// The program and its arguments, of which one is `config`.
    pub command: Vec<String>,
    /// Command that only tests the configuration.
    pub test: Vec<String>,
    pub environment: Vec<(&'static str, String)>,
    pub config: PathBuf,
    pub pid_file: PathBuf,
    pub log: PathBuf,
    /// The program goes to the background by itself once it serves.
    pub daemon: bool,
    /// SIGHUP makes the program read its configuration again.
    pub reload: bool,
}

impl Script {
    pub fn write(&self, to: &Path) -> Result<()> {
        fs::write(to, self.text()?)?;
        Ok(fs::set_permissions(to, fs::Permissions::from_mode(0o755))?)
    }

    fn text(&self) -> Result<String> {
        let mut text = "#!/bin/sh\n".to_owned();
        for (name, path) in [
            ("config", &self.config),
            ("pidfile", &self.pid_file),
            ("log", &self.log),
        ] {
            writeln!(text, "{name}={}", quoted(&path.to_string_lossy()))?;
        }
        for (name, value) in &self.environment {
            writeln!(text, "export {name}={}", quoted(value))?;
        }
        let words: Vec<String> = self.command.iter().map(|word| quoted(word)).collect();
        let command = words.join(" ");
        let start = if self.daemon {
            format!("{command} >>\"$log\" 2>&1 </dev/null || exit 1\n\t\tchild=")
        } else {
            format!("setsid {command} >>\"$log\" 2>&1 </dev/null &\n\t\tchild=$!")
        };
        let reload = if self.reload {
            "runs && kill -HUP \"$pid\""
        } else {
            "exit 3"
        };
        let test: Vec<String> = self.test.iter().map(|word| quoted(word)).collect();
        let test = test.join(" ");
        let body = BODY.replace("START", &start).replace("RELOAD", reload);
        text += &body.replace("TEST", &test);
        Ok(text)
    }
}

const BODY: &str = r#"
runs() {
	pid=
	[ -e "$pidfile" ] && read -r pid <"$pidfile"
	[ -n "$pid" ] && grep -qF -- "$config" "/proc/$pid/cmdline" 2>/dev/null
}

wait_for() {
	count=0
	until "$@"; do
		count=$((count + 1))
		[ $count -lt 250 ] || return 1
		sleep 0.02
	done
}

started() { runs || { [ -n "$child" ] && ! kill -0 "$child" 2>/dev/null; }; }
ended() { ! grep -qF -- "$config" "/proc/$pid/cmdline" 2>/dev/null; }

case $1 in
start)
	if ! runs; then
		rm -f "$pidfile"
		START
		wait_for started
		runs
	fi ;;
stop)
	if runs; then
		kill -TERM "$pid"
		wait_for ended || kill -KILL "$pid"
	fi ;;
status) runs || exit 3 ;;
reload) RELOAD ;;
test) TEST ;;
*) exit 2 ;;
esac
"#;

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}
