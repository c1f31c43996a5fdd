//! Queries and controls spared over its control socket.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::Duration;

use spared_message::control::{Answer, AskError, ErrorCode, Fault, GroupStatus, Request, Status};

use crate::args::{Args, Command, Probe};

mod args;
mod as_root;
mod check;
mod config;
mod consent;
mod diff;
mod files;
mod folder;
mod force;
mod identity;
mod import;
mod init;
mod keygen;
mod left_over;
mod line;
mod metrics;
mod nagios;
mod nearest;
mod output;
mod pair;
mod refusal;
mod render;
mod report;
mod since;
mod snmp;
mod upgrade;
mod used;
mod watch;
mod web_password;

// Exit codes other than those of the verdict.
const EXIT_FAILED: u8 = 1;
const EXIT_ATTENTION: u8 = 1;
const EXIT_DOWN: u8 = 4;
const EXIT_USAGE: u8 = 64;
const EXIT_PERMISSION: u8 = 77;
const EXIT_CONFIG: u8 = 78;

fn main() -> ExitCode {
    let args = match args::parse(std::env::args_os()) {
        Ok(args) => args,
        Err(error) => return ExitCode::from(output::usage(&error)),
    };
    ExitCode::from(run(&args))
}

fn run(args: &Args) -> u8 {
    match &args.command {
        Command::Check { peer, argv } => check::run(args, *peer, argv),
        Command::Report { out, argv } => report::run(args, out.as_deref(), argv),
        Command::ConfigPush(push) => config::push(args, *push),
        Command::Init(init) => init::run(args, init),
        Command::Import(import) => import::run(args, import),
        Command::Pair(pair) => pair::run(args, pair),
        Command::Unpair(unpair) => pair::leave(args, unpair),
        Command::Identity(identity) => identity::run(args, identity),
        Command::Upgrade(upgrade) => upgrade::run(args, *upgrade),
        Command::Keygen { file, replace } => keygen::run(file, *replace),
        Command::Watch => watch::run(args),
        Command::Metrics(metrics) => metrics::run(args, metrics),
        Command::Snmp => snmp::run(args),
        Command::Probe(Probe::Nagios(thresholds)) => nagios::run(args, thresholds),
        Command::Probe(probe) => self::probe(args, probe),
        Command::Completions(shell) => {
            output::text(&args::completions(*shell));
            0
        }
        Command::Ask(request) => asked(args, request),
    }
}

// Two words of plugins need what this program alone has: the rights of its user, and the terminal.
fn asked(args: &Args, request: &Request) -> u8 {
    if let Some(file) = web_password::of(args, request) {
        return web_password::run(&file);
    }
    match diff::of(args, request) {
        Some(diff) => diff::run(args, diff),
        None => answered(args, request),
    }
}

fn answered(args: &Args, request: &Request) -> u8 {
    match ask(args, request) {
        Ok(answer) => show(args, request, &answer),
        Err(error) => down(args, request, &error),
    }
}

/// Queries the daemon of this node or, through it, the daemon of the node that `--node` names.
fn ask(args: &Args, request: &Request) -> Result<Answer, AskError> {
    let patience = patience(request);
    match &args.node {
        None => spared_message::control::ask(&args.runtime_dir, request, patience),
        Some(node) => {
            let request = Request::Node {
                node: node.clone(),
                request: Box::new(request.clone()),
            };
            spared_message::control::ask(&args.runtime_dir, &request, patience)
        }
    }
}

// Maximum wait for an answer. A reload starts workers to validate the files, and waits for those that must be
// restarted.
fn patience(request: &Request) -> Duration {
    match request {
        Request::Reload { .. } | Request::ReloadToConfirm { .. } | Request::TakeBack => {
            Duration::from_secs(60)
        }
        Request::Plugin { .. }
        | Request::Force { .. }
        | Request::Switch { .. }
        | Request::Maintenance { .. } => Duration::from_secs(15),
        _ => Duration::from_secs(5),
    }
}

fn show(args: &Args, request: &Request, answer: &Answer) -> u8 {
    if args.json {
        output::json(answer);
        return exit_code(answer);
    }
    let columns = output::columns().unwrap_or(render::wrap::UNLIMITED);
    let text = match answer {
        Answer::Status(status) => {
            output::verdict(&render::status(status, args.verbose, columns));
            return exit_code(answer);
        }
        Answer::Why { groups } => render::why(groups),
        Answer::History(past) => render::history(past, columns),
        Answer::Events { events } => render::events(events),
        Answer::Plugins { plugins } => render::plugins(plugins, columns),
        Answer::Rows {
            rows,
            kinds,
            missing,
            ..
        } => {
            let brief = files::brief(request, rows).filter(|_| !args.verbose);
            render::rows(brief.as_ref().unwrap_or(rows), kinds, *missing, columns)
        }
        // only `report` gets this answer
        Answer::Report { .. } => String::new(),
        Answer::Done { lines } => match request {
            Request::Force { to, group, .. } => {
                let group = group.as_deref();
                let outcome = force::outcome(args, *to, group);
                render::forced(&[lines.as_slice(), &outcome].concat(), *to, group)
            }
            _ => render::sentences(lines),
        },
        Answer::Error { lines, code } => {
            let unknown = (*code == ErrorCode::Usage).then(|| unknown_word(args, request));
            match unknown.flatten() {
                Some(line) => output::errors(&[line]),
                None => output::errors(lines),
            }
            let is_reload = matches!(
                request,
                Request::Reload { .. } | Request::ReloadToConfirm { .. }
            );
            if is_reload && *code == ErrorCode::Config {
                let kept = "nothing changed: the configuration from before stays in force";
                output::errors(&[kept.to_owned()]);
            }
            return exit_code(answer);
        }
    };
    output::text(&text);
    exit_code(answer)
}

