//! Wishes of an instance about its election, as keepalived understands them.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::member::is_there;
use super::{Both, SECONDS_MAX, Top, Translation, child};
use crate::toml::{Each, time};
use crate::tree::Statement;

/// Priority of an instance that has none, as in keepalived.
const PRIORITY: i64 = 100;
/// Priority of an instance that owns its addresses.
pub const OWNER: i64 = 255;
const STRICT_STATE: &str = "keepalived takes it for BACKUP in strict mode, unless the priority is 255: `nopreempt` and the delays of its start count";
const INTERVAL_MS: u64 = 1000;
/// Seconds that keepalived accepts for `advert_int`.
const ADVERT_INT: RangeInclusive<f64> = 0.01..=255.0;
/// Longest interval that spared accepts.
const INTERVAL_MS_MAX: u64 = 40_000;
/// Shortest interval for which the fence has time, whatever the kernel's tick and the number of lost adverts.
const FENCED_MS: u64 = 30;
/// Bytes of a password that keepalived sends.
const PASSWORD_MAX: usize = 8;
/// Longest delay of a start.
const START_SECONDS_MAX: u32 = 3600;
const CLEARED: &str = "keepalived clears it: this node takes its role back at once, by its priority. In the files of two spared nodes it does so by `prefer`, after `failback_delay`";

/// Wishes about an election, which a group has once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Election {
    pub priority: Each<i64>,
    pub preempts: bool,
    pub failback_ms: u64,
    pub version: u8,
    pub interval_ms: u64,
    /// Other keys of the group.
    pub keys: Vec<Key>,
}

/// A key of a group that needs no decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Word of keepalived that it is made of.
    pub word: &'static str,
    pub name: &'static str,
    pub value: String,
}

impl Election {
    /// Everything that members of a group have in common, by the word of keepalived.
    pub fn wishes(&self) -> BTreeMap<&'static str, (&'static str, String)> {
        let own = [
            ("priority", ("priority", format!("{:?}", self.priority))),
            ("advert_int", ("advert_interval", time(self.interval_ms))),
            ("version", ("version", self.version.to_string())),
        ];
        let keys = self.keys.iter();
        own.into_iter()
            .chain(keys.map(|it| (it.word, (it.name, it.value.clone()))))
            .collect()
    }
}

