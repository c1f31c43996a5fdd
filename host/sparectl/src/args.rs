//! What was typed, as a [`Command`].

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::prelude::*;
use spared_control::Force;

/// A whole command line.
#[derive(Debug, PartialEq)]
pub struct Args {
    pub runtime_dir: PathBuf,
    pub json: bool,
    pub verbose: bool,
    pub command: Command,
}

#[derive(Debug, PartialEq)]
pub enum Command {
    Help,
    Version,
    Status,
    Why {
        group: Option<String>,
    },
    Events {
        limit: usize,
    },
    Plugins,
    /// Passed on to `spared check`.
    Check {
        argv: Vec<OsString>,
    },
    Reload,
    Force {
        to: Force,
        group: Option<String>,
    },
    Probe(Probe),
    Plugin {
        name: String,
        argv: Vec<String>,
    },
}

#[derive(Debug, PartialEq)]
pub enum Probe {
    /// As `status`.
    Ready,
    /// The daemon answers.
    Live,
    /// This node holds the group, or every group.
    Active { group: Option<String> },
}

pub const DEFAULT_RUNTIME_DIR: &str = "/run/spared";
const DEFAULT_EVENTS: usize = 20;

pub fn parse(argv: impl IntoIterator<Item = OsString>) -> Result<Args, lexopt::Error> {
    let mut args = Args {
        runtime_dir: DEFAULT_RUNTIME_DIR.into(),
        json: false,
        verbose: false,
        command: Command::Help,
    };
    let mut words = Vec::new();
    let mut limit = None;
    let mut probe = None;

    let mut parser = lexopt::Parser::from_iter(argv);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("runtime-dir") => args.runtime_dir = parser.value()?.into(),
            Long("json") => args.json = true,
            Short('v') | Long("verbose") => args.verbose = true,
            Short('h') | Long("help") => return Ok(args),
            Short('V') | Long("version") => {
                args.command = Command::Version;
                return Ok(args);
            }
            Short('n') if is(&words, "events") => limit = Some(parser.value()?.parse()?),
            Long("live") if is(&words, "probe") => probe = Some(Probe::Live),
            Long("active") if is(&words, "probe") => probe = Some(Probe::Active { group: None }),
            Value(word) => {
                words.push(word.string()?);
                if let Some(command) = passed_on(&words, &mut parser)? {
                    args.command = command;
                    return Ok(args);
                }
            }
            other => return Err(other.unexpected()),
        }
    }
    args.command = command(words, limit, probe)?;
    Ok(args)
}

fn is(words: &[String], verb: &str) -> bool {
    words.first().is_some_and(|word| word == verb)
}

// Verbs whose remaining words belong to somebody else: to `spared check` or to a plugin.
fn passed_on(
    words: &[String],
    parser: &mut lexopt::Parser,
) -> Result<Option<Command>, lexopt::Error> {
    let [verb] = words else { return Ok(None) };
    match verb.as_str() {
        "help" | "status" | "why" | "events" | "plugins" | "reload" | "force" | "probe" => Ok(None),
        "check" => Ok(Some(Command::Check {
            argv: parser.raw_args()?.collect(),
        })),
        name => {
            let argv = parser.raw_args()?.map(|word| word.string());
            Ok(Some(Command::Plugin {
                name: name.to_owned(),
                argv: argv.collect::<Result<_, _>>()?,
            }))
        }
    }
}

fn command(
    words: Vec<String>,
    limit: Option<usize>,
    probe: Option<Probe>,
) -> Result<Command, lexopt::Error> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Ok(match words.as_slice() {
        [] => return Err("a verb is missing; see sparectl help".into()),
        ["help", ..] => Command::Help,
        ["status"] => Command::Status,
        ["why"] => Command::Why { group: None },
        ["why", group] => Command::Why {
            group: Some((*group).to_owned()),
        },
        ["events"] => Command::Events {
            limit: limit.unwrap_or(DEFAULT_EVENTS),
        },
        ["plugins"] => Command::Plugins,
        ["reload"] => Command::Reload,
        ["force", to] => Command::Force {
            to: force(to)?,
            group: None,
        },
        ["force", to, group] => Command::Force {
            to: force(to)?,
            group: Some((*group).to_owned()),
        },
        ["force"] => return Err("force: say active, backup or reset".into()),
        ["probe"] => Command::Probe(probe.unwrap_or(Probe::Ready)),
        ["probe", group] => match probe {
            Some(Probe::Active { .. }) => Command::Probe(Probe::Active {
                group: Some((*group).to_owned()),
            }),
            _ => return Err("probe: a group goes with --active only".into()),
        },
        [verb, ..] => return Err(format!("{verb}: too many words").into()),
    })
}

