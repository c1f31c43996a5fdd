//! Services that left the file while they ran: spared no longer stops them, in any role.
//!
//! Each is a failed check until it has stopped, is back in the file, or somebody declares that it may run without
//! spared. Units are recorded for the next worker; services of commands are not.

use super::goal::Deed;
use super::item::Item;
use super::observation::LOOK_NS;
use super::{Action, Engine};
use crate::config::bare;
use crate::job::{Manager, Service, Status};

/// Prefix of the names of recorded units.
const LEFT: &str = "left ";

/// Service that is no longer in the file.
#[derive(Debug)]
pub(super) struct Left {
    name: String,
    service: Service,
    is_wanted: bool,
    asked_ns: Option<u64>,
    is_told: bool,
}

impl Engine {
    /// Notes an item that is not in the new file. If it runs, it is reported, also in the answer to the reload.
    pub(super) fn note_left(&mut self, item: &Item) {
        let Some(service) = item.service.clone() else {
            return;
        };
        let runs = item.observation.status().is_some_and(is_up);
        let starts = item.work.job().is_some_and(|job| job.deed == Deed::Start);
        if !runs && !starts || self.is_in_file(&item.spec.name, &service) {
            return;
        }
        let name = item.spec.name.clone();
        self.actions
            .push_back(Action::Event(format!("{name} {}", words(&service))));
        if let Service::Unit { unit, .. } = &service {
            self.memory.set(&key(&name), unit.clone());
        }
        self.left.push(Left {
            name,
            service,
            is_wanted: true,
            asked_ns: None,
            is_told: false,
        });
    }

    /// Restores the services that an earlier worker has recorded, at the first configuration.
    pub(super) fn recall_left(&mut self, manager: Manager) {
        let recorded = self.memory.of_prefix(LEFT);
        for (name, unit) in recorded {
            self.left.push(Left {
                name,
                service: Service::Unit { manager, unit },
                is_wanted: true,
                asked_ns: None,
                is_told: false,
            });
        }
    }

    /// Drops the services that are back in the file.
    pub(super) fn take_back(&mut self) {
        for left in std::mem::take(&mut self.left) {
            if self.is_in_file(&left.name, &left.service) {
                self.end_left(&left)
            } else {
                self.left.push(left)
            }
        }
    }

    /// Drops a service that may run without spared.
    ///
    /// # Errors
    /// No service of that name has left the file.
    pub fn forget(&mut self, now_ns: u64, name: &str) -> Result<(), String> {
        let mut left = self.left.iter();
        let Some(at) = left.position(|left| bare(&left.name) == bare(name)) else {
            return Err(format!("{name:?} did not leave service.toml"));
        };
        let left = self.left.swap_remove(at);
        self.end_left(&left);
        self.step(now_ns);
        Ok(())
    }

    pub(super) fn look_at_left(&mut self, is_looked_at: impl Fn(&Service) -> bool) {
        for left in &mut self.left {
            left.is_wanted |= is_looked_at(&left.service);
        }
    }

    /// Services to look at now. A service that is still being started is looked at when its job has ended.
    pub(super) fn looks_at_left(&mut self, now_ns: u64) -> Vec<Service> {
        let mut services = Vec::new();
        for left in &mut self.left {
            let is_busy = self.orphans.iter().any(|it| it.name == left.name);
            let is_late = |at_ns: u64| now_ns >= at_ns.saturating_add(LOOK_NS);
            left.asked_ns.take_if(|at_ns| is_late(*at_ns));
            if left.is_wanted && left.asked_ns.is_none() && !is_busy {
                left.is_wanted = false;
                left.asked_ns = Some(now_ns);
                services.push(left.service.clone());
            }
        }
        services
    }

    /// Handles a look at a service that is not an item.
    pub(super) fn see_left(&mut self, service: &Service, status: &Status) {
        let mut all = self.left.iter();
        let Some(at) = all.position(|left| left.service == *service) else {
            return;
        };
        if let Some(left) = self.left.get_mut(at) {
            left.asked_ns = None;
        }
        match status {
            Status::Unknown(_) | Status::Stopping => {}
            status if is_up(status) => self.report_left(at),
            _ => {
                let left = self.left.swap_remove(at);
                let name = left.name.clone();
                self.end_left(&left);
                let text = format!("{name}, which left service.toml, has stopped");
                self.actions.push_back(Action::Event(text));
            }
        }
    }

    fn report_left(&mut self, at: usize) {
        let Some(left) = self.left.get_mut(at) else {
            return;
        };
        if !std::mem::replace(&mut left.is_told, true) {
            self.actions.push_back(Action::Report {
                name: super::check::name_of(&left.name),
                weight: 0,
                state: Some(0),
                why: words(&left.service),
            });
        }
    }

    fn end_left(&mut self, left: &Left) {
        self.memory.forget(&key(&left.name));
        if left.is_told {
            let name = super::check::name_of(&left.name);
            self.actions.push_back(Action::Forget { name });
        }
    }

    /// True if the file has the service, perhaps under another name with the same commands.
    fn is_in_file(&self, name: &str, service: &Service) -> bool {
        let mut items = self.items.iter();
        items.any(|item| {
            let is_same = bare(&item.spec.name) == bare(name);
            is_same
                || item
                    .service
                    .as_ref()
                    .is_some_and(|it| are_same(it, service))
        })
    }
}

impl Left {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn service(&self) -> &Service {
        &self.service
    }
}

fn key(name: &str) -> String {
    format!("{LEFT}{name}")
}

fn is_up(status: &Status) -> bool {
    matches!(
        status,
        Status::Running | Status::Restarted | Status::Starting | Status::Armed(_)
    )
}

fn are_same(one: &Service, other: &Service) -> bool {
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

fn words(service: &Service) -> String {
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
