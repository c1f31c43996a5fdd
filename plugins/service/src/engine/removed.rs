//! Services that left the file while they ran: spared no longer stops them, in any role.
//!
//! Each is a failed check until it has stopped, is back in the file, or somebody declares that it may run without
//! spared. Units are recorded for the next worker; services of commands are not.

use super::goal::JobKind;
use super::item::Item;
use super::observation::LOOK_NS;
use super::{Action, Engine};
use crate::config::without_service_suffix;
use crate::job::{Manager, Service, Status};

/// Prefix of the names of recorded units.
const REMOVED: &str = "left ";

/// Service that is no longer in the file.
#[derive(Debug)]
pub(super) struct RemovedService {
    name: String,
    service: Service,
    is_wanted: bool,
    asked_ns: Option<u64>,
    is_reported: bool,
}

impl Engine {
    /// Notes an item that is not in the new file. If it runs, it is reported, also in the answer to the reload.
    pub(super) fn note_removed(&mut self, item: &Item) {
        let Some(service) = item.service.clone() else {
            return;
        };
        let runs = item.observation.status().is_some_and(is_up);
        let starts = item
            .work
            .job()
            .is_some_and(|job| job.kind == JobKind::Start);
        if !runs && !starts || self.is_in_file(item.name(), &service) {
            return;
        }
        let name = item.name().to_owned();
        self.actions.push_back(Action::Event(format!(
            "{name} {}",
            removed_sentence(&service)
        )));
        if let Service::Unit { unit, .. } = &service {
            self.carry_over.set(&removed_key(&name), unit.clone());
        }
        self.removed.push(RemovedService {
            name,
            service,
            is_wanted: true,
            asked_ns: None,
            is_reported: false,
        });
    }

    /// Restores the services that an earlier worker has recorded, at the first configuration.
    pub(super) fn restore_removed(&mut self, manager: Manager) {
        let recorded = self.carry_over.of_prefix(REMOVED);
        for (name, unit) in recorded {
            self.removed.push(RemovedService {
                name,
                service: Service::Unit { manager, unit },
                is_wanted: true,
                asked_ns: None,
                is_reported: false,
            });
        }
    }

    /// Drops the services that are back in the file.
    pub(super) fn drop_returned(&mut self) {
        for removed in std::mem::take(&mut self.removed) {
            if self.is_in_file(&removed.name, &removed.service) {
                self.end_removed(&removed)
            } else {
                self.removed.push(removed)
            }
        }
    }

    /// Drops a service that may run without spared.
    ///
    /// # Errors
    /// No service of that name has left the file.
    pub fn forget(&mut self, now_ns: u64, name: &str) -> Result<(), String> {
        let mut removed = self.removed.iter();
        let Some(at) = removed.position(|removed| {
            without_service_suffix(&removed.name) == without_service_suffix(name)
        }) else {
            return Err(format!("{name:?} did not leave service.toml"));
        };
        let removed = self.removed.swap_remove(at);
        self.end_removed(&removed);
        self.step(now_ns);
        Ok(())
    }

    pub(super) fn request_removed_looks(&mut self, is_looked_at: impl Fn(&Service) -> bool) {
        for removed in &mut self.removed {
            removed.is_wanted |= is_looked_at(&removed.service);
        }
    }

    /// Services to look at now. A service that is still being started is looked at when its job has ended.
    pub(super) fn begin_removed_looks(&mut self, now_ns: u64) -> Vec<Service> {
        let mut services = Vec::new();
        for removed in &mut self.removed {
            let is_busy = self.orphans.iter().any(|it| it.name == removed.name);
            let is_late = |at_ns: u64| now_ns >= at_ns.saturating_add(LOOK_NS);
            removed.asked_ns.take_if(|at_ns| is_late(*at_ns));
            if removed.is_wanted && removed.asked_ns.is_none() && !is_busy {
                removed.is_wanted = false;
                removed.asked_ns = Some(now_ns);
                services.push(removed.service.clone());
            }
        }
        services
    }

    /// Handles a look at a service that is not an item.
    pub(super) fn observe_removed(&mut self, service: &Service, status: &Status) {
        let mut all = self.removed.iter_mut().enumerate();
        let Some((at, removed)) = all.find(|(_, it)| it.service == *service) else {
            return;
        };
        removed.asked_ns = None;
        match status {
            Status::Unknown(_) | Status::Stopping => {}
            status if is_up(status) => self.actions.extend(removed.poll_report()),
            _ => {
                let removed = self.removed.swap_remove(at);
                let name = removed.name.clone();
                self.end_removed(&removed);
                let text = format!("{name}, which left service.toml, has stopped");
                self.actions.push_back(Action::Event(text));
            }
        }
    }

    fn end_removed(&mut self, removed: &RemovedService) {
        self.carry_over.forget(&removed_key(&removed.name));
        if removed.is_reported {
            let name = super::check::check_name_of(&removed.name);
            self.actions.push_back(Action::Forget(name));
        }
    }

    /// True if the file has the service, perhaps under another name with the same commands.
    fn is_in_file(&self, name: &str, service: &Service) -> bool {
        let mut items = self.items.iter();
        items.any(|item| {
            let is_same = without_service_suffix(item.name()) == without_service_suffix(name);
            is_same
                || item
                    .service
                    .as_ref()
                    .is_some_and(|it| are_same_service(it, service))
        })
    }
}

impl RemovedService {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn service(&self) -> &Service {
        &self.service
    }

    /// Failed check, once.
    fn poll_report(&mut self) -> Option<Action> {
        let was_reported = std::mem::replace(&mut self.is_reported, true);
        (!was_reported).then(|| Action::Report {
            name: super::check::check_name_of(&self.name),
            weight: 0,
            state: Some(0),
            why: removed_sentence(&self.service),
        })
    }
}

fn removed_key(name: &str) -> String {
    format!("{REMOVED}{name}")
}

fn is_up(status: &Status) -> bool {
    matches!(
        status,
        Status::Running | Status::Restarted | Status::Starting | Status::AwaitsTrigger(_)
    )
}

fn are_same_service(one: &Service, other: &Service) -> bool {
    match (one, other) {
        (
            Service::Commands { start, stop, .. },
            Service::Commands {
                start: their_start,
                stop: their_stop,
                ..
            },
        ) => start == their_start && stop == their_stop,
        (one, other) => one == other,
    }
}

fn removed_sentence(service: &Service) -> String {
    let stop = match service {
        Service::Unit { manager, unit } => match manager {
            Manager::Systemd => format!("systemctl stop {unit}"),
            Manager::OpenRc => format!("rc-service {unit} stop"),
            Manager::Procd => format!("/etc/init.d/{unit} stop"),
            Manager::Runit => format!("sv down {unit}"),
        },
        Service::Commands { stop, .. } => stop.join(" "),
    };
    format!("is no longer in service.toml and still runs here: run `{stop}`, or put it back")
}
