//! Reads the keys of each kind.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use spared_sdk::config::{Section, node};
use spared_sdk::nanoseconds;

use super::common::{DAY, Defaults, check, path, required_name};
use super::read::Reader;
use super::{
    Amount, Check, File, Kind, Measured, Members, Need, Number, Ping, Pressure, Process, Protocol,
    Resource, Route, Sensor, Worse,
};

/// Tables of the file, each with its reader.
pub(super) const READERS: &[(&str, Reader)] = &[
    ("interface", interface),
    ("ping", ping),
    ("tcp", tcp),
    ("unit", unit),
    ("process", process),
    ("script", script),
    ("file", file),
    ("disk", disk),
    ("read_only", read_only),
    ("sensor", sensor),
    ("smart", smart),
    ("conntrack", conntrack),
    ("pressure", pressure),
    ("route", route),
    ("number", number),
];

const fn polled(interval_ms: u64, timeout_ms: u64, rise: u64, fall: u64) -> Defaults {
    Defaults {
        weight: 100,
        interval_ms,
        timeout_ms: Some(timeout_ms),
        rise_fall: Some((rise, fall)),
        has_reverse: true,
    }
}

/// Defaults with weight 0, for loads that move to the other node with the role, and would move the role back.
const fn shown(defaults: Defaults) -> Defaults {
    Defaults {
        weight: 0,
        ..defaults
    }
}

fn interface(section: &Section<'_>) -> Option<(Check, bool)> {
    let name = section.required(node("name"), section.text(node("name")));
    let name = name.filter(|name| section.fits_interface("name", name));
    let members = section.choice("members", &[("each", Members::Each), ("all", Members::All)]);
    let kind = name
        .clone()
        .map(|interface| Kind::Interface { interface, members });
    let defaults = Defaults {
        weight: 100,
        interval_ms: 10_000,
        timeout_ms: None,
        rise_fall: None,
        has_reverse: true,
    };
    check(section, name, &defaults, kind)
}

fn ping(section: &Section<'_>) -> Option<(Check, bool)> {
    let targets = section.list::<IpAddr>(node("targets"), "IPv4 and IPv6 addresses");
    let targets = section.required(node("targets"), targets);
    let fitting = targets.filter(|targets| {
        let fits = (1..=16).contains(&targets.len());
        if !fits {
            section.fault("targets", format!("found {}, allowed 1-16", targets.len()));
        }
        fits
    });
    let loss = section.integer("loss", 0..=99);
    let window = section.integer("window", 2..=1000);
    if window.is_some() && !section.has("loss") {
        section.fault("window", "has an effect only with loss");
    }
    let need = section.choice("need", &[("any", Need::Any), ("all", Need::All)]);
    let interface = section.text(node("interface"));
    let interface = interface.filter(|name| section.fits_interface("interface", name));
    let size = section.integer("size", 16..=8972).unwrap_or(56);
    let kind = fitting.map(|targets| {
        Kind::Ping(Ping {
            targets,
            loss: loss.and_then(|loss| u8::try_from(loss).ok()),
            window: usize::try_from(window.unwrap_or(20)).unwrap_or(20),
            need: need.unwrap_or(Need::Any),
            interface,
            size: usize::try_from(size).unwrap_or(56),
        })
    });
    check(
        section,
        required_name(section),
        &polled(1000, 1000, 2, 3),
        kind,
    )
}

fn tcp(section: &Section<'_>) -> Option<(Check, bool)> {
    let allowed = "an address and a port, like \"192.0.2.1:443\" or \"[2001:db8::1]:443\"";
    let to = section.parsed::<SocketAddr>(node("address"), allowed);
    let to = section.required(node("address"), to);
    let kind = to.map(|to| Kind::Tcp { to });
    check(
        section,
        required_name(section),
        &polled(5000, 2000, 2, 3),
        kind,
    )
}

fn unit(section: &Section<'_>) -> Option<(Check, bool)> {
    let unit = section.required(node("unit"), section.text(node("unit")));
    let unit = unit.filter(|unit| {
        let fits = !unit.is_empty()
            && unit.len() <= 255
            && unit.chars().all(|c| c.is_ascii_graphic())
            && !unit.contains(['/', '*', '?', '[']);
        if !fits {
            section.fault("unit", format!("found {unit:?}, allowed is a unit's name"));
        }
        fits
    });
    let name = section.text("name").or_else(|| unit.clone());
    let kind = unit.map(|unit| Kind::Unit { unit });
    check(section, name, &polled(5000, 2000, 1, 2), kind)
}

