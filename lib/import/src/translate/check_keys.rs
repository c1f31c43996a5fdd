//! Keys of each kind of check, as lines of its table in health.toml.

use std::fmt::Write;
use std::ops::RangeInclusive;

use spared_config_reader::{is_path, toml_text};

use super::command::{Target, shell_sign, target};
use super::echo::{Echoes, is_capable};
use super::route::of_both;
use super::tracked::Weight;
use super::{Both, SECONDS_MAX, Translation, child};
use crate::table::{USER, USER_TODO};
use crate::toml::{Each, each, list, time};
use crate::tree::Statement;

/// Shortest and longest time of a check between two runs.
const INTERVAL_MS: RangeInclusive<u64> = 100..=86_400_000;
const TIMEOUT_MS_MAX: u64 = 60_000;
/// Words of a script.
const WORDS_MAX: usize = 64;
const CAPABLE: &str =
    "a program with file capabilities, such as ping, gets none in a check, and fails";
const CAPABLE_TODO: &str = "a `[[ping]]` of plugins/health.toml in its place; `sudo -u spared-health SCRIPT` gives the capabilities, and proves nothing";
const FIRST_WORD: &str =
    "keepalived runs the first word alone, without the arguments behind it, and so do the files";
const NO_SHELL_TODO: &str =
    "nothing, or `/bin/sh -c` with the line in quotes, if a shell was meant, and import again";
const SIGNALS: &str = "user spared-health may send no signal to processes of others: `kill -0` fails, whether they live or not";
const SIGNALS_TODO: &str = "a `[[process]]` of plugins/health.toml in its place";
/// Shortest interval of a `[[ping]]`, and its greatest `fall`.
const ECHO_MS_MIN: u64 = 100;
const FALL_MAX: i64 = 100;
/// Letters of a process.
const PROCESS_MAX: usize = 255;

pub(super) fn interface(translation: &mut Translation<'_>, delays: Option<Both<'_>>) -> String {
    let mut lines = String::new();
    let Some(delays) = delays.and_then(|it| translation.common(it)) else {
        return lines;
    };
    // the second time may be absent: it is the first, too
    let up = if delays.word(2).is_empty() { 1 } else { 2 };
    for (key, position) in [("down_delay", 1), ("up_delay", up)] {
        let ms = translation.milliseconds(delays, position, SECONDS_MAX);
        if let Some(ms) = ms.filter(|it| *it > 0) {
            let _ = writeln!(lines, "{key} = {}", time(ms));
        }
    }
    lines
}

pub(super) fn script(
    translation: &mut Translation<'_>,
    both: &Both<'_>,
    weight: Weight,
) -> Option<(&'static str, String)> {
    let statements = child(both, "script");
    let Some(targets) = of_both(statements.map(|it| it.and_then(target))) else {
        translation.refuse(both, "it names no script", "name one");
        return None;
    };
    if let Some(Target::Nothing(name)) = targets.iter().find(|it| matches!(it, Target::Nothing(_)))
    {
        let why = format!(
            "keepalived finds no program `{name}`, and disables the script: it is not in the files"
        );
        let todo = "nothing, or write a script that does what was meant";
        translation.refuse(both, &why, todo);
        return None;
    }
    for statement in statements.iter().flatten() {
        if statement.words.len() > 2 {
            let todo = "nothing, or quotes around all of it on both nodes, and import again";
            translation.advise(statement, FIRST_WORD, todo);
        }
    }
    let mut pace = pace(translation, both);
    let echoes = match &targets {
        [Target::Ping(one, _), Target::Ping(two, _)] => Some([one, two]),
        _ => None,
    };
    let echoes = echoes.filter(|it| pace.spread(*it));
    let mut further = String::new();
    let (table, key, values) = match (echoes, &targets) {
        (Some(echoes), _) => {
            further = interface_key(translation, echoes);
            tell_spread(translation, &statements, echoes[0].count);
            let targets = echoes.map(|it| list(&[it.target.to_string()]));
            ("ping", "targets", targets)
        }
        (_, [Target::Process(one), Target::Process(two)]) => {
            ("process", "process", [one, two].map(|it| toml_text(it)))
        }
        (_, [Target::Tcp(one), Target::Tcp(two)]) => {
            ("tcp", "address", [one, two].map(|it| toml_text(it)))
        }
        (_, targets) => {
            let argv = targets.each_ref().map(argv);
            if !argv.iter().all(|it| is_command(it)) {
                let why = "a command has up to 64 words, and a path without `..`";
                translation.refuse(both, why, "write a script that runs it");
                return None;
            }
            translation.advise_on(&statements, "script", USER, USER_TODO);
            for sign in argv.iter().filter_map(|it| shell_sign(it)) {
                let why = format!(
                    "keepalived asks no shell, so {sign} is an argument of the program: as in the files"
                );
                translation.advise_on(
                    &statements,
                    "a script with signs of a shell",
                    &why,
                    NO_SHELL_TODO,
                );
            }
            if argv.iter().any(|it| sends_signals(it)) {
                translation.advise_on(&statements, "kill -0", SIGNALS, SIGNALS_TODO);
            }
            if argv.iter().any(|it| is_capable(it)) {
                translation.advise_on(&statements, "ping", CAPABLE, CAPABLE_TODO);
            }
            ("script", "argv", argv.map(|it| list(&it)))
        }
    };
    if pace.timeout > pace.interval {
        tell_wider(translation, both, pace.timeout);
        pace.interval = pace.timeout;
    }
    if weight.is_reversed {
        pace.counts.reverse();
    }
    let keys = format!(
        "{key} = {}\n{further}interval = {}\ntimeout = {}\nrise = {}\nfall = {}\n",
        each(translation.nodes, &values),
        time(pace.interval),
        time(pace.timeout),
        pace.counts[0],
        pace.counts[1]
    );
    Some((table, keys))
}

