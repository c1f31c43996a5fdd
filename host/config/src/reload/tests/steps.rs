//! A host that performs the steps of a reload, without processes. Plugins run at once, and return when a test says so.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::{Fault, Plugin, Setup};
use spared_message::control::{Answer, ErrorCode};

use super::Folder;
use crate::reload::APPLY_TIMEOUT;
use crate::reload::{ActiveGroup, InForce, KnownPlugin, Reload, Step};

/// Plugin of this host.
struct Known {
    settings: Plugin,
    is_running: bool,
    has_refused: bool,
    has_worker: bool,
}

pub(super) struct Host {
    folder: Folder,
    pub(super) setup: Setup,
    /// Configuration that comes back, as the starter keeps it; its error, if it cannot.
    pub(super) kept: Result<Option<Setup>, String>,
    plugins: BTreeMap<String, Known>,
    pub(super) reload: Reload,
    pub(super) now: Instant,
    /// Address of the group "office", for which vrrp is active.
    held: Option<&'static str>,
    /// True if a plugin that is started does not run.
    fails: bool,
    /// Steps with plugins, since they were last taken.
    done: Vec<String>,
    pub(super) answers: Vec<(u64, Answer)>,
    /// Texts of the events.
    pub(super) told: Vec<String>,
}

impl Host {
    /// Creates a host that runs these plugins; their files are enabled.
    pub(super) fn new(plugins: &[&str]) -> Self {
        let folder = Folder::new();
        folder.write("spared.toml", "node.name = \"r1\"\n");
        for name in plugins {
            folder.write(&format!("plugins/{name}.toml"), "enabled = true\n");
        }
        let setup = folder.read();
        let runs = |plugin: &Plugin| Known {
            settings: plugin.clone(),
            is_running: true,
            has_refused: false,
            has_worker: true,
        };
        let plugins = setup.plugins.iter();
        Self {
            plugins: plugins.map(|it| (it.name.clone(), runs(it))).collect(),
            folder,
            setup,
            kept: Ok(None),
            reload: Reload::default(),
            now: Instant::now(),
            held: None,
            fails: false,
            done: Vec::new(),
            answers: Vec::new(),
            told: Vec::new(),
        }
    }

    pub(super) fn write(&self, plugin: &str, text: &str) {
        self.folder.write(&format!("plugins/{plugin}.toml"), text);
    }

    pub(super) fn request(&mut self, client: u64, anyway: bool) {
        self.reload.request(Some(client), anyway);
        self.perform();
    }

    /// Requests a reload, and ends the checks without faults.
    pub(super) fn reload(&mut self, client: u64) -> Vec<String> {
        self.request(client, false);
        let done = self.take_done();
        for name in done.iter().filter_map(|it| it.strip_prefix("check ")) {
            self.checked(name, Vec::new());
        }
        done.into_iter().chain(self.take_done()).collect()
    }

    pub(super) fn checked(&mut self, plugin: &str, faults: Vec<Fault>) {
        self.note_checked(plugin, faults);
        self.perform();
    }

    /// Passes on the result of a check, without its consequences.
    pub(super) fn note_checked(&mut self, plugin: &str, faults: Vec<Fault>) {
        let (mut reload, now) = (std::mem::take(&mut self.reload), self.now);
        reload.handle_checked(now, plugin, faults, &self.in_force());
        self.reload = reload;
    }

    fn stopped(&mut self, plugin: &str) -> Vec<String> {
        if let Some(known) = self.plugins.get_mut(plugin) {
            (known.is_running, known.has_worker) = (false, false);
        }
        self.reload
            .handle_stopped(plugin, self.setup.plugin(plugin));
        self.perform();
        self.take_done()
    }

    pub(super) fn end_if_over(&mut self) {
        self.note_over();
        self.perform();
    }

    /// Passes on that a reload is over, without the consequences.
    pub(super) fn note_over(&mut self) {
        if self.reload.is_over(self.now, true) {
            let mut reload = std::mem::take(&mut self.reload);
            reload.handle_over(&self.in_force());
            self.reload = reload;
        }
    }

    /// Configuration of the files.
    pub(super) fn files(&self) -> Setup {
        self.folder.read()
    }

