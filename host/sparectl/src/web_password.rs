//! `sparectl web password`: asks for the password of the page, and writes its hash into web.toml. The plugin need not run
//! yet: it may be the password that it lacks.

use std::fs;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};

use crossterm::terminal;
use spared_file::{Access, replace};
use spared_key::{login, rate};
use spared_message::control::Request;
use zeroize::Zeroizing;

use crate::args::Args;
use crate::{as_root, output};

const FILE: &str = "/etc/spared/plugins/web.toml";
/// Maximum bytes of a password.
const PASSWORD_MAX: usize = 256;

/// File into which the password of this request goes. None for another request, or one for the other node.
pub fn of(args: &Args, request: &Request) -> Option<PathBuf> {
    let Request::Plugin { name, argv } = request else {
        return None;
    };
    let words: Vec<&str> = argv.iter().map(String::as_str).collect();
    let file = match words.as_slice() {
        ["password"] => FILE,
        ["password", file] => file,
        _ => return None,
    };
    let is_here = name == "web" && args.node.is_none() && !args.json;
    is_here.then(|| PathBuf::from(file))
}

pub fn run(file: &Path) -> u8 {
    as_root::seal();
    as_root::ended(set(file))
}

fn set(file: &Path) -> Result<(), String> {
    let old = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(format!("cannot read {}: {error}", file.display())),
    };
    let password = password()?;
    rate(&password).map_err(|error| error.to_string().replace("passphrase", "password"))?;
    let hash = login::hash(&password).map_err(|error| error.to_string())?;
    let access = match file.exists() {
        true => Access::AsBefore,
        // the daemon reads it as root, and others need not
        false => Access::Private,
    };
    replace(file, with_password(&old, &hash).as_bytes(), access, || {
        Ok(())
    })?;
    output::say(&format!(
        "{} has the password: copy the file to the other node, and run `sparectl reload` on both",
        file.display()
    ));
    Ok(())
}

/// Text of the file with this password in place of the old one. Other lines stay as they are.
fn with_password(text: &str, hash: &str) -> String {
    let new = format!("password = \"{hash}\"");
    let is_password = |line: &str| {
        let rest = line.trim_start().strip_prefix("password");
        rest.is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    if !text.lines().any(is_password) {
        return format!("{new}\n{text}");
    }
    let lines = text.lines().map(|line| match is_password(line) {
        true => new.clone() + "\n",
        false => format!("{line}\n"),
    });
    lines.collect()
}

/// Password from the terminal, typed twice, or a line of the input.
fn password() -> Result<Zeroizing<String>, String> {
    if !io::stdin().is_terminal() {
        let mut line = Zeroizing::new(String::new());
        let read = io::stdin().read_line(&mut line);
        read.map_err(|error| format!("cannot read the password: {error}"))?;
        return Ok(Zeroizing::new(
            line.trim_end_matches(['\r', '\n']).to_owned(),
        ));
    }
    let first = typed("Password of the page: ")?;
    let second = typed("Again: ")?;
    match *first == *second {
        true => Ok(first),
        false => Err("the two passwords differ: nothing was changed".to_owned()),
    }
}

fn typed(prompt: &str) -> Result<Zeroizing<String>, String> {
    let fault = |error: io::Error| format!("cannot read the password: {error}");
    let mut errors = io::stderr();
    let _ = errors.write_all(prompt.as_bytes());
    let _ = errors.flush();
    terminal::enable_raw_mode().map_err(fault)?;
    let line = line();
    let _ = terminal::disable_raw_mode();
    let _ = errors.write_all(b"\n");
    line.map_err(fault)
}

/// A line of a terminal that shows nothing and handles no key.
fn line() -> io::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(Vec::with_capacity(PASSWORD_MAX));
    for byte in io::stdin().lock().bytes() {
        match byte? {
            b'\r' | b'\n' => break,
            // Ctrl-C and Ctrl-D
            3 | 4 => return Err(io::Error::other("it was cancelled")),
            8 | 127 => while line.pop().is_some_and(|it| it & 0xc0 == 0x80) {},
            byte if line.len() < PASSWORD_MAX => line.push(byte),
            _ => return Err(io::Error::other("it is too long")),
        }
    }
    let text = String::from_utf8(line.to_vec());
    text.map(Zeroizing::new)
        .map_err(|_| io::Error::other("it is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_replaced_and_nothing_else() {
        assert_eq!(with_password("", "$a"), "password = \"$a\"\n");
        let text = "# the page\nlisten = [\"[::]:3781\"]\n";
        let with = with_password(text, "$a");
        assert_eq!(with, format!("password = \"$a\"\n{text}"));
        let again = with_password(&with, "$b");
        assert_eq!(again, format!("password = \"$b\"\n{text}"));
        assert_eq!(
            with_password("passwords = 1\n  password=\"x\"", "$c"),
            "passwords = 1\npassword = \"$c\"\n"
        );
    }
}