/// Times in ms of a check, and the numbers of results that change its state: rise and fall.
struct Pace {
    interval: u64,
    timeout: u64,
    counts: [i64; 2],
}

impl Pace {
    /// Makes the echoes of a run as many checks in the same time; false if they differ by node, or limits forbid it.
    fn spread(&mut self, [one, two]: Each<&Echoes>) -> bool {
        let count = one.count as i64;
        let is_same = one.count == two.count && one.interface.is_some() == two.interface.is_some();
        let fall = self.counts[1] * count;
        if !is_same || self.interval / one.count < ECHO_MS_MIN || fall > FALL_MAX {
            return false;
        }
        self.timeout = self.timeout.min(one.wait_ms.unwrap_or(self.timeout));
        if count > 1 {
            self.interval /= one.count;
            self.timeout = self.timeout.min(self.interval);
            self.counts[1] = fall;
        }
        true
    }
}

fn interface_key(translation: &Translation<'_>, echoes: Each<&Echoes>) -> String {
    let [Some(one), Some(two)] = echoes.map(|it| it.interface.as_deref()) else {
        return String::new();
    };
    let interfaces = [one, two].map(toml_text);
    format!("interface = {}\n", each(translation.nodes, &interfaces))
}

fn tell_spread(translation: &mut Translation<'_>, statements: &Both<'_>, count: u64) {
    if count > 1 {
        let why = format!(
            "{count} echoes of a run, one of which has to be answered, are as many checks in the same time, and `fall` as many times more"
        );
        translation.advise_on(statements, "ping -c", &why, "nothing");
    }
}

/// Pace of a script, as far as spared has it.
fn pace(translation: &mut Translation<'_>, both: &Both<'_>) -> Pace {
    let counts = ["rise", "fall"].map(|word| {
        let statement = translation.setting(both, word);
        statement
            .and_then(|it| translation.number(it, 1..=100))
            .unwrap_or(1)
    });
    let mut read = |word, default: u64, allowed: RangeInclusive<u64>| {
        let statement = translation.setting(both, word);
        let found = statement.and_then(|it| translation.milliseconds(it, 1, SECONDS_MAX));
        let ms = found.filter(|it| *it > 0).unwrap_or(default);
        let fitting = ms.clamp(*allowed.start(), *allowed.end());
        if let Some(at) = statement.or(both[0]).or(both[1]).filter(|_| fitting != ms) {
            let [least, most, fitting] =
                [*allowed.start(), *allowed.end(), fitting].map(|it| time(it).replace('"', ""));
            let what = format!("{word} of a script");
            let why = format!("allowed is {least} to {most} here: the files have {fitting}");
            let todo = "nothing, or another interval";
            translation.tell(at.place, &what, &why, todo);
        }
        fitting
    };
    let interval = read("interval", 1000, INTERVAL_MS);
    Pace {
        interval,
        timeout: read("timeout", interval, 10..=TIMEOUT_MS_MAX),
        counts,
    }
}