    /// Lines of the answer to this client. No other client was answered before it.
    pub(super) fn answer(&mut self, client: u64) -> (Option<ErrorCode>, Vec<String>) {
        self.end_if_over();
        assert!(!self.answers.is_empty(), "no answer");
        let (to, answer) = self.answers.remove(0);
        assert_eq!(to, client);
        match answer {
            Answer::Done { lines } => (None, lines),
            Answer::Error { code, lines } => (Some(code), lines),
            other => panic!("{other:?}"),
        }
    }

    /// Asserts that a reload is refused because of an active group.
    fn is_refused(&mut self, client: u64, why: &str) {
        assert_eq!(self.reload(client), ["check vrrp"]);
        let lines = [why, "use --anyway to override"].map(str::to_owned);
        assert_eq!(
            self.answer(client),
            (Some(ErrorCode::Refused), lines.to_vec())
        );
    }

    /// Steps of a reload with `--anyway`.
    fn insist(&mut self, client: u64) -> Vec<String> {
        self.request(client, true);
        self.checked("vrrp", Vec::new());
        self.take_done()
    }

    /// Line that ends a reload.
    pub(super) fn reloaded(&self) -> String {
        format!("reloaded, configuration {}", self.setup.digest)
    }

    /// Line that ends a reload with faults.
    fn others(&self, which: &str) -> String {
        let digest = &self.setup.digest;
        format!("all {which} are in force, configuration {digest}")
    }

    pub(super) fn take_done(&mut self) -> Vec<String> {
        std::mem::take(&mut self.done)
    }

    fn in_force(&self) -> InForce<'_> {
        let plugins = self.plugins.iter().map(|(name, it)| {
            let known = KnownPlugin {
                settings: &it.settings,
                is_running: it.is_running,
                has_refused: it.has_refused,
                has_worker: it.has_worker,
                why: format!("{name} crashed"),
            };
            (name.clone(), known)
        });
        let active = self.held.iter().map(|address| ActiveGroup {
            name: "office",
            owner: "vrrp",
            addresses: vec![address.parse().expect("an address")],
        });
        InForce {
            setup: &self.setup,
            plugins: plugins.collect(),
            active: active.collect(),
        }
    }

    pub(super) fn perform(&mut self) {
        while self.perform_step() {}
    }

    /// Performs one step; returns false if there is none.
    pub(super) fn perform_step(&mut self) -> bool {
        let Some(step) = self.reload.poll_step() else {
            return false;
        };
        match step {
            Step::PutBack => self.done.push("try to put back".to_owned()),
            Step::Keep { .. } => {
                if self.kept.is_ok() {
                    self.kept = Ok(Some(self.setup.clone()));
                }
                self.reload
                    .handle_kept(self.kept.as_ref().map(drop).map_err(Clone::clone));
            }
            Step::Forget => self.kept = Ok(None),
            Step::Read => self.read(Setup::read(&self.folder.0.join("spared.toml"))),
            Step::ReadKept => {
                let kept = self.kept.clone().ok().flatten();
                self.read(Ok(kept.expect("files that were kept")));
            }
            Step::Check(plugin, _) => self.done.push(format!("check {}", plugin.name)),
            Step::Take(setup) => {
                self.setup = *setup;
                self.put_back();
            }
            Step::Add(plugin) => self.add(*plugin),
            Step::Set(plugin) => {
                let known = self.plugins.get_mut(&plugin.name);
                known.expect("a known plugin").settings = *plugin;
            }
            Step::Reconfigure(name) => self.done.push(format!("reconfigure {name}")),
            Step::Restart(name) => {
                self.done.push(format!("restart {name}"));
                let known = self.plugins.get_mut(&name).expect("a known plugin");
                (known.is_running, known.has_worker) = (!self.fails, !self.fails);
            }
            Step::Stop(name) => self.done.push(format!("stop {name}")),
            Step::Remove(name) => {
                self.done.push(format!("remove {name}"));
                self.plugins.remove(&name);
            }
            Step::Answer(client, answer) => self.answers.push((client, answer)),
            Step::Tell(notice) => self.told.push(notice.text),
            Step::ConfigureLink | Step::End => {}
        }
        true
    }

    // Puts the kept files back if they are in force, as the starter does.
    fn put_back(&mut self) {
        let kept = self.kept.clone().ok().flatten();
        let Some(kept) = kept.filter(|it| it.digest == self.setup.digest) else {
            return;
        };
        for (name, text) in kept.texts() {
            self.folder.write(&name, &text);
        }
        self.done.push("put back".to_owned());
        self.kept = Ok(None);
    }

    fn read(&mut self, files: Result<Setup, Vec<Fault>>) {
        let (mut reload, now) = (std::mem::take(&mut self.reload), self.now);
        reload.handle_files(now, files, &self.in_force());
        self.reload = reload;
    }

    fn add(&mut self, settings: Plugin) {
        let name = settings.name.clone();
        let runs = settings.enabled && !self.fails;
        self.done.push(if settings.enabled {
            format!("add {name}")
        } else {
            format!("list {name}")
        });
        let known = Known {
            settings,
            is_running: runs,
            has_refused: false,
            has_worker: runs,
        };
        self.plugins.insert(name, known);
    }
}

