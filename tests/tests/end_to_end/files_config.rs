// SPDX-License-Identifier: MIT OR Apache-2.0
//! `sparectl config push`: spared's own configuration, in force on both nodes or on none.

use std::fs;
use std::path::PathBuf;

use spared_tests::Result;
use spared_tests::lab::{Lab, Wire, scenario};
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::router::{Plan, PluginFile, Spared};

use crate::files::expect;

pub const PUSH: [&str; 4] = ["config", "push", "--watch", "5s"];

pub struct Nodes<'l> {
    pub pair: Linked<'l>,
}

/// Plan of a node that takes its configuration from the other one only if its files-root.toml is changed.
pub fn plan(lab: &Lab, node: &str) -> Plan {
    let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
    plan.without_preference();
    plan.is_installed = true;
    for (name, toml) in [
        ("files", String::new()),
        ("files-root", opt(lab, node, false)),
    ] {
        plan.plugins.push(PluginFile {
            name: name.to_owned(),
            toml,
            file: format!("libspared_{}.so", name.replace('-', "_")),
        });
    }
    plan
}

/// files-root.toml.
pub fn opt(lab: &Lab, node: &str, is_in: bool) -> String {
    let config = lab
        .dir
        .join(format!("{node}-spared/etc/plugins/files.toml"));
    format!("trees = {config:?}\nconfig_from_peer = {is_in}\n")
}

impl<'l> Nodes<'l> {
    fn start(lab: &'l Lab) -> Result<Self> {
        let pair = Linked::begin(lab, ["r1", "r2"].map(|node| plan(lab, node)))?;
        pair.wait_settled()?;
        let it = Self { pair };
        // both have been read by both
        it.wait_row(0, "digest_of_peer", |it| it != "-" && !it.is_empty())?;
        it.wait_row(1, "digest_of_peer", |it| it != "-" && !it.is_empty())?;
        Ok(it)
    }

    /// Both take each other's configuration, have the same, and keep their names.
    pub fn ready(lab: &'l Lab) -> Result<Self> {
        let it = Self::start(lab)?;
        for site in 0..2 {
            let opt_in = opt(lab, &format!("r{}", site + 1), true);
            fs::write(it.path(site, "plugins/files-root.toml"), opt_in)?;
            it.edit(site, "spared.toml", marked)?;
            it.pair.done(site, &["reload"])?;
        }
        it.wait_same()?;
        Ok(it)
    }

    pub fn path(&self, site: usize, name: &str) -> PathBuf {
        let folder = format!("r{}-spared/etc", site + 1);
        self.pair.lab.dir.join(folder).join(name)
    }

    pub fn read(&self, site: usize, name: &str) -> String {
        fs::read_to_string(self.path(site, name)).unwrap_or_default()
    }

    pub fn edit(&self, site: usize, name: &str, edit: impl Fn(String) -> String) -> Result<()> {
        Ok(fs::write(
            self.path(site, name),
            edit(self.read(site, name)),
        )?)
    }