fn process(section: &Section<'_>) -> Option<(Check, bool)> {
    let process = section.text(node("process"));
    let pid_file = section.text(node("pid_file"));
    let kind = match (process, pid_file) {
        (Some(name), None) if name.is_empty() || name.len() > 255 || name.contains('/') => {
            section.fault(
                "process",
                format!("found {name:?}, allowed is a program's name"),
            );
            None
        }
        (Some(name), None) => Some(Process::Name(name)),
        (None, Some(path)) => section
            .fits_path("pid_file", &path)
            .then(|| Process::PidFile(path.into())),
        (Some(_), Some(_)) => {
            section.fault("pid_file", "process is given, too: one of them is enough");
            None
        }
        (None, None) => {
            if !section.has("process") && !section.has("pid_file") {
                section.fault("process", "missing: process or pid_file");
            }
            None
        }
    };
    let name = section.text("name").or_else(|| match &kind {
        Some(Process::Name(name)) => Some(name.clone()),
        Some(Process::PidFile(path)) => Some(path.display().to_string()),
        None => None,
    });
    check(
        section,
        name,
        &polled(5000, 2000, 1, 2),
        kind.map(Kind::Process),
    )
}

fn script(section: &Section<'_>) -> Option<(Check, bool)> {
    let argv = section.required(node("argv"), section.texts(node("argv")));
    let argv = argv.filter(|argv| match argv.first() {
        Some(program) if argv.len() > 64 || argv.iter().any(|word| word.contains('\0')) => {
            section.fault("argv", format!("{program}: allowed are up to 64 words"));
            false
        }
        Some(program) => section.fits_path("argv.0", program),
        None => {
            section.fault("argv", "is empty");
            false
        }
    });
    let output = section
        .choice("state", &[("exit", false), ("output", true)])
        .unwrap_or(false);
    let kind = argv.map(|argv| Kind::Script { argv, output });
    check(
        section,
        required_name(section),
        &polled(10_000, 5000, 2, 3),
        kind,
    )
}

fn file(section: &Section<'_>) -> Option<(Check, bool)> {
    let path = path(section, node("path"));
    let exists = section.flag("exists").unwrap_or(true);
    let contains = section.text("contains");
    let equals = section.text("equals");
    let max_age = section.duration("max_age", Duration::from_secs(1)..=DAY * 366);
    let more = [contains.is_some(), equals.is_some(), max_age.is_some()];
    if !exists && more.contains(&true) {
        section.fault("exists", "is false: there is no content or age to check");
    }
    if contains.is_some() && equals.is_some() {
        section.fault("equals", "contains is given, too: one of them is enough");
    }
    let kind = path.map(|path| {
        Kind::File(File {
            path,
            exists,
            contains,
            equals,
            max_age_ns: max_age.map(nanoseconds),
        })
    });
    check(
        section,
        required_name(section),
        &polled(10_000, 5000, 1, 1),
        kind,
    )
}

fn disk(section: &Section<'_>) -> Option<(Check, bool)> {
    let path = path(section, node("path"));
    let allowed = "a share like \"10%\" or bytes like \"500M\", \"2G\"";
    let min_free = section.parsed::<Amount>("min_free", allowed);
    let min_free = section.required("min_free", min_free);
    let name = section.text("name");
    let name = name.or_else(|| Some(format!("disk:{}", path.as_ref()?.display())));
    let kind = path
        .zip(min_free)
        .map(|(path, min_free)| Kind::Disk { path, min_free });
    check(section, name, &polled(30_000, 5000, 1, 2), kind)
}

fn read_only(section: &Section<'_>) -> Option<(Check, bool)> {
    let path = path(section, node("path"));
    let name = section.text("name");
    let name = name.or_else(|| Some(format!("read-only:{}", path.as_ref()?.display())));
    let kind = path.map(|path| Kind::ReadOnly { path });
    check(section, name, &polled(10_000, 5000, 1, 1), kind)
}