#[test]
fn a_reload_without_changes_says_so() {
    let mut host = Host::new(&["sets", "vrrp"]);
    assert_eq!(host.reload(1), [""; 0]);
    let lines = vec!["nothing changed".to_owned(), host.reloaded()];
    assert_eq!(host.answer(1), (None, lines));
}

#[test]
fn a_changed_file_is_checked_then_given_to_the_plugin_alone() {
    let mut host = Host::new(&["sets", "vrrp"]);
    host.write("sets", "a = 1\n");
    assert_eq!(host.reload(1), ["check sets", "reconfigure sets"]);
    host.end_if_over();
    assert!(host.answers.is_empty(), "sets has not answered");
    host.reload.handle_taken("sets", false);
    let lines = vec![
        "sets: new configuration in force".to_owned(),
        host.reloaded(),
    ];
    assert_eq!(host.answer(1), (None, lines));
}

#[test]
fn what_a_plugin_says_while_it_takes_its_file_is_in_the_answer() {
    let mut host = Host::new(&["service", "sets"]);
    host.reload.handle_said("service", "before");
    host.write("service", "a = 1\n");
    host.reload(1);
    host.reload
        .handle_said("service", "squid is no longer in service.toml");
    host.reload.handle_said("sets", "not asked");
    host.reload.handle_taken("service", false);
    host.reload.handle_said("service", "after");
    let lines = vec![
        "service: squid is no longer in service.toml".to_owned(),
        "service: new configuration in force".to_owned(),
        host.reloaded(),
    ];
    assert_eq!(host.answer(1), (None, lines));
}

#[test]
fn a_plugin_that_cannot_take_its_file_live_is_stopped_and_started_again() {
    let mut host = Host::new(&["sets"]);
    host.write("sets", "a = 1\n");
    host.reload(1);
    host.reload.handle_taken("sets", true);
    host.perform();
    assert_eq!(host.take_done(), ["stop sets"]);
    host.end_if_over();
    assert!(host.answers.is_empty(), "sets has not stopped");
    assert_eq!(host.stopped("sets"), ["restart sets"]);
    let line = "sets: restarted for its new configuration".to_owned();
    assert_eq!(host.answer(1), (None, vec![line, host.reloaded()]));
}

#[test]
fn a_plugin_that_dies_while_it_takes_its_file_is_named_and_gets_the_file_again() {
    let mut host = Host::new(&["sets", "vrrp"]);
    host.write("sets", "a = 1\n");
    host.reload(1);
    host.reload.handle_ended("vrrp", "vrrp was not asked");
    host.reload
        .handle_ended("sets", "sets was killed by signal 11");
    let line = "sets was killed by signal 11: it is started again with its new file";
    let lines = vec![line.to_owned(), host.others("files")];
    assert_eq!(host.answer(1), (Some(ErrorCode::Failed), lines));
}

