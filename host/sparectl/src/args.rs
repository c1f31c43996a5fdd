//! What was typed, as a [`Command`].

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::*;
use spared_control::{Force, Request};
use spared_sdk::config::parse_duration;

/// A whole command line.
#[derive(Debug, PartialEq)]
pub struct Args {
    pub runtime_dir: PathBuf,
    pub json: bool,
    pub verbose: bool,
    /// The node that is asked, over the link; None: this one.
    pub node: Option<String>,
    pub command: Command,
}

#[derive(Debug, PartialEq)]
pub enum Command {
    Help,
    Version,
    /// Answered by the daemon.
    Ask(Request),
    Watch,
    /// Passed on to `spared check`.
    Check {
        peer: bool,
        argv: Vec<OsString>,
    },
    Probe(Probe),
    Keygen {
        file: Option<PathBuf>,
        replace: bool,
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
        node: None,
        command: Command::Help,
    };
    let mut line = Line::default();
    let mut parser = lexopt::Parser::from_iter(argv);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("runtime-dir") => args.runtime_dir = parser.value()?.into(),
            Long("node") => args.node = Some(parser.value()?.string()?),
            Long("json") => args.json = true,
            Short('v') | Long("verbose") => args.verbose = true,
            Short('h') | Long("help") => return Ok(args),
            Short('V') | Long("version") => {
                args.command = Command::Version;
                return Ok(args);
            }
            Short('n') if line.is("events") => line.limit = Some(parser.value()?.parse()?),
            Long("live") if line.is("probe") => line.probe = Some(Probe::Live),
            Long("active") if line.is("probe") => {
                line.probe = Some(Probe::Active { group: None });
            }
            Long("to") if line.is("switch") => line.to = Some(parser.value()?.string()?),
            Long("for") if line.is("maintenance") => {
                line.time = Some(time("maintenance", &parser.value()?.string()?)?);
            }
            Long("anyway") if line.is_planned() => line.anyway = true,
            Long("file") if line.is("keygen") => line.file = Some(parser.value()?.into()),
            Long("replace") if line.is("keygen") => line.replace = true,
            Value(word) => {
                line.words.push(word.string()?);
                if let Some(command) = passed_on(&line.words, &mut parser)? {
                    args.command = command;
                    return Ok(args);
                }
            }
            other => return Err(other.unexpected()),
        }
    }
    args.command = line.command()?;
    Ok(args)
}

/// Words and options of a verb.
#[derive(Default)]
struct Line {
    words: Vec<String>,
    limit: Option<usize>,
    probe: Option<Probe>,
    to: Option<String>,
    time: Option<Duration>,
    anyway: bool,
    file: Option<PathBuf>,
    replace: bool,
}

// Verbs whose remaining words belong to somebody else: to `spared check` or to a plugin.
fn passed_on(
    words: &[String],
    parser: &mut lexopt::Parser,
) -> Result<Option<Command>, lexopt::Error> {
    let [verb] = words else { return Ok(None) };
    match verb.as_str() {
        "help" | "status" | "watch" | "why" | "events" | "plugins" | "reload" | "switch"
        | "force" | "maintenance" | "freeze" | "probe" | "keygen" => Ok(None),
        "check" => {
            let mut argv: Vec<OsString> = parser.raw_args()?.collect();
            let all = argv.len();
            argv.retain(|word| word != "--peer");
            let peer = argv.len() < all;
            Ok(Some(Command::Check { peer, argv }))
        }
        name => {
            let argv = parser.raw_args()?.map(|word| word.string());
            Ok(Some(Command::Ask(Request::Plugin {
                name: name.to_owned(),
                argv: argv.collect::<Result<_, _>>()?,
            })))
        }
    }
}

impl Line {
    fn is(&self, verb: &str) -> bool {
        self.words.first().is_some_and(|word| word == verb)
    }

    fn is_planned(&self) -> bool {
        self.is("switch") || self.is("force") || self.is("maintenance")
    }

    fn command(self) -> Result<Command, lexopt::Error> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        Ok(match words.as_slice() {
            [] => return Err("a verb is missing; see sparectl help".into()),
            ["help", ..] => Command::Help,
            ["watch"] => Command::Watch,
            ["keygen"] => Command::Keygen {
                file: self.file,
                replace: self.replace,
            },
            ["probe"] => Command::Probe(self.probe.unwrap_or(Probe::Ready)),
            ["probe", group] => match self.probe {
                Some(Probe::Active { .. }) => Command::Probe(Probe::Active {
                    group: Some((*group).to_owned()),
                }),
                _ => return Err("probe: a group goes with --active only".into()),
            },
            words => Command::Ask(self.request(words)?),
        })
    }

    fn request(&self, words: &[&str]) -> Result<Request, lexopt::Error> {
        let named = |group: &str| Some(group.to_owned());
        let (group, anyway) = (None, self.anyway);
        Ok(match words {
            ["status"] => Request::Status,
            ["why"] => Request::Why { group },
            ["why", group] => Request::Why {
                group: named(group),
            },
            ["events"] => Request::Events {
                limit: self.limit.unwrap_or(DEFAULT_EVENTS),
            },
            ["plugins"] => Request::Plugins,
            ["reload"] => Request::Reload,
            ["switch"] => self.switch(group),
            ["switch", group] => self.switch(named(group)),
            ["force", to] => Request::Force {
                to: force(to)?,
                group,
                anyway,
            },
            ["force", to, group] => Request::Force {
                to: force(to)?,
                group: named(group),
                anyway,
            },
            ["force"] => return Err("force: say active, backup or reset".into()),
            ["maintenance", "on"] => Request::Maintenance {
                on: true,
                for_s: self.time.map(|time| time.as_secs()),
                anyway,
            },
            ["maintenance", "off"] => Request::Maintenance {
                on: false,
                for_s: None,
                anyway,
            },
            ["maintenance", ..] => return Err("maintenance: say on or off".into()),
            ["freeze", "off"] => Request::Freeze { for_ms: 0 },
            ["freeze", text] => Request::Freeze {
                for_ms: u64::try_from(time("freeze", text)?.as_millis()).unwrap_or(u64::MAX),
            },
            ["freeze"] => return Err("freeze: say for how long, like 30s, or off".into()),
            [verb, ..] => return Err(format!("{verb}: too many words").into()),
            [] => return Err("a verb is missing; see sparectl help".into()),
        })
    }

    fn switch(&self, group: Option<String>) -> Request {
        Request::Switch {
            group,
            to: self.to.clone(),
            anyway: self.anyway,
        }
    }
}

