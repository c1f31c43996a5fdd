//! Passes events to their owners: reports of workers and of the link, events of the kernel, words of the peer.

use std::os::fd::AsFd;
use std::time::Instant;

use spared_config::{OnFailure, Plugin};
use spared_contract::{Call, ToPlugin};
use spared_group::{Ticket, count_of};
use spared_kernel::KernelEvent;
use spared_link::host_end as link;
use spared_link::word::Word;
use spared_message::clean;
use spared_message::notice::{Kind, Notice};
use spared_process::clock;
use spared_supervisor::{PluginReport, Report};
use spared_verdict::quality::{self, CheckReport, Refused};

use super::r#loop::Loop;

impl Loop {
    pub(super) fn handle_report(&mut self, report: Report) {
        let now = Instant::now();
        match report {
            Report::Plugin(plugin, report) => self.handle_plugin_report(now, plugin, report),
            Report::Silence => self.pair.touch(),
            Report::Answered { id, result } => self.handle_answered(now, id, result),
            Report::Tell(news) => self.notices.record(news),
        }
    }

    fn handle_plugin_report(&mut self, now: Instant, plugin: String, report: PluginReport) {
        let now_ns = clock::monotonic_ns();
        match report {
            PluginReport::Call { number, call } => self.handle_call(now, plugin, number, call),
            PluginReport::Up => self.handle_up(now, &plugin),
            PluginReport::Down(why) => {
                let descriptor = self.supervisor.descriptor(&plugin);
                self.link.disconnect(now, &plugin, descriptor);
                self.supervisor.disconnect_partners(&plugin);
                self.supervisor.forget_calls(&plugin);
                self.clients.watchers.forget(&plugin);
                self.clients.documents.forget(&plugin);
                self.pair.handle_plugin_down(&plugin);
                self.network.handle_plugin_down(&plugin);
                self.groups.handle_plugin_down(now_ns, &plugin, &why);
            }
            PluginReport::GivenUp(why) => self.handle_given_up(&plugin, why),
            PluginReport::Recovered => {
                self.tell_up(&plugin, "runs again");
                self.note_recovered(&plugin);
            }
            PluginReport::Removed => {
                self.network.handle_plugin_removed(&self.groups, &plugin);
                self.supervisor.disconnect_partners(&plugin);
                self.groups.handle_fit(&plugin);
                self.groups.handle_plugin_removed(now_ns, &plugin);
                let notice = self.pair.handle_plugin_removed(&self.config, &plugin);
                self.record(notice);
            }
            PluginReport::Settled { group, epoch } => {
                self.groups.handle_settled(now_ns, &plugin, &group, epoch);
            }
            PluginReport::Drained {
                group,
                epoch,
                status,
            } => self.groups.handle_drained(&plugin, &group, epoch, status),
            PluginReport::RoleDone {
                group,
                epoch,
                result,
            } => {
                let done = result.as_ref().copied().map_err(String::as_str);
                let groups = &mut self.groups;
                if groups.handle_role_done(now_ns, &plugin, &group, epoch, done) {
                    self.pair.handle_role(plugin, group, result);
                }
            }
            PluginReport::Stopped => self.handle_stopped(now, &plugin),
            PluginReport::Reconfigured(result) => self.handle_reconfigured(now, &plugin, result),
            PluginReport::NotReconfigured(why) => self.handle_not_reconfigured(now, &plugin, &why),
            PluginReport::Validated(faults) => self.handle_validated(now, &plugin, faults),
            PluginReport::Check {
                check,
                weight,
                state,
                why,
                points,
            } => {
                let said = CheckReport {
                    name: &check,
                    weight,
                    state,
                    why: &why,
                    points,
                };
                self.handle_check(&plugin, said);
            }
            PluginReport::ForgetCheck(check) => {
                let notice = self.pair.handle_forgotten(&plugin, &check);
                self.record(notice);
            }
            PluginReport::InSync { yes, why } => self.pair.handle_in_sync(&plugin, yes, &why),
            PluginReport::Callback { callback, why } => {
                self.pair.handle_callback(now, &plugin, callback, why);
            }
            PluginReport::Document(asked) => self.handle_document(now, &plugin, asked),
            PluginReport::Scopes(scopes) => {
                self.pair.handle_scopes(&self.config, &plugin, scopes);
                self.note_secret_keys(&plugin);
            }
            PluginReport::Refused(why) => {
                let is_aside = self.supervisor.on_failure(&plugin) == OnFailure::Warn;
                let notice = self.pair.handle_plugin_failed(&plugin, &why, is_aside);
                self.record(notice);
            }
            PluginReport::Event { is_conflict, text } => {
                self.reload.handle_said(&plugin, &text);
                let notice = self.groups.event_of(&plugin, is_conflict, &text);
                self.notices.record(notice);
            }
        }
    }