#[test]
fn a_plugin_is_restarted_if_what_its_process_may_do_has_changed() {
    for (text, why) in [
        ("allow = [\"net_admin\"]\n", "changed capabilities"),
        ("memory_mib = 64\n", "a changed memory limit"),
    ] {
        let mut host = Host::new(&["sets", "vrrp"]);
        host.write("sets", text);
        assert_eq!(host.reload(1), ["check sets", "stop sets"]);
        assert_eq!(host.stopped("sets"), ["restart sets"]);
        let lines = vec![format!("sets: restarted with {why}"), host.reloaded()];
        assert_eq!(host.answer(1), (None, lines));
    }
}

#[test]
fn one_fault_refuses_all_and_every_fault_is_told() {
    let mut host = Host::new(&["sets", "vrrp"]);
    host.write("sets", "after = 5\n");
    host.write("vrrp", "a = 1\n");
    host.write("new", "b = 1\n");
    host.request(1, false);
    assert_eq!(host.take_done(), ["check new", "check vrrp"]);
    host.checked("new", vec![Fault::whole("new.toml", "no such plugin")]);
    assert!(host.answers.is_empty(), "vrrp is still checked");
    host.checked("vrrp", Vec::new());
    let (code, lines) = host.answer(1);
    assert_eq!(code, Some(ErrorCode::Config));
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("sets.toml:1: after"), "{lines:?}");
    assert_eq!(lines[1], "new.toml: no such plugin");
    assert_eq!(host.take_done(), [""; 0]);
    // once the files are right, the same host takes them
    host.write("sets", "enabled = true\n");
    assert_eq!(
        host.reload(2),
        ["check new", "check vrrp", "add new", "reconfigure vrrp"]
    );
}

#[test]
fn a_file_of_the_host_that_cannot_be_read_refuses_all() {
    let mut host = Host::new(&["sets"]);
    host.folder.write("spared.toml", "settle_ms = -1\n");
    host.write("sets", "a = 1\n");
    assert_eq!(host.reload(1), [""; 0]);
    assert_eq!(host.answer(1).0, Some(ErrorCode::Config));
}

#[test]
fn a_reload_that_arrives_while_one_runs_is_done_once_more_for_all_who_asked() {
    let mut host = Host::new(&["sets"]);
    host.write("sets", "a = 1\n");
    host.request(1, false);
    assert_eq!(host.take_done(), ["check sets"]);
    host.request(2, false);
    host.request(3, false);
    host.write("sets", "a = 2\n");
    host.checked("sets", Vec::new());
    host.request(4, false);
    assert_eq!(host.take_done(), ["reconfigure sets"]);
    host.reload.handle_taken("sets", false);
    assert_eq!(host.answer(1).1[0], "sets: new configuration in force");
    assert_eq!(host.take_done(), ["check sets"], "the newest file");
    host.checked("sets", Vec::new());
    host.reload.handle_taken("sets", false);
    for client in [2, 3, 4] {
        let line = &host.answer(client).1[0];
        assert_eq!(line, "sets: new configuration in force");
    }
    assert!(host.reload.next_timeout().is_none(), "all is done");
    host.request(5, false);
    assert_eq!(host.answer(5).1[0], "nothing changed");
}

#[test]
fn a_request_that_comes_with_an_answer_is_joined_to_the_one_that_waits() {
    let mut host = Host::new(&["sets"]);
    host.reload(1);
    host.request(2, false);
    assert!(host.reload.is_over(host.now, true));
    let mut reload = std::mem::take(&mut host.reload);
    reload.handle_over(&host.in_force());
    host.reload = reload;
    // the first answer is sent, and its client requests a reload again at once
    host.request(3, false);
    for client in [1, 2, 3] {
        assert_eq!(host.answer(client).1[0], "nothing changed");
    }
}

#[test]
fn a_plugin_that_does_not_answer_is_told_after_ten_seconds() {
    let mut host = Host::new(&["sets"]);
    host.write("sets", "a = 1\n");
    host.reload(1);
    assert_eq!(host.reload.next_timeout(), Some(host.now + APPLY_TIMEOUT));
    host.now += Duration::from_millis(9_999);
    host.end_if_over();
    assert!(host.answers.is_empty());
    host.now += Duration::from_millis(1);
    let silent = "sets: does not answer: its part of the configuration may not be in force";
    let lines = vec![silent.to_owned(), host.others("other files")];
    assert_eq!(host.answer(1), (Some(ErrorCode::Failed), lines));
    // a late answer of the plugin does not belong to the next reload
    host.reload.handle_taken("sets", false);
    host.perform();
    assert!(host.answers.is_empty());
}

