//! Temperatures, fans and power supplies, found under /sys; a machine without them has no check.

use std::path::{Path, PathBuf};

use super::{Root, line, names, number, number_there};
use crate::config::{Measured, Sensor};
use crate::engine::Finding;

/// Plausible critical temperatures in millidegrees: drivers without a limit report odd ones.
const SANE_CRITICAL_MDEG: std::ops::RangeInclusive<i64> = 1_000..=200_000;

/// Finding about sensors; None if the machine has no such sensor with a limit.
pub(super) fn read(root: &Root, sensor: &Sensor) -> Result<Option<Finding>, String> {
    match sensor.measured {
        Measured::Temperature => temperature(root, sensor),
        Measured::Fan => fan(root, sensor),
        Measured::Power => power(root, sensor),
    }
}

/// Sensor of a chip, such as hwmon0/temp1.
struct Channel {
    /// Name such as "coretemp Package id 0".
    name: String,
    /// Path without suffix, such as ".../hwmon0/temp1".
    stem: PathBuf,
}

impl Channel {
    fn file(&self, what: &str) -> PathBuf {
        let mut path = self.stem.as_os_str().to_owned();
        path.push(format!("_{what}"));
        path.into()
    }

    fn number(&self, what: &str) -> Option<i64> {
        number(&self.file(what))
    }

    /// Measured value; a sentence if the sensor does not answer.
    fn measured(&self, what: &str) -> Result<Option<i64>, String> {
        let measured = number_there(&self.file(what));
        measured.map_err(|why| format!("{} {why}", self.name))
    }

    fn rings(&self, what: &str) -> bool {
        self.number(what) == Some(1)
    }
}

/// Channels that have a file KINDn_SUFFIX.
fn channels(
    root: &Root,
    sensor: &Sensor,
    kind: &str,
    suffix: &str,
) -> Result<Vec<Channel>, String> {
    let base = root.join("/sys/class/hwmon");
    let mut channels = Vec::new();
    for chip in names(&base)? {
        let directory = base.join(&chip);
        let chip = line(&directory.join("name")).unwrap_or(chip);
        if sensor.chip.as_ref().is_some_and(|wanted| *wanted != chip) {
            continue;
        }
        for file in names(&directory)? {
            if let Some(stem) = file.strip_suffix(suffix).filter(|stem| is_kind(stem, kind)) {
                channels.push(channel(&directory, &chip, stem));
            }
        }
    }
    Ok(channels)
}

fn is_kind(stem: &str, kind: &str) -> bool {
    let number = stem.strip_prefix(kind);
    number.is_some_and(|it| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit()))
}

fn channel(directory: &Path, chip: &str, stem: &str) -> Channel {
    let label = line(&directory.join(format!("{stem}_label")));
    Channel {
        name: format!("{chip} {}", label.as_deref().unwrap_or(stem)),
        stem: directory.join(stem),
    }
}

fn temperature(root: &Root, sensor: &Sensor) -> Result<Option<Finding>, String> {
    let mut hottest: Option<(i64, String)> = None;
    let mut too_hot = Vec::new();
    for channel in channels(root, sensor, "temp", "_input")? {
        if channel.rings("fault") {
            continue; // no sensor is connected
        }
        let given = sensor.max.and_then(|max| i64::try_from(max * 1000).ok());
        let critical = channel
            .number("crit")
            .filter(|it| SANE_CRITICAL_MDEG.contains(it));
        let now_mdeg = match channel.measured("input") {
            Ok(Some(now_mdeg)) => now_mdeg,
            Ok(None) => continue,
            Err(why) => {
                // without a limit it is not judged
                too_hot.extend(given.or(critical).map(|_| why));
                continue;
            }
        };
        let alarm = channel.rings("crit_alarm") || channel.rings("alarm");
        let Some(max_mdeg) = given.or(critical).or(alarm.then_some(now_mdeg)) else {
            continue;
        };
        let words = format!(
            "{} {} °C of {} °C",
            channel.name,
            now_mdeg / 1000,
            max_mdeg / 1000
        );
        if now_mdeg >= max_mdeg || alarm {
            too_hot.push(words.clone());
        }
        let room = max_mdeg - now_mdeg;
        if hottest.as_ref().is_none_or(|(least, _)| room < *least) {
            hottest = Some((room, words));
        }
    }
    let hottest = hottest.map(|(_, words)| words);
    let is_any = hottest.is_some() || !too_hot.is_empty();
    Ok(is_any.then(|| judged(&too_hot, hottest.unwrap_or_default())))
}

fn fan(root: &Root, sensor: &Sensor) -> Result<Option<Finding>, String> {
    let mut slow = Vec::new();
    let mut judged_count = 0;
    for channel in channels(root, sensor, "fan", "_input")? {
        let given = sensor.min.and_then(|min| i64::try_from(min).ok());
        // a connector without a fan reports 0, and has no limit
        let min_rpm = given.or(channel.number("min")).filter(|min| *min > 0);
        let alarm = channel.rings("alarm") || channel.rings("fault");
        if min_rpm.is_none() && !alarm {
            continue;
        }
        let now_rpm = match channel.measured("input") {
            Ok(Some(now_rpm)) => now_rpm,
            Ok(None) => continue,
            Err(why) => {
                judged_count += 1;
                slow.push(why);
                continue;
            }
        };
        judged_count += 1;
        if alarm || min_rpm.is_some_and(|min| now_rpm < min) {
            let least = min_rpm.map_or(String::new(), |min| format!(" of at least {min}"));
            slow.push(format!("{} {now_rpm} rpm{least}", channel.name));
        }
    }
    let good = format!("{judged_count} fans turn");
    Ok((judged_count > 0).then(|| judged(&slow, good)))
}

/// Finding about mains supplies, by the share that is online, and about the power alarms of chips.
fn power(root: &Root, sensor: &Sensor) -> Result<Option<Finding>, String> {
    let base = root.join("/sys/class/power_supply");
    let mut supplies = Vec::new();
    for name in names(&base)? {
        let directory = base.join(&name);
        let chosen = sensor.chip.as_ref().is_none_or(|wanted| *wanted == name);
        let mains = line(&directory.join("type")).as_deref() == Some("Mains");
        if chosen && mains {
            let online = number_there(&directory.join("online"));
            let online = online.map_err(|why| format!("{name} {why}"))?;
            supplies.extend(online.map(|online| (name, online > 0)));
        }
    }
    for channel in channels(root, sensor, "power", "_alarm")? {
        let alarm = channel.measured("alarm")?;
        supplies.extend(alarm.map(|alarm| (channel.name, alarm != 1)));
    }
    let lost: Vec<&str> = supplies
        .iter()
        .filter(|(_, online)| !online)
        .map(|(name, _)| name.as_str())
        .collect();
    let count = supplies.len();
    let Some(percent) = ((count - lost.len()) * 100).checked_div(count) else {
        return Ok(None);
    };
    let mut why = format!("{} of {count} supplies give power", count - lost.len());
    if !lost.is_empty() {
        why = format!("{why}: {} does not", lost.join(", "));
    }
    Ok(Some(Finding::new(u8::try_from(percent).unwrap_or(0), why)))
}

fn judged(bad: &[String], good: String) -> Finding {
    if bad.is_empty() {
        Finding::good(good)
    } else {
        Finding::failed(bad.join(", "))
    }
}
