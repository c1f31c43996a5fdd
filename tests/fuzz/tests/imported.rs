//! `sparectl import` of configurations at random, of all words that it knows: whatever stands in them, and twice in
//! them, `spared check` accepts the files that it writes, without a warning.
//!
//! `SPARED_ROUNDS` configurations are tried, by `SPARED_SEED` and the numbers after it. One that fails is printed with
//! the fewest lines that fail.

use std::collections::BTreeSet;

use spared_fuzz_targets::keepalived_conf::{Texts, imported, refused};
use spared_import::table::{Block, ROWS};
use spared_tests::random::{Random, number};

/// Configurations of a run: two seconds, unoptimised.
const ROUNDS: u64 = 400;
/// Names of instances, scripts and all else: few, so that they meet.
const NAMES: &[&str] = &["a", "b", "c", "eth0", "eth1"];
const INTERFACES: &[&str] = &[
    "eth0",
    "eth1",
    "eth0.5",
    "eth0:1",
    "a-name-of-17-chars",
    "ä",
    "",
];
const ADDRESSES: &[&str] = &[
    "10.0.0.1",
    "10.0.0.1/24",
    "10.0.0.2/24",
    "10.0.1.1/30",
    "10.0.0.0/24",
    "10.0.0.255/24",
    "10.0.0.0/31",
    "010.0.0.9/24",
    "10.0.0.9/024",
    "127.0.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "0.0.0.0",
    "fe80::1/64",
    "fe80::1",
    "2001:db8::1/64",
    "2001:db8::/64",
    "::1",
    "x",
    "10.0.0.300",
    "10.9.0.1",
    "10.9.0.2",
    "fe80::9%eth0",
];
const TIMES: &[&str] = &[
    "1", "3", "0", "0.004", "0.05", "0.5", "1.5", "60", "4000", "90000", "-1", "x", "nan", "1e9",
];
const NUMBERS: &[&str] = &[
    "1", "2", "7", "50", "100", "150", "253", "254", "255", "256", "0", "-3", "x", "",
];
const WEIGHTS: &[&str] = &[
    "weight 5",
    "weight -5",
    "weight 0",
    "weight 254",
    "weight -300",
    "weight 2 reverse",
    "weight x",
    "",
];
const COMMANDS: &[&str] = &[
    "/usr/bin/check",
    "\"killall -0 nginx\"",
    "\"pidof bird\"",
    "\"pgrep -x x\"",
    "\"</dev/tcp/10.0.0.1/80\"",
    "\"a | b\"",
    "../x",
    "/a/../b",
    "\"curl -f http://[::1]/\"",
    "\"\"",
    "",
    "\"x\\\\ y 'z \\\"\"",
    "\"killall -0 a/b\"",
    "~/x",
    "ä",
];
const STATES: &[&str] = &[
    "Accept { tcp udp }",
    "Ignore { icmp 6 300 }",
    "Accept { 0 }",
    "Accept { }",
    "x { y }",
    "",
];

/// A word with something to its right, or a block.
struct Writer {
    random: Random,
    text: String,
    written: BTreeSet<&'static str>,
}