#[test]
fn a_plugin_that_refuses_its_file_or_does_not_start_is_told() {
    let mut host = Host::new(&["sets"]);
    host.fails = true;
    host.write("sets", "a = 1\n");
    host.write("new", "");
    let done = host.reload(1);
    assert_eq!(
        done,
        ["check new", "check sets", "add new", "reconfigure sets"]
    );
    host.reload
        .handle_refused("sets", vec!["sets: the set is gone".to_owned()]);
    let lines = [
        "sets: the set is gone",
        "new crashed",
        "sets.toml is not in force: sets still runs with its previous file",
        &host.others("other files"),
    ]
    .map(str::to_owned);
    assert_eq!(host.answer(1), (Some(ErrorCode::Failed), lines.to_vec()));
}

#[test]
fn files_that_others_took_are_told_beside_one_that_was_refused() {
    let mut host = Host::new(&["sets", "vrrp"]);
    host.write("sets", "a = 1\n");
    host.write("vrrp", "a = 1\n");
    host.reload(1);
    host.reload
        .handle_refused("sets", vec!["sets.toml:1: the set is gone".to_owned()]);
    host.reload.handle_taken("vrrp", false);
    let lines = [
        "sets.toml:1: the set is gone",
        "sets.toml is not in force: sets still runs with its previous file",
        "vrrp: new configuration in force",
        &host.others("other files"),
    ]
    .map(str::to_owned);
    assert_eq!(host.answer(1), (Some(ErrorCode::Failed), lines.to_vec()));
}

#[test]
fn a_file_that_was_refused_is_given_to_the_plugin_again_though_it_has_not_changed() {
    let mut host = Host::new(&["sets"]);
    host.write("sets", "a = 1\n");
    host.reload(1);
    host.plugins.get_mut("sets").expect("it runs").has_refused = true;
    host.reload
        .handle_refused("sets", vec!["sets: the set is gone".to_owned()]);
    let lines = [
        "sets: the set is gone",
        "sets.toml is not in force: sets still runs with its previous file",
        &host.others("other files"),
    ]
    .map(str::to_owned);
    assert_eq!(host.answer(1), (Some(ErrorCode::Failed), lines.to_vec()));
    assert!(host.told[0].contains("reloaded with faults: sets: the set is gone"));
    assert_eq!(host.reload(2), ["check sets", "reconfigure sets"]);
}

#[test]
fn a_disabled_plugin_is_stopped_and_listed_and_one_without_a_file_is_forgotten() {
    let mut host = Host::new(&["files", "sets", "vrrp"]);
    host.write("sets", "enabled = false\n");
    std::fs::remove_file(host.folder.0.join("plugins/files.toml")).expect("our own file");
    assert_eq!(host.reload(1), ["stop files", "stop sets"]);
    assert_eq!(host.stopped("sets"), ["remove sets", "list sets"]);
    assert_eq!(host.stopped("files"), ["remove files"]);
    let lines = ["sets: stopped", "files: stopped", &host.reloaded()].map(str::to_owned);
    assert_eq!(host.answer(1), (None, lines.to_vec()));
    // a plugin that is disabled already is listed again
    assert_eq!(host.reload(2), ["remove sets", "list sets"]);
}

/// Creates a host whose only plugin is still starting.
fn starting() -> Host {
    let mut host = Host::new(&["sets"]);
    let sets = host.plugins.get_mut("sets").expect("it is known");
    sets.is_running = false;
    host
}

#[test]
fn a_worker_that_is_still_starting_starts_again_with_the_new_file() {
    let mut host = starting();
    host.write("sets", "a = 1\n");
    assert_eq!(host.reload(1), ["check sets", "restart sets"]);
    assert_eq!(host.plugins["sets"].settings.text, "a = 1\n");
    let lines = ["sets: started again with its new file", &host.reloaded()].map(str::to_owned);
    assert_eq!(host.answer(1), (None, lines.to_vec()));

    let mut host = starting();
    host.fails = true;
    host.write("sets", "a = 1\n");
    assert_eq!(host.reload(1), ["check sets", "restart sets"]);
    let lines = vec!["sets crashed".to_owned(), host.others("files")];
    let failed = (Some(ErrorCode::Failed), lines);
    assert_eq!(host.answer(1), failed);
}