fn force(word: &str) -> Result<Force, lexopt::Error> {
    match word {
        "active" => Ok(Force::Active),
        "backup" => Ok(Force::Backup),
        "reset" => Ok(Force::Reset),
        _ => Err(format!("force: {word:?} is none of active, backup, reset").into()),
    }
}

fn time(verb: &str, text: &str) -> Result<Duration, lexopt::Error> {
    let time = parse_duration(text).filter(|time| !time.is_zero());
    time.ok_or_else(|| format!("{verb}: {text:?} is no time like 30s, 10m or 2h").into())
}

pub const HELP: &str = "\
usage: sparectl [--node NODE] [--runtime-dir DIR] [--json] [-v] VERB

    --node NODE       asks the other node, over the link

ask
  status              who is active, what is degraded and what to do (-v: timers and counters)
  watch               the same, live, with events and the traffic of the links; q ends it
  why [GROUP]         why this node has its role
  events [-n N]       the last N events (20)
  plugins             what runs, and what does not and why
  probe               for monitoring: one word and the exit code of status
  probe --live        0 when the daemon answers
  probe --active [GROUP]
                      0 when this node is active for the group (for every group)
  check [--peer] [--config FILE] [--plugin-dir DIR]
                      validates the files and warns of what will not work; changes nothing
                      (--peer: also says which keys differ from the other node's)
  PLUGIN WORDS...     asks a plugin, e.g. sparectl vrrp counters

change (root)
  reload              validates and applies the files; a wrong file changes nothing
  switch [--to NODE] [GROUP]
                      hands over without losing a packet, from either node
  force active|backup|reset [GROUP]
                      overrules the election on this node until `force reset`
  maintenance on [--for 2h] | off
                      this node stands aside, also over a restart
  freeze 30s | off    no change of role for quality or preference, on both nodes
  keygen [--file FILE] [--replace]
                      makes this node's key, and prints its line for [nodes]

  switch, force and maintenance refuse what the other node is not ready for; --anyway does it

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

    fn request_of(line: &str) -> Option<Request> {
        match command_of(line) {
            Command::Ask(request) => Some(request),
            _ => None,
        }
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
            request_of("sparectl -v vrrp counters --json"),
            Some(Request::Plugin {
                name: "vrrp".into(),
                argv: vec!["counters".into(), "--json".into()]
            })
        );
    }

    #[test]
    fn verbs_take_their_own_words() {
        assert_eq!(
            request_of("sparectl events -n 3"),
            Some(Request::Events { limit: 3 })
        );
        assert_eq!(
            request_of("sparectl force backup office --anyway"),
            Some(Request::Force {
                to: Force::Backup,
                group: Some("office".into()),
                anyway: true
            })
        );
        assert_eq!(
            request_of("sparectl switch --to utm2"),
            Some(Request::Switch {
                group: None,
                to: Some("utm2".into()),
                anyway: false
            })
        );
        assert_eq!(
            request_of("sparectl maintenance on --for 2h"),
            Some(Request::Maintenance {
                on: true,
                for_s: Some(7200),
                anyway: false
            })
        );
        assert_eq!(
            request_of("sparectl freeze 30s"),
            Some(Request::Freeze { for_ms: 30_000 })
        );
        assert_eq!(command_of("sparectl watch"), Command::Watch);
        assert_eq!(
            command_of("sparectl keygen --file /x --replace"),
            Command::Keygen {
                file: Some("/x".into()),
                replace: true
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
            command_of("sparectl check --peer --config /x"),
            Command::Check {
                peer: true,
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
            ("sparectl status --anyway", "invalid option '--anyway'"),
            ("sparectl maintenance", "maintenance: say on or off"),
            (
                "sparectl freeze soon",
                "freeze: \"soon\" is no time like 30s, 10m or 2h",
            ),
            (
                "sparectl freeze",
                "freeze: say for how long, like 30s, or off",
            ),
        ] {
            assert_eq!(
                parsed(line).map(|args| args.command),
                Err(why.into()),
                "{line}"
            );
        }
    }
}