    pub fn row(&self, site: usize, key: &str) -> String {
        let key = format!("tree.spared.{key}");
        let row = Spared(&self.pair.routers[site]).row(&["files"], &key);
        row.unwrap_or_default()
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    pub fn has_row(&self, site: usize, key: &str) -> bool {
        let key = format!("tree.spared.{key}");
        let row = Spared(&self.pair.routers[site]).row(&["files"], &key);
        row.is_ok_and(|it| !it.is_null())
    }

    pub fn wait_row(&self, site: usize, key: &str, is_it: impl Fn(&str) -> bool) -> Result<()> {
        let what = format!("{key} on r{}", site + 1);
        let waited = self.pair.wait(&what, || is_it(&self.row(site, key)));
        waited.map_err(|error| format!("{error}\nfound {:?}", self.row(site, key)).into())
    }

    pub fn wait_same(&self) -> Result<()> {
        (0..2).try_for_each(|site| self.wait_row(site, "state", |it| it == "synchronized"))
    }

    pub fn refused(&self, words: &[&str]) -> Result<String> {
        match self.pair.said(0, words)? {
            (0, text) => Err(format!("it was done: {text}").into()),
            (_, text) => Ok(text),
        }
    }

    /// Digest of what is in force.
    pub fn in_force(&self, site: usize) -> String {
        self.pair.status(site).unwrap_or_default().run.config
    }
}

/// Marks the name as this node's own.
pub fn marked(text: String) -> String {
    text.replace("node.name =", "# spared: own node.name\nnode.name =")
}

#[test]
fn a_configuration_is_in_force_on_both_nodes_or_on_none() {
    scenario(2, |lab| {
        let it = Nodes::start(lab)?;
        let before = [0, 1].map(|site| (it.in_force(site), it.read(site, "spared.toml")));
        // a node takes nothing that it did not opt in to
        let why = it.refused(&[&PUSH[..], &["--anyway"]].concat())?;
        expect(&why, "config_from_peer = true")?;
        fs::write(it.path(1, "plugins/files-root.toml"), opt(lab, "r2", true))?;
        it.pair.done(1, &["reload"])?;
        // nor the name of the other node
        let why = it.refused(&[&PUSH[..], &["--anyway"]].concat())?;
        expect(&why, "node.name belongs to each node")?;
        expect(&why, "# spared: own node.name")?;
        assert_eq!(it.read(1, "spared.toml"), before[1].1);
        assert_eq!(it.in_force(0), before[0].0);

        for site in 0..2 {
            it.edit(site, "spared.toml", marked)?;
            it.pair.done(site, &["reload"])?;
        }
        it.wait_same()?;
        it.edit(0, "spared.toml", |text| format!("settle_ms = 300\n{text}"))?;
        it.edit(0, "plugins/vrrp.toml", |text| format!("# of r1\n{text}"))?;
        let said = it.pair.done(0, &PUSH)?;
        expect(&said, "both nodes have the same configuration in force")?;
        let text = it.read(1, "spared.toml");
        expect(&text, "settle_ms = 300")?;
        expect(&text, "name = \"r2\"")?;
        expect(&it.read(1, "plugins/vrrp.toml"), "# of r1")?;
        expect(
            &it.read(1, "plugins/files-root.toml"),
            "config_from_peer = true",
        )?;
        it.wait_same()?;

        // a fault is found by the check of this node
        let good = [0, 1].map(|site| it.in_force(site));
        it.edit(0, "spared.toml", |text| format!("settle = 1\n{text}"))?;
        expect(&it.refused(&PUSH)?, "settle: unknown key")?;
        it.edit(0, "spared.toml", |text| text.replace("settle = 1\n", ""))?;
        assert_eq!([0, 1].map(|site| it.in_force(site)), good);

        // one way back at a time: a reload that waits on a node is kept or taken back first, by the daemon's commands
        it.edit(1, "spared.toml", |text| text.replace("= 300", "= 301"))?;
        it.pair.done(1, &["reload", "--confirm", "10m"])?;
        expect(&it.refused(&PUSH)?, "r2: the last reload is not confirmed")?;
        for words in [&["confirm", "spared"][..], &["back", "spared"]] {
            let why = it.refused(&[&["files"][..], words].concat())?;
            expect(&why, "run `sparectl confirm` or `sparectl reload --back`")?;
        }
        let said = it.pair.done(1, &["reload", "--back"])?;
        expect(&said, "this is the configuration from before")?;
        expect(&it.read(1, "spared.toml"), "settle_ms = 300")?;
        assert_eq!([0, 1].map(|site| it.in_force(site)), good);
        Ok(())
    });
}

#[test]
fn a_configuration_that_cuts_the_link_goes_back_on_both_nodes() {
    scenario(2, |lab| {
        let it = Nodes::ready(lab)?;
        let good = [0, 1].map(|site| it.read(site, "spared.toml"));
        let in_force = [0, 1].map(|site| it.in_force(site));
        // an interface that leads nowhere
        let hot = format!("interface = \"{}\"", Wire::Hot.name());
        let wrong = |text: String| text.replace(&hot, "interface = \"lo\"");
        it.edit(0, "spared.toml", wrong)?;
        let bad = it.read(0, "spared.toml");
        assert_ne!(bad, good[0]);
        let why = it.refused(&PUSH)?;
        let has = |site: usize| {
            it.read(site, "spared.toml") == good[site] && it.in_force(site) == in_force[site]
        };
        it.pair
            .wait("the old configuration in force on r1", || has(0))?;
        let within = std::time::Duration::from_secs(90);
        let is_back = spared_tests::clock::poll(within, INTERVAL, || has(1));
        assert!(is_back, "r2 has {}\n{why}", it.read(1, "spared.toml"));
        it.pair.wait_settled()?;
        it.wait_same()?;
        // the edit is not lost
        expect(
            &it.pair.done(0, &["files", "log", "spared"])?,
            "files of this node",
        )
    });
}

#[test]
fn addresses_of_an_active_group_are_removed_only_if_somebody_insists() {
    const MORE: &str = "\"10.2.0.1/24\", \"10.2.0.9/24\"";
    const LESS: &str = "\"10.2.0.1/24\"";
    const FILE: &str = "plugins/vrrp.toml";
    scenario(2, |lab| {
        let it = Nodes::ready(lab)?;
        it.edit(0, FILE, |text| text.replace(LESS, MORE))?;
        it.pair.done(0, &PUSH)?;
        it.edit(0, FILE, |text| text.replace(MORE, LESS))?;
        let before = [0, 1].map(|site| it.in_force(site));
        expect(&it.refused(&PUSH)?, "use --anyway to override")?;
        assert_eq!([0, 1].map(|site| it.in_force(site)), before);
        assert!(it.read(1, FILE).contains(MORE));
        it.pair.done(0, &[&PUSH[..], &["--anyway"]].concat())?;
        it.wait_same()?;
        assert!(!it.read(1, FILE).contains(MORE));

        // and so on the way back by hand: state 1 is from before the second address
        it.edit(0, FILE, |text| text.replace(LESS, MORE))?;
        it.pair.done(0, &PUSH)?;
        let back = ["files", "back", "spared", "1"];
        expect(&it.refused(&back)?, "use --anyway to override")?;
        assert!(it.read(0, FILE).contains(MORE));
        it.pair.done(0, &[&back[..], &["--anyway"]].concat())?;
        assert!(!it.read(0, FILE).contains(MORE));
        Ok(())
    });
}
