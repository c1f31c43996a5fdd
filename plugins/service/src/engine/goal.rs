//! Goals of items in a role.

use spared_sdk::Role;

use crate::config::{self, Kind, Target, Wish};
use crate::job::{Job, Manager, Route, Service};

/// Intended state of an item.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Goal {
    /// The item stays as it is.
    #[default]
    Leave,
    Running,
    Stopped,
    /// Done once at each change, because its result cannot be observed.
    Once(Task),
    /// Done at each change and at each poll, because a repetition changes nothing.
    Kept(Job),
}

impl Goal {
    /// True if the goal is new at each change between active and not active, also if both have the same one. The same rules
    /// and files are left alone: the state is that of the file already, and another load would empty sets of addresses.
    pub(super) fn is_of_one_change(&self) -> bool {
        matches!(self, Self::Once(Task::Reload | Task::Command(_)))
    }

    /// Text for the next worker, which does nothing for a goal with the same text.
    pub(super) fn record(&self, is_active: bool) -> String {
        match (self.is_of_one_change(), is_active) {
            (false, _) => format!("{self:?}"),
            (true, true) => format!("{self:?} while active"),
            (true, false) => format!("{self:?} while not active"),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Task {
    Reload,
    Command(Vec<String>),
    Job(Job),
}

/// Job that leads to the goal.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum JobKind {
    Start,
    Stop,
    Kill,
    Bounce,
    Task(Task),
    Keep(Job),
}

impl JobKind {
    /// Word in a message such as "squid: WORD failed".
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Kill => "kill",
            Self::Bounce => "bounce",
            Self::Task(Task::Reload) => "reload",
            Self::Task(Task::Command(_)) => "its command",
            Self::Task(Task::Job(_)) | Self::Keep(_) => "change",
        }
    }
}

/// Goal of an item. `routes` are those that some item wants now, perhaps this one.
pub(super) fn goal(item: &config::Item, role: Option<Role>, routes: &[Route]) -> Goal {
    let Some(role) = role else {
        return Goal::Leave;
    };
    let kept = |job: Option<Job>| job.map_or(Goal::Leave, Goal::Kept);
    let once = |job: Option<Job>| job.map_or(Goal::Leave, |job| Goal::Once(Task::Job(job)));
    match &item.kind {
        Kind::Service { wishes, .. } => match wishes.of(role) {
            Wish::Start => Goal::Running,
            Wish::Stop => Goal::Stopped,
            Wish::Leave => Goal::Leave,
            Wish::Reload => Goal::Once(Task::Reload),
            Wish::Run(argv) => Goal::Once(Task::Command(argv.clone())),
        },
        Kind::Interface { interface, up, .. } => kept(up.of(role).map(|up| Job::Link {
            interface: interface.clone(),
            up,
        })),
        Kind::Setting { key, values } => kept(values.of(role).clone().map(|value| Job::Setting {
            key: key.clone(),
            value,
        })),
        Kind::Route { route, .. } => Goal::Kept(Job::Route {
            route: route.clone(),
            present: routes.contains(route),
        }),
        Kind::Rules { files } => once(files.of(role).clone().map(|file| Job::Rules { file })),
        Kind::File { path, sources } => once(sources.of(role).clone().map(|from| Job::Copy {
            from,
            to: path.clone(),
        })),
    }
}

/// Service that a job of the item starts or stops; None if the item is not a service.
pub(super) fn service(item: &config::Item, manager: Manager) -> Option<Service> {
    let Kind::Service { target, .. } = &item.kind else {
        return None;
    };
    Some(match target.clone() {
        Target::Unit(unit) => Service::Unit { manager, unit },
        Target::Commands {
            start,
            stop,
            status,
            reload,
        } => Service::Commands {
            name: item.name.clone(),
            start,
            stop,
            status,
            reload,
        },
    })
}
