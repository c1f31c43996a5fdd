// SPDX-License-Identifier: MIT OR Apache-2.0
//! A firewall of nftables that follows on request, between two real nodes.

use std::fs;
use std::path::{Path, PathBuf};

use spared_tests::Result;
use spared_tests::lab::{Lab, scenario};
use spared_tests::linked::{Linked, with_trees};
use spared_tests::router::{Plan, Spared};

pub const TREE: &str = r#"
[[tree]]
name = "firewall"
paths = ["/mnt/fw.conf", "/mnt/fw.d"]
exclude = ["*.local"]
check = ["nft", "-c", "-f", "/mnt/fw.conf"]
apply = ["nft", "-f", "/mnt/fw.conf"]
"#;

pub const FW: &str = "table inet files\ndelete table inet files\ntable inet files {\n\
    include \"/mnt/fw.d/*.nft\"\n}\n";

pub struct Firewalls<'l> {
    pub pair: Linked<'l>,
}

pub fn plan(lab: &Lab, node: &str, toml: &str) -> Plan {
    let mut plan = with_trees(lab, node, toml);
    plan.without_preference();
    plan
}

pub fn rule(port: u16) -> String {
    format!("chain c{port} {{ tcp dport {port} drop; }}\n")
}

impl<'l> Firewalls<'l> {
    /// r1 has a firewall, r2 none.
    pub fn start(lab: &'l Lab) -> Result<Self> {
        Self::start_with(lab, TREE)
    }

    pub fn start_with(lab: &'l Lab, toml: &str) -> Result<Self> {
        let own = own(lab, 0);
        fs::create_dir_all(own.join("fw.d"))?;
        fs::create_dir_all(self::own(lab, 1))?;
        fs::write(own.join("fw.conf"), FW)?;
        fs::write(own.join("fw.d/10-web.nft"), rule(81))?;
        fs::write(own.join("fw.d/this.local"), "r1's own")?;
        let plans = ["r1", "r2"].map(|node| plan(lab, node, toml));
        let pair = Linked::begin(lab, plans)?;
        pair.wait_settled()?;
        Ok(Self { pair })
    }

    pub fn write(&self, site: usize, name: &str, content: &str) -> Result<()> {
        Ok(fs::write(own(self.pair.lab, site).join(name), content)?)
    }

    pub fn read(&self, site: usize, name: &str) -> Option<String> {
        fs::read_to_string(own(self.pair.lab, site).join(name)).ok()
    }

    pub fn state(&self, site: usize) -> String {
        let row = Spared(&self.pair.routers[site]).row(&["files"], "tree.firewall.state");
        let row = row.unwrap_or_default();
        row.as_str().unwrap_or_default().to_owned()
    }

    pub fn wait_state(&self, site: usize, start: &str) -> Result<()> {
        let what = format!("{start:?} on r{}", site + 1);
        let waited = self
            .pair
            .wait(&what, || self.state(site).starts_with(start));
        waited.map_err(|error| format!("{error}\nfound {:?}", self.state(site)).into())
    }

    /// An event may come after the rows that show what it tells.
    pub fn wait_event(&self, site: usize, told: &str) -> Result<()> {
        let what = format!("event {told:?} on r{}", site + 1);
        self.pair.wait(&what, || {
            let events = self.pair.said(site, &["events"]).unwrap_or_default().1;
            events.contains(told)
        })
    }

    /// r1's firewall is on both nodes.
    pub fn push_first(&self) -> Result<()> {
        self.wait_state(0, "pending: ")?;
        self.pair.done(0, &["files", "push", "firewall"])?;
        self.wait_same()
    }

    pub fn wait_same(&self) -> Result<()> {
        self.wait_state(0, "synchronized")?;
        self.wait_state(1, "synchronized")
    }

    /// Table `files` in a node's kernel, as nft prints it.
    pub fn rules(&self, site: usize) -> String {
        let ns = &self.pair.site(site).ns;
        ns.shell("nft list table inet files").unwrap_or_default()
    }
}

pub fn own(lab: &Lab, site: usize) -> PathBuf {
    lab.dir.join(format!("r{}-spared/own", site + 1))
}

fn refused(firewalls: &Firewalls<'_>, site: usize, words: &[&str]) -> Result<String> {
    match firewalls.pair.said(site, words)? {
        (0, text) => Err(format!("{}: it was done: {text}", words.join(" ")).into()),
        (_, text) => Ok(text),
    }
}

pub fn expect(text: &str, part: &str) -> Result<()> {
    if text.contains(part) {
        Ok(())
    } else {
        Err(format!("{part:?} is not in {text}").into())
    }
}

pub fn lacks(text: &str, part: &str) -> Result<()> {
    if text.contains(part) {
        Err(format!("{part:?} is in {text}").into())
    } else {
        Ok(())
    }
}

