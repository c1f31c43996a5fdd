//! Commands of scripts: words as keepalived splits them, and what a check does in place of a well-known one.

use std::net::IpAddr;

use super::echo::{Echoes, without_silence};
use crate::tree::Statement;

/// Signs of a shell.
const SHELL: &[char] = &['|', '&', ';', '<', '>', '(', ')', '$', '`', '*', '?', '~'];

/// The object of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Process(String),
    Tcp(String),
    /// With the command, for a script.
    Ping(Echoes, Vec<String>),
    Script(Vec<String>),
}

/// A command, and the user and group that it runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    pub text: String,
    pub user: Option<(String, Option<String>)>,
}

impl Command {
    /// The command of a notify line: one word or a quoted text, then a user and a group.
    pub fn of_notify(statement: &Statement) -> Option<Self> {
        let text = statement.words.get(1)?.trim().to_owned();
        let word = |at: usize| Some(statement.word(at).to_owned()).filter(|it| !it.is_empty());
        let user = word(2).map(|user| (user, word(3)));
        (!text.is_empty()).then_some(Self { text, user })
    }

    /// The words of the command. Single quotes and backslashes are as in a shell.
    pub fn words(&self) -> Vec<String> {
        split(&self.text)
    }
}

/// The command of a `vrrp_script`: all its words.
pub fn target(statement: &Statement) -> Option<Target> {
    let text = statement.words.get(1..)?.join(" ");
    let words = split(&text);
    let silent = split(without_silence(&text));
    let plain: Vec<&str> = silent.iter().map(String::as_str).collect();
    let program = plain.first()?.rsplit('/').next().unwrap_or_default();
    let process = match (program, &plain[1..]) {
        ("killall", ["-0", name] | ["-s", "0", name]) => Some(*name),
        ("pidof", [name] | ["-q", name] | ["-s", name]) => Some(*name),
        ("pgrep", ["-x", name]) => Some(*name),
        _ => None,
    };
    let is_name =
        |it: &&str| !it.is_empty() && it.len() <= 64 && !it.contains('/') && !it.contains(SHELL);
    if let Some(name) = process.filter(is_name) {
        return Some(Target::Process(name.to_owned()));
    }
    if let Some(address) = text.trim().strip_prefix("</dev/tcp/").and_then(socket) {
        return Some(Target::Tcp(address));
    }
    let argv = command(&text, words)?;
    Some(match Echoes::of(program, &plain[1..]) {
        Some(echoes) => Target::Ping(echoes, argv),
        None => Target::Script(argv),
    })
}

/// The command as a check runs it, by a shell only if it needs one.
fn command(text: &str, mut argv: Vec<String>) -> Option<Vec<String>> {
    if text.contains(SHELL) {
        return Some(["/bin/sh", "-c", text].map(str::to_owned).to_vec());
    }
    if !argv.first()?.starts_with('/') {
        argv.insert(0, "/usr/bin/env".to_owned());
    }
    Some(argv)
}

fn socket(text: &str) -> Option<String> {
    let (ip, port) = text.split_once('/')?;
    let (ip, port): (IpAddr, u16) = (ip.parse().ok()?, port.parse().ok()?);
    Some(std::net::SocketAddr::new(ip, port).to_string())
}

fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => word.get_or_insert_default().extend(letters.next()),
            '"' | '\'' if quote.is_none() => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            _ if quote == Some(letter) => quote = None,
            _ if quote.is_none() && letter.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

/// A word as a shell reads it.
pub fn shell_word(word: &str) -> String {
    let is_plain = |it: char| it.is_ascii_alphanumeric() || "-_./:=@%+,".contains(it);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<Target> {
        target(&Statement {
            words: ["script", text].map(str::to_owned).to_vec(),
            ..Statement::default()
        })
    }

    #[test]
    fn well_known_commands_become_checks_and_others_scripts() {
        let script = |words: &[&str]| {
            Some(Target::Script(
                words.iter().map(|it| (*it).to_owned()).collect(),
            ))
        };
        assert_eq!(
            of("killall -0 haproxy"),
            Some(Target::Process("haproxy".to_owned()))
        );
        assert_eq!(
            of("/bin/pidof nginx"),
            Some(Target::Process("nginx".to_owned()))
        );
        assert_eq!(
            of("</dev/tcp/127.0.0.1/80"),
            Some(Target::Tcp("127.0.0.1:80".to_owned()))
        );
        assert_eq!(of("/a/b 'c d' e\\ f"), script(&["/a/b", "c d", "e f"]));
        assert_eq!(
            of("curl -f http://[::1]/"),
            script(&["/usr/bin/env", "curl", "-f", "http://[::1]/"])
        );
        assert_eq!(of("a | b"), script(&["/bin/sh", "-c", "a | b"]));
        assert_eq!(of(" "), None);
        assert_eq!(shell_word("it's"), "'it'\\''s'");
    }
}
