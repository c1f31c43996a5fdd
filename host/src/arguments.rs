//! Command-line arguments.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::prelude::*;
use spared_config::{DEFAULT_CONFIG, DEFAULT_PLUGIN_DIR, Options};
use spared_message::control::DEFAULT_RUNTIME_DIR;
use spared_process::account::Account;
use spared_supervisor::starter::Files;

pub const HELP: &str = "\
spared: high availability for a pair of Linux routers.

    spared run [--config FILE] [--runtime-dir DIR] [--plugin-dir DIR] [--starter SOCKET]
    spared check [--config FILE] [--runtime-dir DIR] [--plugin-dir DIR]

    --config FILE      default /etc/spared/spared.toml; plugins/NAME.toml next to it
    --runtime-dir DIR  default /run/spared
    --plugin-dir DIR   default /usr/lib/spared/plugins
    --starter SOCKET   of spared-starter.socket, if the daemon is not root; default: spared starts its own starter

Exit codes: 0 success, 64 wrong arguments, 66 no such file, 69 not available here,
71 system error, 77 no permission, 78 wrong configuration. See spared(8).";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    Run(Options),
    Check(Options),
    /// Gathers a report. Started by `sparectl report`, and by `run` when the peer asks for this node's half.
    Report(Options),
    /// Starts processes. Started by `run`, or by systemd for it.
    Starter(Files),
    /// Runs one plugin. Started by `starter`, as are the next two.
    Worker,
    /// Holds the sessions of the link, if a peer is configured.
    Link,
    /// Keeps the link's rule, if there is a link. Contains the account that the process changes to.
    Firewall(Option<Account>),
    Version,
    Help,
}

/// Reads the arguments after the program's name.
///
/// # Errors
/// A sentence about the first wrong argument.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Mode, String> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let say = |error: lexopt::Error| error.to_string();
    match parser.next().map_err(say)? {
        Some(Long("version") | Short('V')) => Ok(Mode::Version),
        Some(Long("help") | Short('h')) => Ok(Mode::Help),
        Some(Value(word)) if word == "run" => options(&mut parser, Mode::Run),
        Some(Value(word)) if word == "check" => options(&mut parser, Mode::Check),
        Some(Value(word)) if word == "report" => options(&mut parser, Mode::Report),
        Some(Value(word)) if word == "worker" => Ok(Mode::Worker),
        Some(Value(word)) if word == "link" => Ok(Mode::Link),
        Some(Value(word)) if word == "firewall" => account(&mut parser).map(Mode::Firewall),
        Some(Value(word)) if word == "starter" => files(&mut parser),
        Some(other) => Err(other.unexpected().to_string()),
        None => Err("missing command: run or check (see --help)".to_owned()),
    }
}

fn options(parser: &mut lexopt::Parser, mode: fn(Options) -> Mode) -> Result<Mode, String> {
    let say = |error: lexopt::Error| error.to_string();
    let mut options = Options {
        config: None,
        runtime_dir: PathBuf::from(DEFAULT_RUNTIME_DIR),
        plugin_dir: PathBuf::from(DEFAULT_PLUGIN_DIR),
        starter: None,
    };
    while let Some(argument) = parser.next().map_err(say)? {
        match argument {
            Long("config") => options.config = Some(parser.value().map_err(say)?.into()),
            Long("runtime-dir") => options.runtime_dir = parser.value().map_err(say)?.into(),
            Long("plugin-dir") => options.plugin_dir = parser.value().map_err(say)?.into(),
            Long("starter") => options.starter = Some(parser.value().map_err(say)?.into()),
            Long("help") | Short('h') => return Ok(Mode::Help),
            other => return Err(other.unexpected().to_string()),
        }
    }
    Ok(mode(options))
}

fn files(parser: &mut lexopt::Parser) -> Result<Mode, String> {
    let say = |error: lexopt::Error| error.to_string();
    let mut files = Files {
        config: PathBuf::from(DEFAULT_CONFIG),
        plugin_dir: PathBuf::from(DEFAULT_PLUGIN_DIR),
        state_dir: None,
    };
    while let Some(argument) = parser.next().map_err(say)? {
        match argument {
            Long("config") => files.config = parser.value().map_err(say)?.into(),
            Long("plugin-dir") => files.plugin_dir = parser.value().map_err(say)?.into(),
            Long("state-dir") => files.state_dir = Some(parser.value().map_err(say)?.into()),
            other => return Err(other.unexpected().to_string()),
        }
    }
    Ok(Mode::Starter(files))
}

// Reads a user id and a group id; None if neither is given.
fn account(parser: &mut lexopt::Parser) -> Result<Option<Account>, String> {
    let mut ids = Vec::new();
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        match argument {
            Value(id) => ids.push(id.parse().map_err(|error| error.to_string())?),
            other => return Err(other.unexpected().to_string()),
        }
    }
    match ids[..] {
        [] => Ok(None),
        [uid, gid] => Ok(Some((uid, gid))),
        _ => Err("an account needs a user id and a group id".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Mode, String> {
        parse(words.iter().map(OsString::from))
    }

    #[test]
    fn options_have_defaults() {
        let Ok(Mode::Run(options)) = parsed(&["run", "--config", "x.toml"]) else {
            panic!("run is a mode");
        };
        assert_eq!(options.config, Some(PathBuf::from("x.toml")));
        assert_eq!(options.runtime_dir, PathBuf::from("/run/spared"));
    }

    #[test]
    fn what_is_unknown_is_refused() {
        for words in [
            &["fly"][..],
            &["run", "--fly"],
            &["run", "--config"],
            &["run", "x"],
            &[],
        ] {
            assert!(parsed(words).is_err(), "{words:?}");
        }
    }
}