fn sensor(section: &Section<'_>) -> Option<(Check, bool)> {
    let kinds = [
        ("temperature", Measured::Temperature),
        ("fan", Measured::Fan),
        ("power", Measured::Power),
    ];
    let measured = section.required("kind", section.choice("kind", &kinds));
    let chip = section.text(node("chip"));
    let max = section.integer(node("max"), 1..=200);
    let min = section.integer(node("min"), 1..=100_000);
    if max.is_some() && measured.is_some_and(|it| it != Measured::Temperature) {
        section.fault("max", "has an effect only with kind = \"temperature\"");
    }
    if min.is_some() && measured.is_some_and(|it| it != Measured::Fan) {
        section.fault("min", "has an effect only with kind = \"fan\"");
    }
    let name = section.text("name").or_else(|| section.text("kind"));
    let kind = measured.map(|measured| {
        Kind::Sensor(Sensor {
            measured,
            chip,
            max,
            min,
        })
    });
    check(section, name, &polled(10_000, 5000, 2, 3), kind)
}

fn smart(section: &Section<'_>) -> Option<(Check, bool)> {
    let path = path(section, node("path"));
    let max_age = section.duration("max_age", Duration::from_secs(60)..=DAY * 366);
    let name = section.text("name").or_else(|| Some("smart".to_owned()));
    let kind = path.map(|path| Kind::Smart {
        path,
        max_age_ns: max_age.map(nanoseconds),
    });
    check(section, name, &polled(60_000, 5000, 1, 1), kind)
}

fn conntrack(section: &Section<'_>) -> Option<(Check, bool)> {
    let max_used = section.integer("max_used", 1..=100).unwrap_or(90);
    let name = section
        .text("name")
        .or_else(|| Some("conntrack".to_owned()));
    let defaults = shown(polled(10_000, 5000, 1, 2));
    check(section, name, &defaults, Some(Kind::Conntrack { max_used }))
}

fn pressure(section: &Section<'_>) -> Option<(Check, bool)> {
    let kinds = [("cpu", Resource::Cpu), ("memory", Resource::Memory)];
    let resource = section.required("kind", section.choice("kind", &kinds));
    let max = section.integer("max", 1..=100);
    let name = section.text("name");
    let name = name.or_else(|| Some(format!("pressure:{}", section.text("kind")?)));
    let kind = resource.map(|resource| {
        let usual = match resource {
            Resource::Cpu => 90,
            Resource::Memory => 20,
        };
        let max = max.unwrap_or(usual);
        Kind::Pressure(Pressure { resource, max })
    });
    // the kernel's number is an average over a whole minute
    check(section, name, &shown(polled(10_000, 5000, 1, 1)), kind)
}

fn route(section: &Section<'_>) -> Option<(Check, bool)> {
    let to = section.parsed::<IpAddr>(node("to"), "an IPv4 or IPv6 address");
    let to = section.required(node("to"), to);
    let to = to.filter(|to| {
        let fits = !(to.is_loopback() || to.is_unspecified() || to.is_multicast());
        if !fits {
            section.fault(
                "to",
                format!("found {to}, allowed is another machine's address"),
            );
        }
        fits
    });
    let allowed = "\"bgp\", \"ospf\", \"isis\", \"rip\", \"babel\", \"bird\", \"zebra\", \"ra\", \"dhcp\", \
                   \"static\", \"boot\", \"kernel\", or a number up to 255";
    let protocol = section.parsed::<Protocol>(node("protocol"), allowed);
    let name = section
        .text("name")
        .or_else(|| Some(format!("route:{}", to?)));
    let kind = to.map(|to| Kind::Route(Route { to, protocol }));
    check(section, name, &polled(2000, 1000, 2, 2), kind)
}

fn number(section: &Section<'_>) -> Option<(Check, bool)> {
    const NUMBER_MAX: i64 = 1_000_000;
    let path = path(section, node("path"));
    let best = section.signed("best", -NUMBER_MAX..=NUMBER_MAX);
    let directions = [("above", Worse::Above), ("below", Worse::Below)];
    let worse = section.choice("worse", &directions);
    let kind = path.map(|path| {
        Kind::Number(Number {
            path,
            best: best.unwrap_or(0),
            worse: worse.unwrap_or(Worse::Above),
        })
    });
    // a number has its directions
    let defaults = Defaults {
        has_reverse: false,
        ..polled(1000, 1000, 1, 1)
    };
    check(section, required_name(section), &defaults, kind)
}