    // Sends interfaces first, so that the plugin knows the interfaces of its directives and roles.
    fn handle_up(&mut self, now: Instant, plugin: &str) {
        let is_on_trial = self.supervisor.is_on_trial(plugin);
        if !is_on_trial {
            self.tell_up(plugin, "runs");
        }
        let follower = self.supervisor.follower(plugin);
        self.network
            .replay_interfaces(now, &mut self.supervisor, plugin);
        self.connect_peer(now, plugin);
        self.supervisor.connect_partners(now, plugin);
        self.network.remove_stale_additions(&self.groups, plugin);
        self.pair.handle_plugin_up(now, &self.config, plugin);
        self.note_secret_keys(plugin);
        self.groups
            .handle_plugin_up(clock::monotonic_ns(), plugin, follower);
        if !is_on_trial {
            self.note_recovered(plugin);
        }
    }

    fn note_secret_keys(&mut self, plugin: &str) {
        let (scopes, options) = (self.pair.scopes_of(plugin), self.config.options());
        let reports = &mut self.clients.reports;
        if let Err(error) = reports.note_secret_keys(plugin, scopes, options) {
            log::warn!("{plugin}: its secret keys are not noted for a report: {error}");
        }
    }

    fn tell_up(&mut self, plugin: &str, what: &str) {
        let text = format!("{plugin} {what}");
        let notice = Notice::new(Kind::Plugin, text).because("started");
        self.notices.record(notice);
    }

    // Ends the consequences of a plugin's failure.
    fn note_recovered(&mut self, plugin: &str) {
        let notice = self.pair.handle_plugin_recovered(plugin);
        self.record(notice);
        self.groups.handle_fit(plugin);
    }

    fn handle_given_up(&mut self, plugin: &str, why: String) {
        let on_failure = self.supervisor.on_failure(plugin);
        let is_aside = on_failure == OnFailure::Warn;
        let notice = self.pair.handle_plugin_failed(plugin, &why, is_aside);
        self.record(notice);
        match on_failure {
            OnFailure::Resign => self.groups.handle_unfit(plugin, why),
            // its file may have had another setting before
            OnFailure::Warn | OnFailure::Degrade => self.groups.handle_fit(plugin),
        }
    }

    /// Ends the resignation of this node for a plugin if the plugin's new file no longer asks for it.
    pub(super) fn note_on_failure(&mut self, plugin: &Plugin) {
        if plugin.on_failure != Some(OnFailure::Resign) {
            self.groups.handle_fit(&plugin.name);
        }
    }

    fn handle_call(&mut self, now: Instant, plugin: String, number: u64, call: Call) {
        let ticket = Ticket {
            plugin: plugin.clone(),
            number,
            part: 0,
        };
        match call {
            Call::Follow { interface, sockets } => {
                let (network, supervisor) = (&mut self.network, &mut self.supervisor);
                let notice = network.handle_follow(now, supervisor, &ticket, &interface, sockets);
                self.record(notice);
            }
            Call::Unfollow { interface } => {
                let supervisor = &mut self.supervisor;
                self.network
                    .handle_unfollow(now, supervisor, &ticket, &interface);
            }
            Call::Add { group, claims } => {
                let (supervisor, groups) = (&mut self.supervisor, &self.groups);
                self.network
                    .handle_addition(now, supervisor, groups, &ticket, group, claims);
            }
            Call::Watch { what } => {
                self.supervisor.answer_call(now, &ticket, 0);
                self.clients.watchers.set(now, &plugin, what);
            }
            Call::Claim { .. } | Call::Publish { .. } | Call::Announce { .. } => {
                self.handle_group_call(now, &plugin, number, call);
            }
            // A newer plugin made this call. It continues without it.
            Call::Unknown { .. } => self.supervisor.answer_call(now, &ticket, -libc::ENOSYS),
            // The extension is offered to all plugins; only electors may call it.
            _ if !self.supervisor.provides_groups(&plugin) => {
                self.supervisor.answer_call(now, &ticket, -libc::EPERM);
            }
            Call::Explain { group, role, cause } => {
                let now_ns = clock::monotonic_ns();
                self.groups
                    .handle_explain(now_ns, ticket, &group, role, cause);
            }
            Call::SwitchOver { group, cause } => {
                let now_ns = clock::monotonic_ns();
                self.groups
                    .handle_switch_over(now_ns, ticket, &group, cause);
            }
        }
    }