/// Says that the interval is as long as the timeout.
fn tell_wider(translation: &mut Translation<'_>, both: &Both<'_>, timeout: u64) {
    if let Some(block) = both[0].or(both[1]) {
        let place = block.child("timeout").unwrap_or(block).place;
        let why = format!(
            "a check is not run again before its timeout: `interval` is {} in the files, so a fault is seen that much later",
            time(timeout).replace('"', "")
        );
        let todo =
            "nothing, or a `timeout` of the time that the script takes at most, and import again";
        translation.tell(place, "timeout above the interval", &why, todo);
    }
}

/// True if a command only asks whether processes live, by a signal that another user may not send.
fn sends_signals(argv: &[String]) -> bool {
    let mut words = argv.iter().flat_map(|it| it.split_whitespace());
    let program = words.find(|it| matches!(it.rsplit('/').next(), Some("kill" | "killall")));
    program.is_some() && words.any(|it| matches!(it, "-0" | "0"))
}

/// True for a command that a check can run.
fn is_command(argv: &[String]) -> bool {
    let is_program = argv.first().is_some_and(|it| is_path(it));
    is_program && argv.len() <= WORDS_MAX && !argv.iter().any(|it| it.contains('\0'))
}

fn argv(target: &Target) -> Vec<String> {
    let of = |words: &[&str]| words.iter().map(|it| (*it).to_owned()).collect();
    match target {
        Target::Script(argv) | Target::Ping(_, argv) => argv.clone(),
        Target::Nothing(name) => vec![name.clone()],
        Target::Process(name) => of(&["/usr/bin/env", "pidof", "-q", name]),
        Target::Tcp(address) => of(&["/usr/bin/env", "nc", "-z", address]),
    }
}

pub(super) fn process(
    translation: &mut Translation<'_>,
    both: &Both<'_>,
) -> Option<(&'static str, String)> {
    let statements = child(both, "process");
    for long in statements.iter().flatten().filter(|it| it.words.len() > 2) {
        let why = "a process is found by its name, not by its arguments";
        translation.list(long, why, "write a `[[script]]` that looks for them");
    }
    let program = |it: &Statement| {
        let name = it.word(1).rsplit('/').next().unwrap_or_default();
        Some(toml_text(name)).filter(|_| (1..=PROCESS_MAX).contains(&name.len()))
    };
    let Some(programs) = of_both(statements.map(|it| it.and_then(program))) else {
        translation.refuse(both, "it names no process", "name one");
        return None;
    };
    let why = "keepalived is told when a process ends; spared looks once a second";
    let todo = "nothing, or a shorter `interval`";
    translation.advise_on(&statements, "process", why, todo);
    let mut keys = format!(
        "process = {}\ninterval = \"1s\"\ntimeout = \"1s\"\nrise = 1\nfall = 1\n",
        each(translation.nodes, &programs)
    );
    for (key, words) in [
        ("up_delay", ["fork_delay", "delay"]),
        ("down_delay", ["terminate_delay", "delay"]),
    ] {
        let statement = words
            .iter()
            .find_map(|word| translation.setting(both, word));
        let ms = statement.and_then(|it| translation.milliseconds(it, 1, SECONDS_MAX));
        if let Some(ms) = ms.filter(|it| *it > 0) {
            let _ = writeln!(keys, "{key} = {}", time(ms));
        }
    }
    Some(("process", keys))
}

pub(super) fn file(
    translation: &mut Translation<'_>,
    both: &Both<'_>,
    weight: Weight,
) -> Option<(&'static str, String)> {
    let path = |it: &Statement| Some(toml_text(it.word(1))).filter(|_| is_path(it.word(1)));
    let statements = child(both, "file");
    let Some(paths) = of_both(statements.map(|it| it.and_then(path))) else {
        let why = "it names no file by an absolute path";
        translation.refuse(both, why, "name one");
        return None;
    };
    let raises = (weight.points > 0) != weight.is_reversed;
    let worse = if raises && weight.points != 0 {
        "below"
    } else {
        "above"
    };
    if worse == "below" {
        let block = statements[0].or(statements[1])?;
        let why = "the number of the file raises the priority, and spared only takes points off";
        let todo = "write `best = ` with the greatest number that is written there, and add it times the weight to `priority`";
        translation.advise(block, why, todo);
    }
    let path = each(translation.nodes, &paths);
    Some(("number", format!("path = {path}\nworse = \"{worse}\"\n")))
}