#[test]
fn a_firewall_follows_in_both_directions_and_comes_back() {
    scenario(2, |lab| {
        let it = Firewalls::start(lab)?;
        it.wait_state(0, "pending: ")?;
        it.wait_state(1, "pending: ")?;
        // a new node's empty tree cannot lose anything
        let dry = it
            .pair
            .done(0, &["files", "push", "firewall", "--dry-run"])?;
        expect(&dry, "/mnt/fw.conf: added")?;
        assert_eq!(it.read(1, "fw.conf"), None);
        it.pair.done(0, &["files", "push", "firewall"])?;
        it.wait_same()?;
        assert_eq!(it.read(1, "fw.conf").as_deref(), Some(FW));
        assert_eq!(it.read(1, "fw.d/this.local"), None);
        expect(&it.rules(1), "tcp dport 81 drop")?;

        // an edit on r2, fetched from r1
        it.write(1, "fw.d/20-mail.nft", &rule(25))?;
        it.wait_state(1, "pending: /mnt/fw.d/20-mail.nft changed here")?;
        it.wait_state(0, "pending: /mnt/fw.d/20-mail.nft changed on r2")?;
        let (code, status) = it.pair.said(0, &["status"])?;
        assert_eq!(code, 1, "{status}");
        expect(&status, "sparectl files push firewall")?;
        let (code, diff) = it.pair.said(0, &["files", "diff", "firewall"])?;
        assert_eq!(code, 1, "{diff}");
        expect(&diff, "/mnt/fw.d/20-mail.nft: added")?;
        it.pair.done(0, &["files", "pull", "firewall"])?;
        it.wait_same()?;
        expect(&it.rules(0), "tcp dport 25 drop")?;
        assert_eq!(it.read(0, "fw.d/this.local").as_deref(), Some("r1's own"));
        it.pair.wait("OK", || {
            it.pair
                .said(0, &["status"])
                .is_ok_and(|(code, _)| code == 0)
        })?;

        let log = it.pair.done(0, &["files", "log", "firewall"])?;
        expect(&log, "before files of r2")?;
        it.pair.done(0, &["files", "back", "firewall", "1"])?;
        assert_eq!(it.read(0, "fw.d/20-mail.nft"), None);
        it.wait_state(0, "pending: /mnt/fw.d/20-mail.nft changed here")
    });
}

#[test]
fn what_both_changed_is_a_conflict_until_somebody_decides() {
    scenario(2, |lab| {
        let it = Firewalls::start(lab)?;
        it.push_first()?;
        it.write(0, "fw.d/10-web.nft", &rule(82))?;
        it.write(1, "fw.d/10-web.nft", &rule(83))?;
        it.wait_state(0, "conflict: /mnt/fw.d/10-web.nft changed here")?;
        it.wait_state(1, "conflict: ")?;
        let why = refused(&it, 0, &["files", "push", "firewall"])?;
        expect(&why, "--anyway replaces it")?;
        assert_eq!(it.read(1, "fw.d/10-web.nft"), Some(rule(83)));
        it.pair
            .done(0, &["files", "push", "firewall", "--anyway"])?;
        it.wait_same()?;
        assert_eq!(it.read(1, "fw.d/10-web.nft"), Some(rule(82)));
        expect(&it.rules(1), "tcp dport 82 drop")
    });
}

#[test]
fn a_firewall_that_the_receiver_refuses_is_in_place_nowhere() {
    scenario(2, |lab| {
        let it = Firewalls::start(lab)?;
        it.push_first()?;
        it.write(
            0,
            "fw.d/10-web.nft",
            "chain bad { tcp dport http-or-so drop; }\n",
        )?;
        it.wait_state(0, "pending: ")?;
        let why = refused(&it, 0, &["files", "push", "firewall"])?;
        expect(
            &why,
            "r2: the check refused it, nothing was changed: nft ended with exit code 1",
        )?;
        // the words of a file are for root of the node that has them: a group may read the rows, and logs go anywhere
        lacks(&why, "http-or-so")?;
        let why = refused(&it, 1, &["files", "pull", "firewall"])?;
        expect(&why, "http-or-so")?;
        for site in [0, 1] {
            let mut published = it.pair.routers[site].log();
            for words in [
                &["files"][..],
                &["events"],
                &["status"],
                &["files", "log", "firewall"],
            ] {
                published.push_str(&it.pair.said(site, words)?.1);
            }
            assert!(!published.contains("http-or-so"), "{published}");
        }
        assert_eq!(it.read(1, "fw.d/10-web.nft"), Some(rule(81)));
        expect(&it.rules(1), "tcp dport 81 drop")?;
        let leftovers = leftovers(&own(lab, 1));
        assert_eq!(leftovers, [""; 0]);
        Ok(())
    });
}

fn leftovers(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|it| it.file_name().into_string().ok());
    names.filter(|name| name.ends_with(".spared")).collect()
}

