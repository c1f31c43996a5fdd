//! Command-line arguments.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::prelude::*;
use spared_config::{DEFAULT_PLUGIN_DIR, DEFAULT_RUNTIME_DIR, Options};

pub const HELP: &str = "\
spared: high availability for a pair of Linux routers.

    spared run [--config FILE] [--runtime-dir DIR] [--plugin-dir DIR]
    spared check [--config FILE] [--plugin-dir DIR]

    --config FILE      default /etc/spared/spared.toml; plugins/NAME.toml beside it
    --runtime-dir DIR  default /run/spared
    --plugin-dir DIR   default /usr/lib/spared/plugins

Exit codes: 0 success, 64 wrong arguments, 66 no such file, 69 not available here,
71 system error, 77 no permission, 78 wrong configuration. See spared(8).";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    Run(Options),
    Check(Options),
    /// Started by `sparectl report`, and by `run` when the peer asks for this node's half.
    Report(Options),
    /// Started by `run`, one per plugin.
    Worker,
    /// Started by `run` if a peer is configured.
    Link,
    /// Started by `run` if there is a link.
    Firewall,
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
        Some(Value(word)) if word == "firewall" => Ok(Mode::Firewall),
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
    };
    while let Some(argument) = parser.next().map_err(say)? {
        match argument {
            Long("config") => options.config = Some(parser.value().map_err(say)?.into()),
            Long("runtime-dir") => options.runtime_dir = parser.value().map_err(say)?.into(),
            Long("plugin-dir") => options.plugin_dir = parser.value().map_err(say)?.into(),
            Long("help") | Short('h') => return Ok(Mode::Help),
            other => return Err(other.unexpected().to_string()),
        }
    }
    Ok(mode(options))
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