    /// Handles a call of an elector about groups.
    fn handle_group_call(&mut self, now: Instant, plugin: &str, number: u64, call: Call) {
        let count = count_of(&call);
        self.supervisor.begin_call(plugin, number, count);
        let status = if self.supervisor.provides_groups(plugin) {
            let now_ns = clock::monotonic_ns();
            self.groups.handle_call(now_ns, plugin, number, call)
        } else {
            // The extension is offered to all plugins; only electors may call it.
            Some(-libc::EPERM)
        };
        if let Some(status) = status {
            self.supervisor.end_call(now, plugin, number, count, status);
        }
    }

    // ---- checks

    fn handle_check(&mut self, plugin: &str, said: CheckReport<'_>) {
        let check = said.name;
        let kind = if self.network.interfaces().contains_key(check) {
            quality::Kind::Interface
        } else {
            quality::Kind::Other
        };
        match self.pair.handle_check(plugin, kind, said) {
            Ok(notice) => self.record(notice),
            Err(_) if !self.supervisor.may_log(Instant::now(), plugin) => {}
            Err(Refused::Name) => log::warn!("{plugin}: a check without a name is ignored"),
            Err(Refused::TooMany) => {
                log::warn!("{plugin}: too many checks, \"{check}\" is ignored");
            }
        }
    }

    // ---- the kernel

    pub(super) fn handle_kernel(&mut self, now: Instant, events: Vec<KernelEvent>) {
        if events.contains(&KernelEvent::Forwarding) {
            self.pair.touch();
        }
        let (supervisor, groups) = (&mut self.supervisor, &mut self.groups);
        let notices = self.network.handle_events(now, supervisor, groups, events);
        self.record(notices);
    }

    // ---- the link

    pub(super) fn handle_link(&mut self, now: Instant, report: link::Report) {
        match report {
            link::Report::Started => self.connect_peers(now),
            link::Report::Configured => self.network.forget_usable_paths(),
            link::Report::Up => self.handle_link_up(now),
            link::Report::Down { why } => self.handle_link_down(now, why),
            link::Report::Heard(word) => self.handle_word(now, *word),
            link::Report::Marked { id, channel } => self.groups.handle_marked(id, &channel),
            link::Report::Tell(news) => self.notices.record(news),
        }
    }

    fn connect_peers(&mut self, now: Instant) {
        for plugin in self.supervisor.names() {
            if self.supervisor.is_running(&plugin) {
                self.connect_peer(now, &plugin);
            }
        }
    }

    // Connects a plugin to its peer, also if it was connected before.
    fn connect_peer(&mut self, now: Instant, plugin: &str) {
        let descriptor = self.supervisor.descriptor(plugin);
        let end = descriptor.and_then(|it| self.link.connect(now, it));
        if let Some(end) = end {
            let message = ToPlugin::Channel;
            self.supervisor.send(now, plugin, &message, &[end.as_fd()]);
        }
    }

    fn handle_link_up(&mut self, now: Instant) {
        self.pair.handle_link_up();
        self.groups.handle_link_up();
        // The peer's first offer may follow at once: it waits for the marks of the channels that are known.
        self.sync_channels();
        // The peer may not have been reachable when the pair was frozen.
        if let Some(word) = self.orders.freeze_word() {
            self.link.say(now, word);
        }
    }

    fn handle_link_down(&mut self, now: Instant, why: String) {
        self.groups.handle_link_down(&why);
        for id in self.pair.handle_link_down(why) {
            self.handle_peer_silent(now, id);
        }
    }

    /// Handles a word from the peer's host: well-formed, with contents that are not trusted.
    fn handle_word(&mut self, now: Instant, word: Word) {
        match self.pair.handle_word(word) {
            None => {}
            Some(Word::Ask { id, request, .. }) => self.handle_ask(now, id, &request),
            Some(Word::Begin { id, is_wanted }) => self.handle_begin(now, id, is_wanted),
            Some(Word::Answer { id, answer }) => self.handle_peer_answer(now, id, &answer),
            Some(Word::Status(facts)) => {
                let peer = self.config.peer();
                self.pair.handle_facts(*facts, peer, &mut self.notices);
            }
            Some(Word::Freeze { for_ms, by, age_ms }) if self.notices.take_peer_token(now) => {
                self.handle_freeze(for_ms, &clean::text(&by), age_ms);
            }
            Some(Word::Freeze { .. }) => log::warn!("the peer freezes too often: ignored"),
            Some(word) => {
                let now_ns = clock::monotonic_ns();
                self.groups.handle_peer_word(now_ns, word);
            }
        }
        self.pair.touch();
    }
}