impl Writer {
    fn one(&mut self, of: &[&'static str]) -> &'static str {
        of[self.random.below(of.len())]
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.random.below(100) < percent
    }

    fn line(&mut self, words: &[&str]) {
        if self.chance(3) {
            let id = self.one(&["@r1", "@^r1", "@r2", "@x"]);
            self.text += &format!("{id} ");
        }
        self.text += &words.join(" ");
        self.text.push('\n');
    }

    fn block(&mut self, head: &[&str], inner: impl FnOnce(&mut Self)) {
        self.line(&[&head.join(" "), "{"]);
        inner(self);
        self.text += "}\n";
    }

    /// Words of a block at random, each with a value that may be wrong.
    fn words(&mut self, block: Block, percent: usize) {
        for row in ROWS.iter().filter(|it| it.block == block) {
            for word in row.words.iter().copied() {
                if !self.chance(percent) {
                    continue;
                }
                self.written.insert(word);
                self.word(word, row.opens.is_some());
            }
        }
    }

    fn word(&mut self, word: &'static str, is_block: bool) {
        match word {
            "virtual_ipaddress" | "virtual_ipaddress_excluded" => self.list(word, Self::address),
            "virtual_routes" => self.list(word, Self::route),
            "virtual_rules" => self.list(word, Self::rule),
            "unicast_peer" => self.list(word, Self::peer),
            "track_interface" => self.list(word, |it| it.entry(INTERFACES)),
            "track_script" | "track_process" | "track_file" => {
                self.list(word, |it| it.entry(NAMES))
            }
            "group" => self.list(word, |it| it.entry(NAMES)),
            "interface_up_down_delays" => self.list(word, |it| {
                let (name, down, up) = (it.one(INTERFACES), it.one(TIMES), it.one(TIMES));
                it.line(&[name, down, up]);
            }),
            "authentication" => self.block(&[word], |it| it.words(Block::Authentication, 70)),
            _ if is_block => self.list(word, |it| {
                let value = it.one(ADDRESSES);
                it.line(&[value]);
            }),
            _ => {
                let values = values(word);
                let value = self.one(values);
                self.line(&[word, value]);
            }
        }
    }

    fn list(&mut self, head: &str, entry: impl Fn(&mut Self)) {
        let count = self.random.below(4);
        self.block(&[head], |it| (0..count).for_each(|_| entry(it)));
    }

    fn entry(&mut self, names: &[&'static str]) {
        let (name, weight) = (self.one(names), self.one(WEIGHTS));
        self.line(&[name, weight]);
    }

    fn address(&mut self) {
        let options = [
            "",
            "",
            "dev eth1",
            "dev eth0 label eth0:vip",
            "label eth0:",
            "label eth0:a-long-label",
            "brd +",
            "scope global",
            "no_track",
            "dev",
            "dev eth0:1",
            "label eth1:x dev eth1",
            "peer 10.0.0.7",
        ];
        let (address, option) = (self.one(ADDRESSES), self.one(&options));
        self.line(&[address, option]);
    }

    fn peer(&mut self) {
        let (address, option) = (
            self.one(ADDRESSES),
            self.one(&["", "min_ttl 9", "min_ttl 300", "min_ttl 0", "x"]),
        );
        self.line(&[address, option]);
    }

    fn route(&mut self) {
        let to = [
            "default",
            "10.5.0.0/16",
            "10.5.0.1/16",
            "2001:db8:5::/48",
            "to 10.6.0.0/16",
            "inet6 default",
            "blackhole 10.0.0.0/8",
            "",
        ];
        let by = [
            "via 10.0.0.254",
            "via fe80::7",
            "via inet6 fe80::7 dev eth0",
            "gw 2001:db8::7",
            "dev eth1",
            "via x",
            "dev eth0:1",
            "",
        ];
        let more = [
            "",
            "",
            "metric 5",
            "metric x",
            "table 100",
            "table main",
            "table 254",
            "table x",
            "src 10.0.0.1",
            "src 2001:db8::1",
            "onlink",
            "mtu 1400",
        ];
        let (to, by, more) = (self.one(&to), self.one(&by), self.one(&more));
        self.line(&[to, by, more]);
    }

    fn rule(&mut self) {
        let parts = [
            "from 10.0.0.0/8",
            "to 10.0.0.1/8",
            "from all",
            "from 2001:db8::/32",
            "to default",
            "fwmark 7",
            "fwmark 0x10/0xf",
            "fwmark 0x10/0xff",
            "iif eth0",
            "oif eth1",
            "dev eth0:1",
            "inet6",
            "not",
            "priority 0",
            "priority 9",
            "table 9",
            "lookup main",
            "table 0",
            "table x",
        ];
        let count = 1 + self.random.below(3);
        let mut words: Vec<&str> = (0..count).map(|_| self.one(&parts)).collect();
        if self.chance(80) {
            words.push("table 5");
        }
        self.line(&words);
    }

    fn instance(&mut self) {
        let name = self.one(NAMES);
        let is_whole = self.chance(90);
        self.block(&["vrrp_instance", name], |it| {
            it.words(Block::Instance, 12);
            if is_whole {
                // most that is wrong shows only in an instance that is one
                let (interface, vrid) = (it.one(&INTERFACES[..2]), it.one(&NUMBERS[..3]));
                it.line(&["interface", interface]);
                it.line(&["virtual_router_id", vrid]);
                it.list("virtual_ipaddress", Self::address);
                it.line(&["virtual_ipaddress { 10.7.0.1", vrid, "}"]);
                let own = [
                    "10.0.1.1/24",
                    "10.0.2.1/24",
                    "fe80::3/64",
                    "2001:db8:3::1/64",
                    "10.0.3.1",
                ];
                let own = it.one(&own);
                it.line(&["virtual_ipaddress {", own, "}"]);
            }
        });
    }

    fn named(&mut self, word: &'static str, block: Block, percent: usize) {
        self.written.insert(word);
        let name = self.one(NAMES);
        self.block(&[word, name], |it| it.words(block, percent));
    }

    /// keepalived.conf.
    fn keepalived(&mut self) {
        self.block(&["global_defs"], |it| it.words(Block::Global, 5));
        for _ in 0..1 + self.random.below(3) {
            self.named("vrrp_script", Block::Script, 70);
            let word = self.one(&["vrrp_track_process", "track_process"]);
            self.named(word, Block::Process, 60);
            let word = self.one(&["vrrp_track_file", "track_file"]);
            self.named(word, Block::File, 70);
        }
        if self.chance(40) {
            self.named("vrrp_sync_group", Block::Sync, 30);
        }
        for _ in 0..1 + self.random.below(4) {
            self.instance();
        }
        self.written.extend(["vrrp_instance", "global_defs"]);
        for row in ROWS.iter().filter(|it| it.block == Block::Top) {
            let is_special = row
                .opens
                .is_some_and(|it| !matches!(it, Block::Entries | Block::Whole));
            for word in row.words.iter().copied().filter(|_| !is_special) {
                if self.chance(6) {
                    self.written.insert(word);
                    self.word(word, row.opens.is_some());
                }
            }
        }
    }

    /// conntrackd.conf.
    fn conntrackd(&mut self) {
        let rows = ROWS.iter().filter(|it| it.block == Block::Conntrackd);
        let words = rows.flat_map(|it| it.words.iter().copied());
        for word in words {
            if !self.chance(40) {
                continue;
            }
            self.written.insert(word);
            match word {
                "Address" => {
                    let (fate, ip) = (self.one(&["Accept", "Ignore"]), self.one(ADDRESSES));
                    self.line(&["Address", fate, "{ IPv4_address", ip, "}"]);
                }
                "Protocol" => {
                    let value = self.one(STATES);
                    self.line(&[word, value]);
                }
                "State" => {
                    let states = [
                        "ESTABLISHED CLOSED for TCP",
                        "LISTEN",
                        "x",
                        "for TCP",
                        "TIME_WAIT SYN_SENT",
                    ];
                    let (fate, states) = (self.one(&["Accept", "Ignore"]), self.one(&states));
                    self.line(&[word, fate, "{", states, "}"]);
                }
                "NetlinkBufferSize" | "NetlinkBufferSizeMaxGrowth" => {
                    let size = self.one(&["2097152", "134217728", "99999999999999", "x"]);
                    self.line(&[word, size]);
                }
                "Multicast" | "UDP" | "TCP" | "Helper" | "Stats" => {
                    let interface = self.one(INTERFACES);
                    self.line(&[word, "{ Interface", interface, "}"]);
                }
                _ => {
                    let value = self.one(&["On", "Off", "600", "FTFW {\n}", ""]);
                    self.line(&[word, value]);
                }
            }
        }
    }
}

/// Values of a word, right and wrong.
fn values(word: &str) -> &'static [&'static str] {
    match word {
        "interface" => INTERFACES,
        "virtual_router_id"
        | "priority"
        | "rise"
        | "fall"
        | "down_timer_adverts"
        | "unicast_ttl"
        | "garp_master_refresh"
        | "vrrp_garp_master_refresh"
        | "vrrp_down_timer_adverts" => NUMBERS,
        "advert_int" | "preempt_delay" | "vrrp_startup_delay" | "interval" | "timeout"
        | "delay" | "fork_delay" | "terminate_delay" => TIMES,
        "unicast_src_ip" | "mcast_src_ip" => ADDRESSES,
        "version" | "vrrp_version" => &["2", "3", "4"],
        "use_vmac" => &[
            "",
            "vrrp.1",
            "v",
            "a-name-of-17-chars",
            "00:11:22:33:44:55",
            "v/w",
        ],
        "weight" => &["5", "-5", "0", "254", "-300", "2 reverse", "x"],
        "auth_type" => &["PASS", "AH", "x"],
        "auth_pass" => &[
            "secret",
            "longer than eight",
            "\"\"",
            "\"a \\\"b\"",
            "ä€ä€ä€",
        ],
        "process" => &["nginx", "/usr/sbin/bird -f", "\"\"", "", "a/"],
        "file" => &["/run/x", "/a/../b", "x", ""],
        "script" | "notify" | "notify_master" | "notify_backup" | "notify_fault" => COMMANDS,
        "script_user" => &["root", "nobody nogroup", "'x y'", ""],
        _ => &["", "1", "x", "off", "/run/x"],
    }
}

fn configuration(seed: u64) -> (Texts, BTreeSet<&'static str>) {
    let mut writer = Writer {
        random: Random::new(seed),
        text: String::new(),
        written: BTreeSet::new(),
    };
    writer.keepalived();
    let keepalived = std::mem::take(&mut writer.text);
    writer.conntrackd();
    let conntrackd = writer.text;
    let texts = Texts {
        keepalived,
        conntrackd,
    };
    (texts, writer.written)
}

/// Fault that check finds in the files of a configuration; None if it accepts them.
fn fault(texts: &Texts) -> Option<String> {
    [false, true].into_iter().find_map(|is_final| {
        let found = imported(texts, is_final).ok()?;
        refused(&found.texts)
    })
}

/// The fewest lines that fail.
fn least(texts: Texts) -> Texts {
    let mut lines: Vec<String> = texts.keepalived.lines().map(str::to_owned).collect();
    let mut at = 0;
    while at < lines.len() {
        let mut fewer = lines.clone();
        fewer.remove(at);
        let tried = Texts {
            keepalived: fewer.join("\n"),
            conntrackd: texts.conntrackd.clone(),
        };
        if fault(&tried).is_some() {
            lines = fewer;
        } else {
            at += 1;
        }
    }
    Texts {
        keepalived: lines.join("\n"),
        ..texts
    }
}

#[test]
fn check_accepts_the_files_of_any_configuration() {
    let mut written = BTreeSet::new();
    let first = number("SPARED_SEED", 1);
    let mut groups = 0;
    for seed in first..first + number("SPARED_ROUNDS", ROUNDS) {
        let (texts, words) = configuration(seed);
        written.extend(words);
        if fault(&texts).is_some() {
            let least = least(texts);
            panic!(
                "SPARED_SEED={seed}: {}\n{}\n{}",
                fault(&least).unwrap_or_default(),
                least.keepalived,
                least.conntrackd
            );
        }
        let found = imported(&texts, false).expect("below the limits");
        groups += found.decisions.len();
    }
    for word in ROWS.iter().flat_map(|it| it.words) {
        assert!(written.contains(word), "{word} is in no configuration");
    }
    // what is refused as a whole cannot be wrong
    assert!(
        groups as u64 > number("SPARED_ROUNDS", ROUNDS),
        "{groups} groups"
    );
}
