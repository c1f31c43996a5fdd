//! Reports of the supervisor, and calls of plugins.

use std::time::Instant;

use spared_config::OnFailure;
use spared_group::{Follower, Ticket};
use spared_pair::quality::CheckReport;
use spared_process::clock;
use spared_worker::message::Call;

use super::core::Core;
use crate::events::{Kind, Notice};
use crate::supervisor::Report;

impl Core {
    pub(super) fn handle_report(&mut self, report: Report) {
        let (now, now_ns) = (Instant::now(), clock::monotonic_ns());
        match report {
            Report::Call {
                plugin,
                number,
                call,
            } => self.handle_call(now, plugin, number, call),
            Report::Up { plugin } => self.handle_up(now, &plugin),
            Report::Down { plugin, why } => {
                self.disconnect_peer(now, &plugin);
                self.partners.disconnect(&plugin);
                self.calls.forget(&plugin);
                self.watchers.forget(&plugin);
                self.additions.note_down(&plugin);
                self.note_plugin_down(&plugin);
                self.unfollow_all(&plugin);
                self.groups.handle_plugin_down(now_ns, &plugin, &why);
            }
            Report::GivenUp { plugin, why } => self.handle_given_up(&plugin, why),
            Report::Recovered { plugin } => {
                self.tell_up(&plugin, "runs again");
                self.note_recovered(&plugin);
            }
            Report::Removed { plugin } => {
                self.remove_additions(&plugin);
                self.partners.disconnect(&plugin);
                self.unfollow_all(&plugin);
                self.groups.handle_fit(&plugin);
                self.groups.handle_plugin_removed(now_ns, &plugin);
                self.note_plugin_removed(&plugin);
            }
            Report::Settled {
                plugin,
                group,
                epoch,
            } => {
                self.groups.handle_settled(now_ns, &plugin, &group, epoch);
            }
            Report::Drained {
                plugin,
                group,
                epoch,
                status,
            } => self.groups.handle_drained(&plugin, &group, epoch, status),
            Report::RoleDone {
                plugin,
                group,
                epoch,
                result,
            } => {
                let done = match &result {
                    Ok(()) => Ok(()),
                    Err(why) => Err(why.as_str()),
                };
                self.groups
                    .handle_role_done(now_ns, &plugin, &group, epoch, done);
                self.note_role(plugin, group, result);
            }
            Report::Answered { id, result } => self.handle_answered(now, id, result),
            Report::Stopped { plugin } => self.handle_stopped(now, &plugin),
            Report::Reconfigured { plugin, result } => {
                self.handle_reconfigured(now, &plugin, result);
            }
            Report::Validated { plugin, faults } => self.handle_validated(now, &plugin, faults),
            Report::Check {
                plugin,
                check,
                weight,
                state,
                why,
            } => {
                let said = CheckReport {
                    name: &check,
                    weight,
                    state,
                    why: &why,
                };
                self.handle_check(&plugin, said);
            }
            Report::ForgetCheck { plugin, check } => self.handle_forgotten(&plugin, &check),
            Report::InSync { plugin, yes, why } => self.handle_in_sync(&plugin, yes, &why),
            Report::Scopes { plugin, scopes } => self.handle_scopes(&plugin, scopes),
            Report::Refused { plugin, why } => self.note_plugin_failed(&plugin, &why),
            Report::Line { plugin, text } => self.record_words(&plugin, text),
            Report::Tell(news) => self.events.record(news),
        }
    }

    // Interfaces first, so that the plugin knows what the directives and roles are about.
    fn handle_up(&mut self, now: Instant, plugin: &str) {
        let is_on_trial = self.supervisor.is_on_trial(plugin);
        if !is_on_trial {
            self.tell_up(plugin, "runs");
        }
        let follower = self.follower(plugin);
        self.replay_interfaces(now, plugin);
        self.connect_peer(now, plugin);
        self.connect_partners(now, plugin);
        self.remove_stale_additions(plugin);
        self.note_plugin_up(now, plugin);
        self.groups
            .handle_plugin_up(clock::monotonic_ns(), plugin, follower);
        if !is_on_trial {
            self.note_recovered(plugin);
        }
    }

