//! Commands of scripts: words as keepalived splits them, and what a check does in place of a well-known one.

use std::net::IpAddr;

use super::echo::Echoes;
use crate::split::words;
use crate::tree::Statement;

/// Words that a shell understands, and that are no programs: keepalived disables a script that begins with one.
const NO_PROGRAMS: [&str; 14] = [
    "!", "[[", "(", ":", ".", "if", "for", "while", "until", "case", "exec", "eval", "cd", "source",
];

/// The object of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Process(String),
    Tcp(String),
    /// With the command, for a script.
    Ping(Echoes, Vec<String>),
    Script(Vec<String>),
    /// No program has this name.
    Nothing(String),
}

/// A command, and the user and group that it runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    pub words: Vec<String>,
    pub user: Option<(String, Option<String>)>,
}

impl Command {
    /// The command of a notify line: one word or a quoted text, then a user and a group. None if keepalived ignores it.
    pub fn of_notify(statement: &Statement) -> Option<Self> {
        let words = words(statement.word(1)).filter(|it| !it.is_empty())?;
        let word = |at: usize| Some(statement.word(at).to_owned()).filter(|it| !it.is_empty());
        let user = word(2).map(|user| (user, word(3)));
        Some(Self { words, user })
    }
}

/// The command of a `vrrp_script`: one word or a quoted text, which no shell reads.
pub fn target(statement: &Statement) -> Option<Target> {
    let mut argv = words(statement.word(1)).filter(|it| !it.is_empty())?;
    let first = argv[0].clone();
    let plain: Vec<&str> = argv.iter().map(String::as_str).collect();
    let program = first.rsplit('/').next().unwrap_or_default();
    let process = match (program, &plain[1..]) {
        ("killall", ["-0", name] | ["-s", "0", name]) => Some(*name),
        ("pidof", [name] | ["-q", name] | ["-s", name]) => Some(*name),
        ("pgrep", ["-x", name]) => Some(*name),
        _ => None,
    };
    let is_plain = |it: char| it.is_ascii_alphanumeric() || "-_.+@:".contains(it);
    let is_name = |it: &&str| (1..=64).contains(&it.len()) && it.chars().all(is_plain);
    if let Some(name) = process.filter(is_name) {
        return Some(Target::Process(name.to_owned()));
    }
    if let Some(address) = first.strip_prefix("</dev/tcp/").and_then(socket) {
        return Some(Target::Tcp(address));
    }
    if is_redirection(&first) {
        // the only line for which keepalived asks a shell
        let more = argv.drain(1..).map(|it| format!(" '{it}'"));
        let line = first + &more.collect::<String>();
        return Some(Target::Script(
            ["/bin/sh", "-c", &line].map(str::to_owned).to_vec(),
        ));
    }
    let is_option = first.starts_with('-') || (first.contains('=') && !first.contains('/'));
    if NO_PROGRAMS.contains(&first.as_str()) || first.is_empty() || is_option {
        return Some(Target::Nothing(first));
    }
    let echoes = Echoes::of(program, &plain[1..]);
    if !first.starts_with('/') {
        argv.insert(0, "/usr/bin/env".to_owned());
    }
    Some(match echoes {
        Some(echoes) => Target::Ping(echoes, argv),
        None => Target::Script(argv),
    })
}

/// A word that only a shell would take for something else than an argument.
pub fn shell_sign(argv: &[String]) -> Option<&str> {
    let is_sign = |it: &&str| {
        let begins = [">", "<", "|", "&", "1>", "2>", "$(", "`"];
        begins.iter().any(|sign| it.starts_with(sign)) || (it.ends_with(';') && it.len() < 3)
    };
    let is_shell = matches!(argv.get(1).map(String::as_str), Some("-c"));
    let mut words = argv.iter().skip(1).map(String::as_str);
    words.find(is_sign).filter(|_| !is_shell)
}

fn is_redirection(first: &str) -> bool {
    let file = first
        .strip_prefix('<')
        .map(|it| it.trim_start_matches([' ', '\t']));
    file.is_some_and(|it| it.starts_with('/'))
}

fn socket(text: &str) -> Option<String> {
    let (ip, port) = text.split_once('/')?;
    let (ip, port): (IpAddr, u16) = (ip.parse().ok()?, port.parse().ok()?);
    Some(std::net::SocketAddr::new(ip, port).to_string())
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
        assert_eq!(of("a | b"), script(&["/usr/bin/env", "a", "|", "b"]));
        assert_eq!(of("/a \"b c\" (d)"), script(&["/a", "b c", "(d)"]));
        assert_eq!(of("</etc/x y"), script(&["/bin/sh", "-c", "</etc/x 'y'"]));
        assert_eq!(of("! pidof x"), Some(Target::Nothing("!".to_owned())));
        assert_eq!(
            of("pidof x && y"),
            script(&["/usr/bin/env", "pidof", "x", "&&", "y"])
        );
        assert_eq!(of(" "), None);
        assert_eq!(shell_word("it's"), "'it'\\''s'");
    }
}