#[test]
fn a_worker_that_is_still_starting_with_the_same_file_is_left_alone() {
    let mut host = starting();
    assert_eq!(host.reload(1), ["check sets"]);
    let lines = vec!["nothing changed".to_owned(), host.reloaded()];
    assert_eq!(host.answer(1), (None, lines));
    // the plugin was given the name of the node
    host.folder.write("spared.toml", "node.name = \"r9\"\n");
    assert_eq!(host.reload(2), ["check sets", "restart sets"]);
    let (code, lines) = host.answer(2);
    assert_eq!(code, None);
    assert!(
        lines.contains(&"sets: started again".to_owned()),
        "{lines:?}"
    );
}

#[test]
fn a_new_name_of_the_node_is_given_to_all_plugins() {
    let mut host = Host::new(&["sets", "vrrp"]);
    host.folder.write("spared.toml", "node.name = \"r9\"\n");
    let done = host.reload(1);
    assert_eq!(
        done,
        [
            "check sets",
            "check vrrp",
            "reconfigure sets",
            "reconfigure vrrp"
        ]
    );
}

#[test]
fn an_active_group_keeps_its_addresses_unless_somebody_insists() {
    let mut host = Host::new(&[]);
    host.write("vrrp", "address = \"192.0.2.1/24\"\n");
    host.reload(1);
    assert_eq!(host.answer(1).1[0], "vrrp: started");
    host.held = Some("192.0.2.1");
    host.write("vrrp", "address = \"192.0.2.2/24\"\n");
    host.is_refused(2, "office: r1 is active, and would lose 192.0.2.1 at once");
    assert_eq!(host.insist(3), ["check vrrp", "reconfigure vrrp"]);
}

#[test]
fn an_active_group_is_not_left_for_a_restart_unless_somebody_insists() {
    for (file, text, why) in [
        (
            "plugins/vrrp.toml",
            "address = \"192.0.2.1/24\"\nmemory_mib = 64\n",
            "a changed memory limit",
        ),
        (
            "spared.toml",
            "node.name = \"r9\"\n",
            "another name of the node, r9",
        ),
    ] {
        let mut host = Host::new(&[]);
        host.write("vrrp", "address = \"192.0.2.1/24\"\n");
        host.reload(1);
        host.answer(1);
        host.held = Some("192.0.2.1");
        host.folder.write(file, text);
        host.is_refused(2, &leaves(&format!("vrrp is restarted with {why}")));
        assert_eq!(host.insist(3).len(), 2, "{file}");
    }
}

#[test]
fn an_active_group_gets_another_name_only_if_somebody_insists() {
    let mut host = Host::new(&[]);
    host.write("vrrp", "name = \"office\"\naddress = \"192.0.2.1/24\"\n");
    host.reload(1);
    host.answer(1);
    host.held = Some("192.0.2.1");
    host.write("vrrp", "name = \"shop\"\naddress = \"192.0.2.1/24\"\n");
    host.is_refused(2, &leaves("the new file has no group of that name"));
    assert_eq!(host.insist(3), ["check vrrp", "reconfigure vrrp"]);
}

#[test]
fn an_active_group_begins_anew_with_another_version_only_if_somebody_insists() {
    let text = "address = \"192.0.2.1/24\"\n[[group]]\nname = \"office\"\n";
    let mut host = Host::new(&[]);
    host.write("vrrp", &format!("{text}version = 2\n"));
    host.reload(1);
    host.answer(1);
    host.held = Some("192.0.2.1");
    host.write("vrrp", text);
    host.is_refused(2, &leaves("its `version` changes, so it starts again"));
    assert_eq!(host.insist(3), ["check vrrp", "reconfigure vrrp"]);
}

fn leaves(why: &str) -> String {
    format!(
        "office: r1 is active, and would leave it without service until it is elected again: {why}"
    )
}
