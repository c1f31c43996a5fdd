//! Reads the table `[[service]]`.

use spared_sdk::config::{Section, node};

use super::read::{CommonKeys, argv, fitting_name, without_service_suffix};
use super::{ByRole, Item, Kind, Target, Wish};

const WISHES: [(&str, Wish); 4] = [
    ("start", Wish::Start),
    ("stop", Wish::Stop),
    ("leave", Wish::Leave),
    ("reload", Wish::Reload),
];
const UNIT_MAX: usize = 255;
const KNOWN_TESTS: [(&str, &[&str]); 3] = [
    (
        "kea-dhcp4-server",
        &["/usr/sbin/kea-dhcp4", "-t", "/etc/kea/kea-dhcp4.conf"],
    ),
    (
        "kea-dhcp6-server",
        &["/usr/sbin/kea-dhcp6", "-t", "/etc/kea/kea-dhcp6.conf"],
    ),
    ("dnsmasq", &["/usr/sbin/dnsmasq", "--test"]),
];

pub(super) fn read(section: &Section<'_>, _position: usize) -> Option<Vec<Item>> {
    let common = CommonKeys::read(section);
    let units = section.texts(node("units"));
    let units = units.filter(|units| are_units(section, units));
    let commands = commands(section);
    let wishes = wishes(section);
    let needed = needed(section);
    let test = test(section, units.as_deref());
    if section.has("name") && section.has(node("units")) {
        section.fault("name", "units is given, too: one of them is enough");
        return None;
    }
    let targets = if section.has("name") {
        vec![commands?]
    } else {
        let units = section.required(node("units"), units)?;
        let units = units.into_iter();
        units
            .map(|unit| (without_service_suffix(&unit).to_owned(), Target::Unit(unit)))
            .collect()
    };
    let wishes = wishes?;
    let service = |(name, target): (String, Target)| {
        refuse_reload(section, &wishes, &target);
        let wishes = wishes.clone();
        let test = test.clone().unwrap_or_else(|| known_test(&target));
        Item {
            needed,
            test,
            ..common.item(name, Kind::Service { target, wishes })
        }
    };
    Some(targets.into_iter().map(service).collect())
}

/// Weight of the service's check, if it has one.
fn needed(section: &Section<'_>) -> Option<u32> {
    let needed = section.flag("needed").unwrap_or(false);
    let weight = section.integer("weight", 0..=9999);
    if weight.is_some() && !needed {
        section.fault("weight", "has an effect only with needed = true");
    }
    needed.then(|| u32::try_from(weight.unwrap_or(100)).unwrap_or(100))
}

/// Command that tests if the service would start; None: not given.
fn test(section: &Section<'_>, units: Option<&[String]>) -> Option<Vec<String>> {
    let words = section.texts(node("test"))?;
    if units.is_some_and(|units| units.len() > 1) && !words.is_empty() {
        section.fault(
            "test",
            "has an effect only with one unit: give each a table",
        );
        return None;
    }
    // an empty list means no test, also for a unit whose test is known
    if words.is_empty() {
        return Some(words);
    }
    argv(section, "test")
}

/// Test of units whose configuration Debian keeps in one place.
fn known_test(target: &Target) -> Vec<String> {
    let Target::Unit(unit) = target else {
        return Vec::new();
    };
    let known = KNOWN_TESTS
        .iter()
        .find(|(name, _)| *name == without_service_suffix(unit));
    let words = known.map(|(_, words)| *words).unwrap_or_default();
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn are_units(section: &Section<'_>, units: &[String]) -> bool {
    if units.is_empty() {
        section.fault("units", "is empty, allowed are names of units");
        return false;
    }
    let mut fit = true;
    for (position, unit) in units.iter().enumerate() {
        let fits = !unit.is_empty()
            && unit.len() <= UNIT_MAX
            && !unit.starts_with(['-', '.'])
            && unit.chars().all(|c| c.is_ascii_graphic())
            && !unit.contains(['/', '*', '?', '[']);
        if !fits {
            let key = format!("units.{position}");
            section.fault(&key, format!("found {unit:?}, allowed is a unit's name"));
        }
        fit &= fits;
    }
    fit
}

/// Reads a name with its commands, which are only allowed with a name.
fn commands(section: &Section<'_>) -> Option<(String, Target)> {
    let name = section.text("name");
    let [start, stop, status, reload] =
        ["start", "stop", "status", "reload"].map(|key| (key, argv(section, key)));
    let Some(name) = name else {
        for (key, _) in [&start, &stop, &status, &reload] {
            if section.has(node(key)) {
                section.fault(key, "has an effect only with a name, not with units");
            }
        }
        return None;
    };
    let fits = fitting_name(section, "name", &name);
    let start = section.required(node("start"), start.1);
    let stop = section.required(node("stop"), stop.1);
    let target = Target::Commands {
        start: start?,
        stop: stop?,
        status: status.1.unwrap_or_default(),
        reload: reload.1.unwrap_or_default(),
    };
    fits.then_some((name, target))
}

fn refuse_reload(section: &Section<'_>, wishes: &ByRole<Wish>, target: &Target) {
    let Target::Commands { reload, .. } = target else {
        return;
    };
    if reload.is_empty() && wishes.iter().any(|wish| *wish == Wish::Reload) {
        section.fault("reload", "missing: a role needs a reload");
    }
}

fn wishes(section: &Section<'_>) -> Option<ByRole<Wish>> {
    let active = wish(section, "while_active", Wish::Start);
    let backup = wish(section, "while_backup", Wish::Stop);
    let as_backup = backup.clone().unwrap_or(Wish::Stop);
    let fault = wish(section, "while_fault", as_backup);
    Some(ByRole {
        active: active?,
        backup: backup?,
        fault: fault?,
    })
}

/// Reads a wish; None if it is present and wrong.
fn wish(section: &Section<'_>, key: &str, default: Wish) -> Option<Wish> {
    if !section.has(node(key)) {
        return Some(default);
    }
    if section.is_array(node(key)) {
        return argv(section, key).map(Wish::Run);
    }
    let word: String = section.text(node(key))?;
    let found = WISHES.into_iter().find(|(name, _)| *name == word);
    if found.is_none() {
        let words = WISHES.map(|(name, _)| format!("{name:?}")).join(", ");
        section.fault(
            key,
            format!("found {word:?}, allowed {words} or a command: [\"/path\", \"word\"]"),
        );
    }
    found.map(|(_, wish)| wish)
}