impl Translation<'_> {
    pub(super) fn election(&mut self, top: &Top<'_>, both: &Both<'_>, is_ipv6: bool) -> Election {
        let strict = self.strict(top, both);
        let mut priority = [0, 1].map(|node| self.priority(both[node]));
        if self.is_one {
            priority[1] = other_priority(priority[0], child(both, "state")[0]);
        }
        if strict.contains(&true) {
            self.tell_strict(both, strict, priority);
        }
        let version = self.version(top, both, is_ipv6);
        let delay = self.setting(both, "preempt_delay");
        let delay = delay.filter(|_| !strict.contains(&true));
        Election {
            priority,
            preempts: self.preempts(both, priority, strict),
            failback_ms: delay
                .and_then(|it| self.milliseconds(it, 1, SECONDS_MAX))
                .unwrap_or(0),
            version,
            interval_ms: self.interval(both, version),
            keys: self.group_keys(top, both, strict.contains(&true)),
        }
    }

    /// Priority of a node's instance. Without one, that of an owner belongs to `state MASTER`.
    fn priority(&mut self, instance: Option<&Statement>) -> i64 {
        let statement = instance.and_then(|it| it.child("priority"));
        match (statement, instance) {
            (Some(statement), _) => self.number(statement, 1..=OWNER).unwrap_or(PRIORITY),
            (None, Some(instance)) if is_master(instance) => OWNER,
            _ => PRIORITY,
        }
    }

    /// Nodes on which keepalived is strict about an instance.
    pub(super) fn strict(&self, top: &Top<'_>, both: &Both<'_>) -> Each<bool> {
        let (own, all) = (child(both, "strict_mode"), top.global("vrrp_strict"));
        [0, 1].map(|node| {
            let statement = own[node].or(all[node]).filter(|_| both[node].is_some());
            statement.is_some_and(|it| !is_off(it.word(1)))
        })
    }

    /// Says what keepalived makes of an instance in strict mode.
    fn tell_strict(&mut self, both: &Both<'_>, strict: Each<bool>, priority: Each<i64>) {
        let [one, two] = self.nodes;
        for node in [0, 1].into_iter().filter(|it| strict[*it]) {
            let Some(instance) = both[node] else { continue };
            let is_alone = both[1 - node].is_some() && !strict[1 - node];
            if is_alone {
                let (own, other) = if node == 0 { (one, two) } else { (two, one) };
                let why = format!("{own} is strict, and {other} is not");
                let todo = "give both nodes the same, and import again";
                self.tell(instance.place, "strict mode", &why, todo);
            }
            let is_known = node == 0 || !self.is_one;
            if let Some(state) = instance.child("state").filter(|_| is_known) {
                if is_master(instance) && priority[node] != OWNER {
                    self.advise(state, STRICT_STATE, "nothing");
                }
            }
            for word in ["preempt_delay", "down_timer_adverts"] {
                if let Some(statement) = instance.child(word) {
                    let why = "keepalived ignores it in strict mode, and so do the files";
                    self.list(statement, why, "nothing");
                }
            }
            if let Some(peers) = instance.child("unicast_peer") {
                let why = "in strict mode keepalived refuses an instance with it, unless the interface has no multicast";
                let todo = "look whether this instance runs at all";
                self.advise(peers, why, todo);
            }
        }
    }

    /// False if some node's keepalived drops packets to the virtual addresses.
    pub(super) fn accepts(&mut self, top: &Top<'_>, both: &Both<'_>, is_ipv6: bool) -> bool {
        let strict = self.strict(top, both);
        let version = self.version(top, both, is_ipv6);
        let accepts = |node: usize| {
            let is_owner = self.priority(both[node]) == OWNER;
            let is_asked = child(both, "accept")[node].is_some() && version == 3;
            !strict[node] || is_owner || is_asked
        };
        [0, 1].map(accepts) == [true; 2]
    }

    /// True if the node of the greater priority takes the role back in keepalived.
    fn preempts(&mut self, both: &Both<'_>, [one, two]: Each<i64>, strict: Each<bool>) -> bool {
        let mut never = child(both, "nopreempt").map(|it| it.is_some());
        for node in [0, 1] {
            // the state of the other node is in its own file
            let is_known = node == 0 || !self.is_one;
            let is_owner = [one, two][node] == OWNER;
            let begins = both[node].is_some_and(is_master) && !strict[node];
            if !is_known || !(begins || is_owner) {
                continue;
            }
            never[node] = false;
            for word in ["nopreempt", "preempt_delay"] {
                if let Some(statement) = child(both, word)[node] {
                    let with = if begins {
                        "state MASTER"
                    } else {
                        "priority 255"
                    };
                    let what = format!("{word} with {with}");
                    let todo = "nothing, or `state BACKUP`, and import again";
                    self.tell(statement.place, &what, CLEARED, todo);
                }
            }
        }
        !match one.cmp(&two) {
            Ordering::Greater => never[0],
            Ordering::Less => never[1],
            Ordering::Equal => never.contains(&true),
        }
    }

    fn interval(&mut self, both: &Both<'_>, version: u8) -> u64 {
        let Some(statement) = self.setting(both, "advert_int") else {
            return INTERVAL_MS;
        };
        let seconds: Option<f64> = statement.word(1).parse().ok();
        if !seconds.is_some_and(|it| ADVERT_INT.contains(&it)) {
            let why =
                "keepalived ignores it, as it is not 0.01 to 255, and takes 1 s: so do the files";
            self.list(
                statement,
                why,
                "nothing, or correct it on both nodes and import again",
            );
            return INTERVAL_MS;
        }
        let found = self.milliseconds(statement, 1, SECONDS_MAX);
        let interval_ms = found.unwrap_or(INTERVAL_MS);
        let (unit, least) = if version == 2 {
            (1000, 1000)
        } else {
            (10, FENCED_MS)
        };
        let fitting = (interval_ms / unit * unit).clamp(least, INTERVAL_MS_MAX);
        if fitting != interval_ms {
            let why = format!(
                "version {version} of VRRP has intervals of {least} ms to 40 s in steps of {unit} ms"
            );
            self.list(statement, &why, "correct it on both nodes before you begin");
        }
        fitting
    }

    fn version(&mut self, top: &Top<'_>, both: &Both<'_>, is_ipv6: bool) -> u8 {
        let own = self.setting(both, "version");
        let statement = own.or_else(|| self.common(top.global("vrrp_version")));
        let found = statement.and_then(|it| self.number(it, 2..=3));
        if is_ipv6 || found == Some(3) { 3 } else { 2 }
    }

    /// Keys of the group that need no decision.
    fn group_keys(&mut self, top: &Top<'_>, both: &Both<'_>, is_strict: bool) -> Vec<Key> {
        let mut keys = Vec::new();
        let mut add = |word, name, value| keys.push(Key { word, name, value });
        let global = |own: &str, all: &str| match child(both, own) {
            [None, None] => top.global(all),
            own => own,
        };
        let loss = self.common(global("down_timer_adverts", "vrrp_down_timer_adverts"));
        let loss = loss.and_then(|it| self.number(it, 2..=100));
        if let Some(number) = loss.filter(|it| *it != 3 && !is_strict) {
            add("down_timer_adverts", "advert_loss", number.to_string());
        }
        let refresh = self.common(global("garp_master_refresh", "vrrp_garp_master_refresh"));
        let refresh = refresh.and_then(|it| self.number(it, 0..=86_400));
        if let Some(seconds) = refresh.filter(|it| *it > 0) {
            add("garp_master_refresh", "refresh", format!("\"{seconds}s\""));
        }
        let delay = self.common(top.global("vrrp_startup_delay"));
        let delay = delay.and_then(|it| self.milliseconds(it, 1, START_SECONDS_MAX));
        if let Some(ms) = delay.filter(|it| *it > 0) {
            add("vrrp_startup_delay", "start_delay", time(ms));
        }
        if is_there(both, "dont_track_primary") && !self.is_final {
            add("dont_track_primary", "carrier_weight", "0".to_owned());
        }
        keys
    }

    /// The password of the adverts, if keepalived needs one.
    pub(super) fn auth_pass(
        &mut self,
        secrets: &Both<'_>,
        version: u8,
        is_strict: bool,
    ) -> Option<String> {
        let kind = child(secrets, "auth_type");
        let secret = self.setting(secrets, "auth_pass");
        let secret = secret.map(|it| it.word(1)).filter(|it| !it.is_empty());
        let words = secrets.map(|it| it.map_or(&[][..], Statement::block));
        let words = words.into_iter().flatten();
        let words = words.filter(|it| matches!(it.word(0), "auth_type" | "auth_pass"));
        let is_other = kind.iter().flatten().any(|it| it.word(1) != "PASS");
        let needless = match secret {
            // the adverts of a strict keepalived have none
            _ if is_strict => Some("keepalived ignores it in strict mode, and sends no password"),
            _ if is_other => {
                let why = "only passwords (PASS) can be sent";
                let todo = "take `authentication` out on both nodes at once, as the steps say";
                for word in words {
                    self.list(word, why, todo);
                }
                return None;
            }
            None => Some("there is no password"),
            // keepalived itself sends none there
            Some(_) if version == 3 => Some("adverts of version 3 have no password"),
            Some(_) if self.is_final => Some("two nodes of spared need none"),
            Some(_) => None,
        };
        for word in words {
            self.resolve(&[Some(word), None], needless);
        }
        let mut secret = secret.filter(|_| needless.is_none())?.to_owned();
        while secret.len() > PASSWORD_MAX {
            secret.pop();
        }
        Some(secret)
    }
}

fn is_off(word: &str) -> bool {
    matches!(word, "off" | "false" | "no")
}

/// True if keepalived begins as master: no later line takes MASTER back.
pub fn is_master(instance: &Statement) -> bool {
    let mut states = instance.children("state");
    states.any(|it| it.word(1) == "MASTER")
}

/// A guess of the other node's priority, by what this one's file says about itself. Without a `state` the node is
/// backup below keepalived's default.
fn other_priority(own: i64, state: Option<&Statement>) -> i64 {
    match state.map(|it| it.word(1)) {
        Some("MASTER") => (own.min(253) - 50).max(1),
        None if own >= PRIORITY => own - 50,
        _ => (own + 50).min(253),
    }
}