fn force(word: &str) -> Result<Force, lexopt::Error> {
    match word {
        "active" => Ok(Force::Active),
        "backup" => Ok(Force::Backup),
        "reset" => Ok(Force::Reset),
        _ => Err(format!("force: {word:?} is none of active, backup, reset").into()),
    }
}

pub const HELP: &str = "\
usage: sparectl [--runtime-dir DIR] [--json] [-v] VERB

ask
  status              who is active, what is degraded and what to do (-v: timers and counters)
  why [GROUP]         why this node has its role
  events [-n N]       the last N events (20)
  plugins             what runs, and what does not and why
  probe               for monitoring: one word and the exit code of status
  probe --live        0 when the daemon answers
  probe --active [GROUP]
                      0 when this node is active for the group (for every group)
  check [--config FILE] [--plugin-dir DIR]
                      validates the files and warns of what will not work; changes nothing
  PLUGIN WORDS...     asks a plugin, e.g. sparectl vrrp counters

change (root)
  reload              validates and applies the files; a wrong file changes nothing
  force active|backup|reset [GROUP]
                      overrules the election on this node until `force reset`

exit codes of status and probe
  0 fine  1 degraded  2 alone, or both active  3 none active  4 the daemon does not answer
of the other verbs
  0 done  1 refused or failed  4 the daemon does not answer
  64 wrong usage  77 no permission  78 wrong configuration
";

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Args, String> {
        parse(line.split_whitespace().map(OsString::from)).map_err(|e| e.to_string())
    }

    fn command_of(line: &str) -> Command {
        parsed(line)
            .map(|args| args.command)
            .unwrap_or(Command::Help)
    }

    #[test]
    fn options_may_stand_before_and_after_the_verb() {
        let before = parsed("sparectl --runtime-dir /x --json status");
        assert_eq!(before, parsed("sparectl status --json --runtime-dir /x"));
        assert!(
            before.is_ok_and(|args| args.json && args.runtime_dir == std::path::Path::new("/x"))
        );
    }

    #[test]
    fn what_follows_a_plugin_belongs_to_the_plugin() {
        assert_eq!(
            command_of("sparectl -v vrrp counters --json"),
            Command::Plugin {
                name: "vrrp".into(),
                argv: vec!["counters".into(), "--json".into()]
            }
        );
    }

    #[test]
    fn verbs_take_their_own_words() {
        assert_eq!(
            command_of("sparectl events -n 3"),
            Command::Events { limit: 3 }
        );
        assert_eq!(
            command_of("sparectl force backup office"),
            Command::Force {
                to: Force::Backup,
                group: Some("office".into())
            }
        );
        assert_eq!(
            command_of("sparectl probe --active office"),
            Command::Probe(Probe::Active {
                group: Some("office".into())
            })
        );
        assert_eq!(
            command_of("sparectl probe --live"),
            Command::Probe(Probe::Live)
        );
        assert_eq!(
            command_of("sparectl check --config /x"),
            Command::Check {
                argv: vec!["--config".into(), "/x".into()]
            }
        );
    }

    #[test]
    fn wrong_words_are_refused_by_name() {
        for (line, why) in [
            ("sparectl", "a verb is missing; see sparectl help"),
            ("sparectl force", "force: say active, backup or reset"),
            (
                "sparectl force up",
                "force: \"up\" is none of active, backup, reset",
            ),
            ("sparectl status now", "status: too many words"),
            (
                "sparectl probe office",
                "probe: a group goes with --active only",
            ),
            ("sparectl status -n 3", "invalid option '-n'"),
        ] {
            assert_eq!(
                parsed(line).map(|args| args.command),
                Err(why.into()),
                "{line}"
            );
        }
    }
}
