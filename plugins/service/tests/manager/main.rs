// SPDX-License-Identifier: MIT OR Apache-2.0
//! Commands for each service manager, word by word, and the interpretation of its answers.

mod answers;
mod bus;
mod commands;
mod systemd;

use spared_service::job::{Manager, Service, Status, Verb};
use spared_service::manager::{self, QueryResult, StatusQuery, Triggers};

fn unit(manager: Manager, unit: &str) -> Service {
    Service::Unit {
        manager,
        unit: unit.to_owned(),
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Commands for a verb, one per line.
fn commands(service: &Service, verb: Verb, triggers: &mut Triggers) -> String {
    let commands = manager::commands(service, verb, triggers).unwrap_or_default();
    let lines: Vec<String> = commands.iter().map(|argv| argv.join(" ")).collect();
    lines.join("\n")
}

fn check_table(service: &Service, table: &[(Verb, &str)]) {
    for (verb, wanted) in table {
        let wanted: Vec<&str> = wanted.lines().map(str::trim).collect();
        let found = commands(service, *verb, &mut Triggers::default());
        assert_eq!(found, wanted.join("\n"), "{verb:?}");
    }
}

fn parsed(service: &Service, code: i32, output: &str) -> Status {
    let query = StatusQuery {
        argv: Vec::new(),
        services: vec![service.clone()],
    };
    let triggers = &mut Triggers::default();
    match manager::parse_answer(&query, Some(code), output, true, triggers) {
        QueryResult::Known(mut statuses) => statuses.pop().expect("one status"),
        more => panic!("{more:?}"),
    }
}

fn failed(why: &str) -> Status {
    Status::Failed(why.to_owned())
}

fn missing(why: &str) -> Status {
    Status::Missing(why.to_owned())
}

fn unknown(why: &str) -> Status {
    Status::Unknown(why.to_owned())
}