    fn tell_up(&mut self, plugin: &str, what: &str) {
        let text = format!("{plugin} {what}");
        let notice = Notice::new(Kind::Plugin, text).because("started");
        self.events.record(notice);
    }

    // Ends the consequences of a plugin's failure.
    fn note_recovered(&mut self, plugin: &str) {
        self.note_plugin_recovered(plugin);
        self.groups.handle_fit(plugin);
    }

    pub(super) fn follower(&self, plugin: &str) -> Follower {
        let settings = self.supervisor.settings(plugin);
        let descriptor = self.supervisor.descriptor(plugin);
        Follower {
            after: settings
                .map(|settings| settings.after.clone())
                .unwrap_or_default(),
            follow: settings.and_then(|settings| settings.follow.clone()),
            has_role: descriptor.is_some_and(|descriptor| descriptor.has_role),
            has_drain: descriptor.is_some_and(|descriptor| descriptor.has_drain),
            has_settle: descriptor.is_some_and(|descriptor| descriptor.has_settle),
        }
    }

    fn handle_given_up(&mut self, plugin: &str, why: String) {
        self.note_plugin_failed(plugin, &why);
        let settings = self.supervisor.settings(plugin);
        if settings.is_some_and(|settings| settings.on_failure == OnFailure::Resign) {
            self.groups.handle_unfit(plugin, why);
        }
    }

    // "GROUP: text" from the group's elector is an event of the group. If the text begins with "conflict",
    // the event is of that kind.
    fn record_words(&mut self, plugin: &str, text: String) {
        let about = text.split_once(": ").filter(|(group, _)| {
            let group = self.groups.get(group);
            group.is_some_and(|group| group.owner == plugin)
        });
        let news = match about {
            Some((group, words)) if words.starts_with("conflict") => {
                Notice::warn(Kind::Conflict, words).of_group(group)
            }
            Some((group, words)) => Notice::new(Kind::Report, words).of_group(group),
            None => Notice::new(Kind::Report, format!("{plugin}: {text}")),
        };
        self.events.record(news);
    }

    fn handle_call(&mut self, now: Instant, plugin: String, number: u64, call: Call) {
        let ticket = Ticket {
            plugin: plugin.clone(),
            number,
            part: 0,
        };
        // The plugin waits for the answer, so slow work is done after it is sent.
        match call {
            Call::Follow { interface, sockets } => {
                let status = self.may_follow(&plugin, &interface, sockets);
                self.answer_call(now, &ticket, status);
                if status == 0 {
                    self.follow(now, &plugin, &interface, sockets);
                }
            }
            Call::Unfollow { interface } => {
                let known = self.follows.sockets(&interface, &plugin).is_some();
                let status = if known { 0 } else { -libc::ENOENT };
                self.answer_call(now, &ticket, status);
                self.unfollow(&plugin, &interface);
            }
            Call::Add { group, claims } => self.handle_addition(now, &ticket, group, claims),
            Call::Watch { what } => {
                self.answer_call(now, &ticket, 0);
                self.watchers.set(now, &plugin, what);
            }
            Call::Claim { .. } | Call::Publish { .. } | Call::Announce { .. } => {
                self.handle_group_call(now, &plugin, number, call);
            }
            // The extension is offered to all plugins; only electors may call it.
            _ if !self.supervisor.provides_groups(&plugin) => {
                self.answer_call(now, &ticket, -libc::EPERM);
            }
            Call::Explain { group, role, cause } => {
                self.groups.handle_explain(ticket, &group, role, cause);
            }
            Call::SwitchOver { group, cause } => {
                let now_ns = clock::monotonic_ns();
                self.groups
                    .handle_switch_over(now_ns, ticket, &group, cause);
            }
        }
    }
}
