//! Writes orders as an administrator types them, for the log.

use std::fmt::{self, Display, Formatter};

use crate::control::{Force, Request};

impl Request {
    /// The command of `sparectl` that sends this request, such as "sparectl force active office".
    pub fn command(&self) -> impl Display + '_ {
        Command(self)
    }
}

struct Command<'a>(&'a Request);

impl Display for Command<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Request::Node { node, request } => {
                write!(f, "sparectl --node {node}")?;
                words(f, request)
            }
            request => {
                write!(f, "sparectl")?;
                words(f, request)
            }
        }
    }
}

fn words(f: &mut Formatter<'_>, request: &Request) -> fmt::Result {
    match request {
        Request::Status | Request::OwnStatus => write!(f, " status"),
        Request::Metrics => write!(f, " metrics"),
        Request::Why { group } => {
            write!(f, " why")?;
            option(f, "", group.as_deref())
        }
        Request::History(_) | Request::OwnHistory(_) => write!(f, " history"),
        Request::OwnReport { .. } => write!(f, " report"),
        Request::Events { limit } => write!(f, " events -n {limit}"),
        Request::Plugins => write!(f, " plugins"),
        Request::Reload { anyway } => {
            write!(f, " reload")?;
            consent(f, *anyway)
        }
        Request::ReloadToConfirm {
            anyway,
            within_s,
            across_restarts,
        } => {
            write!(f, " reload --confirm {within_s}s")?;
            option(f, "", across_restarts.then_some("--across-restarts"))?;
            consent(f, *anyway)
        }
        Request::Confirm => write!(f, " confirm"),
        Request::TakeBack => write!(f, " reload --back"),
        Request::Force { group, to, anyway } => {
            let to = match to {
                Force::Active => "active",
                Force::Backup => "backup",
                Force::Reset => "reset",
            };
            write!(f, " force {to}")?;
            option(f, "", group.as_deref())?;
            consent(f, *anyway)
        }
        Request::Switch { group, to, anyway } => {
            write!(f, " switch")?;
            option(f, "--to ", to.as_deref())?;
            option(f, "", group.as_deref())?;
            consent(f, *anyway)
        }
        Request::Maintenance { on: false, .. } => write!(f, " maintenance off"),
        Request::Maintenance { for_s, anyway, .. } => {
            write!(f, " maintenance on")?;
            option(f, "--for ", for_s.map(|it| format!("{it}s")).as_deref())?;
            consent(f, *anyway)
        }
        Request::Freeze { for_ms: 0 } => write!(f, " freeze off"),
        Request::Freeze { for_ms } => write!(f, " freeze {for_ms}ms"),
        Request::Arm => write!(f, " arm"),
        // the only verb that restarts a node
        Request::Restart => write!(f, " upgrade"),
        // A request names one node: a request within this one is refused.
        Request::Node { node, .. } => write!(f, " --node {node}"),
        Request::Plugin { name, argv } => {
            write!(f, " {name}")?;
            argv.iter().try_for_each(|word| write!(f, " {word}"))
        }
    }
}

fn option(f: &mut Formatter<'_>, name: &str, value: Option<&str>) -> fmt::Result {
    value.map_or(Ok(()), |value| write!(f, " {name}{value}"))
}

fn consent(f: &mut Formatter<'_>, anyway: bool) -> fmt::Result {
    option(f, "", anyway.then_some("--anyway"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_named_as_it_is_typed() {
        let office = || Some("office".to_owned());
        let force = Request::Force {
            group: office(),
            to: Force::Active,
            anyway: true,
        };
        let switch = Request::Switch {
            group: office(),
            to: Some("r2".to_owned()),
            anyway: false,
        };
        let maintenance = |on, for_s| Request::Maintenance {
            on,
            for_s,
            anyway: false,
        };
        let there = Request::Node {
            node: "r2".to_owned(),
            request: Box::new(switch.clone()),
        };
        let plugin = Request::Plugin {
            name: "files".to_owned(),
            argv: vec!["push".to_owned(), "etc".to_owned()],
        };
        for (request, command) in [
            (force, "sparectl force active office --anyway"),
            (switch, "sparectl switch --to r2 office"),
            (there, "sparectl --node r2 switch --to r2 office"),
            (
                maintenance(true, Some(60)),
                "sparectl maintenance on --for 60s",
            ),
            (maintenance(false, None), "sparectl maintenance off"),
            (Request::Freeze { for_ms: 0 }, "sparectl freeze off"),
            (
                Request::Freeze { for_ms: 30_000 },
                "sparectl freeze 30000ms",
            ),
            (Request::Reload { anyway: false }, "sparectl reload"),
            (
                Request::ReloadToConfirm {
                    anyway: true,
                    within_s: 60,
                    across_restarts: true,
                },
                "sparectl reload --confirm 60s --across-restarts --anyway",
            ),
            (Request::Confirm, "sparectl confirm"),
            (Request::TakeBack, "sparectl reload --back"),
            (Request::Arm, "sparectl arm"),
            (Request::Restart, "sparectl upgrade"),
            (plugin, "sparectl files push etc"),
        ] {
            assert_eq!(request.command().to_string(), command);
        }
    }
}