#[test]
fn a_node_that_dies_while_files_are_put_in_place_has_the_old_ones_when_it_is_back() {
    scenario(2, |lab| {
        // applied at once if there is no reason to wait
        let slow = r#"apply = ["sh", "-c", "while [ -e /mnt/wait ]; do sleep 0.1; done; nft -f /mnt/fw.conf"]"#;
        let toml = TREE.replace(r#"apply = ["nft", "-f", "/mnt/fw.conf"]"#, slow);
        let mut it = Firewalls::start_with(lab, &toml)?;
        it.push_first()?;
        it.write(0, "fw.d/10-web.nft", &rule(82))?;
        it.write(1, "wait", "")?;
        let late = it.pair.done(0, &["files", "push", "firewall"])?;
        expect(&late, "still under way")?;
        assert_eq!(it.read(1, "fw.d/10-web.nft"), Some(rule(82)));
        it.pair.routers[1].kill();
        fs::remove_file(own(lab, 1).join("wait"))?;
        it.pair.restart(1)?;
        it.pair.wait("the old files on r2", || {
            it.read(1, "fw.d/10-web.nft") == Some(rule(81))
        })?;
        it.wait_state(0, "pending: /mnt/fw.d/10-web.nft changed here")?;
        it.wait_event(1, "an interrupted change was taken back")?;
        expect(&it.rules(1), "tcp dport 81 drop")?;
        it.pair.done(0, &["files", "push", "firewall"])?;
        it.wait_same()?;
        expect(&it.rules(1), "tcp dport 82 drop")
    });
}

#[test]
fn a_tree_follows_from_the_active_node_and_after_a_switchover_from_the_other() {
    scenario(2, |lab| {
        let it = Firewalls::start_with(lab, &format!("{TREE}sync = \"change\"\n"))?;
        let old = it.pair.at()?;
        if old == 1 {
            // r1's files are pending on the backup, until it is active
            it.wait_state(0, "pending: ")?;
            it.pair.switch(1)?;
            it.pair.wait_active(0)?;
        }
        it.wait_same()?;
        it.write(0, "fw.d/10-web.nft", &rule(82))?;
        it.pair
            .wait("r1's rule on r2", || it.rules(1).contains("dport 82 drop"))?;
        it.wait_same()?;
        it.write(1, "fw.d/20-mail.nft", &rule(25))?;
        it.wait_state(1, "pending: /mnt/fw.d/20-mail.nft changed here")?;
        it.pair.switch(0)?;
        it.pair.wait_active(1)?;
        it.pair
            .wait("r2's rule on r1", || it.rules(0).contains("dport 25 drop"))?;
        it.wait_same()
    });
}

#[test]
fn what_nobody_confirms_goes_back_although_plugin_and_node_died_meanwhile() {
    scenario(2, |lab| {
        let mut it = Firewalls::start(lab)?;
        it.push_first()?;
        it.write(0, "fw.d/10-web.nft", &rule(82))?;
        let push = ["files", "push", "firewall", "--confirm", "12s"];
        it.pair.done(0, &push)?;
        expect(&it.rules(1), "tcp dport 82 drop")?;
        it.wait_state(0, "synchronized, but r2 goes back in")?;
        it.wait_state(1, "synchronized, but this node goes back in")?;
        it.pair.routers[1].kill();
        it.pair.restart(1)?;
        it.wait_state(1, "synchronized, but this node goes back in")?;
        it.pair.wait("the old rule on r2", || {
            it.rules(1).contains("dport 81 drop")
        })?;
        it.wait_state(0, "pending: /mnt/fw.d/10-web.nft changed here")?;
        it.wait_event(1, "nobody confirmed the change")?;
        it.pair.done(0, &push)?;
        it.wait_state(0, "synchronized, but r2")?;
        it.pair.done(0, &["files", "confirm"])?;
        it.wait_same()?;
        expect(&it.rules(1), "tcp dport 82 drop")
    });
}

/// A pair's BGP of each node and its addresses were overwritten by the other node's although their
/// synchronisation was switched off (opnsense/core #7173).
#[test]
fn what_is_of_one_node_stays_its_own_whatever_follows() {
    scenario(2, |lab| {
        let it = Firewalls::start(lab)?;
        it.push_first()?;
        it.write(1, "fw.d/this.local", "r2's own")?;
        it.write(1, "fw.d/only.local", "on r2 alone")?;
        let owns = || -> Result<()> {
            assert_eq!(it.read(0, "fw.d/this.local").as_deref(), Some("r1's own"));
            assert_eq!(it.read(1, "fw.d/this.local").as_deref(), Some("r2's own"));
            assert_eq!(it.read(0, "fw.d/only.local"), None);
            assert_eq!(
                it.read(1, "fw.d/only.local").as_deref(),
                Some("on r2 alone")
            );
            Ok(())
        };
        // it is no difference
        it.wait_same()?;
        it.write(0, "fw.d/10-web.nft", &rule(82))?;
        it.pair.done(0, &["files", "push", "firewall"])?;
        owns()?;
        it.write(1, "fw.d/10-web.nft", &rule(83))?;
        it.pair.done(0, &["files", "pull", "firewall"])?;
        owns()?;
        it.pair
            .done(1, &["files", "push", "firewall", "--anyway"])?;
        it.pair.done(1, &["files", "back", "firewall", "2"])?;
        owns()
    });
}