// Error for a word that is neither a verb nor a plugin; None if the plugin exists.
fn unknown_word(args: &Args, request: &Request) -> Option<String> {
    let Request::Plugin { name, .. } = request else {
        return None;
    };
    let Ok(Answer::Plugins { plugins }) = ask(args, &Request::Plugins) else {
        return None;
    };
    let plugins: Vec<String> = plugins.into_iter().map(|plugin| plugin.name).collect();
    if plugins.contains(name) {
        return None;
    }
    let hint = match nearest::nearest(name, &plugins) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => "`sparectl help` lists the verbs, `sparectl plugins` the plugins".to_owned(),
    };
    Some(format!("there is no verb and no plugin \"{name}\": {hint}"))
}

fn exit_code(answer: &Answer) -> u8 {
    match answer {
        Answer::Status(status) => status.verdict.word.exit_code(),
        Answer::Rows {
            attention: true, ..
        } => EXIT_ATTENTION,
        Answer::Error { code, .. } => match code {
            ErrorCode::Usage => EXIT_USAGE,
            ErrorCode::Permission => EXIT_PERMISSION,
            ErrorCode::Config => EXIT_CONFIG,
            ErrorCode::Refused | ErrorCode::Failed => EXIT_FAILED,
        },
        _ => 0,
    }
}

// Handles a missing answer. For `status`, the addresses left in the kernel matter most.
fn down(args: &Args, request: &Request, error: &AskError) -> u8 {
    let status = matches!(request, Request::Status);
    let gone = error.is_down();
    let left = if status && gone {
        left_over::addresses()
    } else {
        Ok(Vec::new())
    };
    if args.json {
        output::json_down(error, &left.unwrap_or_default());
    } else {
        output::errors(&[error.to_string()]);
        if is_order(request) && matches!(error.fault, Fault::Silent(_)) {
            output::errors(&["nothing was changed, and spared drops this command".to_owned()]);
        }
        if let Request::Plugin { name, .. } = request {
            let near = nearest::nearest(name, &[]);
            output::errors(&Vec::from_iter(
                near.map(|it| format!("did you mean \"{it}\"?")),
            ));
        }
        if status && gone {
            output::errors(&[start_again(error).to_owned()]);
            output::text(&left_over::sentence(&left));
        }
    }
    exit_code_down(error)
}

// Advice to start the daemon again. For systemd a daemon that hangs is running, and `start` does nothing.
fn start_again(error: &AskError) -> &'static str {
    match error.fault {
        Fault::NotRunning => "`journalctl -u spared` says why, `systemctl start spared` starts it",
        _ => {
            "`journalctl -u spared` may say why, `systemctl restart spared` ends it and starts it again"
        }
    }
}

// Returns true for requests that change something. Only the daemon knows this about verbs of plugins.
fn is_order(request: &Request) -> bool {
    matches!(
        request,
        Request::Reload { .. }
            | Request::ReloadToConfirm { .. }
            | Request::Confirm
            | Request::TakeBack
            | Request::Force { .. }
            | Request::Switch { .. }
            | Request::Maintenance { .. }
            | Request::Freeze { .. }
            | Request::Arm
            | Request::Restart
    )
}

fn exit_code_down(error: &AskError) -> u8 {
    match error.fault {
        Fault::Permission => EXIT_PERMISSION,
        _ => EXIT_DOWN,
    }
}

fn probe(args: &Args, probe: &Probe) -> u8 {
    let (word, code) = match ask(args, &Request::Status) {
        Ok(Answer::Status(status)) => probed(probe, &status),
        Ok(_) => ("failed", EXIT_FAILED),
        Err(error) if matches!(error.fault, Fault::Permission) => {
            ("no-permission", EXIT_PERMISSION)
        }
        Err(_) => ("down", EXIT_DOWN),
    };
    output::text(&format!("{word}\n"));
    code
}

fn probed(probe: &Probe, status: &Status) -> (&'static str, u8) {
    match probe {
        Probe::Live => ("live", 0),
        Probe::Ready | Probe::Nagios(_) => {
            let word = status.verdict.word;
            (word.probe_word(), word.exit_code())
        }
        Probe::Active { group } => {
            let asked = |it: &&GroupStatus| group.as_ref().is_none_or(|name| *name == it.name);
            let groups: Vec<&GroupStatus> = status.groups.iter().filter(asked).collect();
            match groups.as_slice() {
                [] => ("unknown", EXIT_USAGE),
                groups if groups.iter().all(|it| it.role == "active") => ("active", 0),
                _ => ("inactive", EXIT_FAILED),
            }
        }
    }
}
