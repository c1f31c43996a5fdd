//! Answers of a node on its control socket.

use std::thread::{self, JoinHandle};

use spared_message::control::{
    Answer, Event, GroupStatus, LinkStatus, PeerStatus, PluginStatus, Request, Status, Value, ask,
};

use super::{Node, SOON};

impl Node {
    pub fn ask(&self, request: &Request) -> Answer {
        ask(&self.path("run"), request, SOON)
            .unwrap_or_else(|error| panic!("{}: {error}\n{}", self.name, self.log()))
    }

    /// Sends a request from another thread, while the test continues.
    pub fn ask_beside(&self, request: Request) -> JoinHandle<Answer> {
        let folder = self.path("run");
        thread::spawn(move || ask(&folder, &request, SOON).unwrap())
    }

    /// Lines of a verb that succeeds.
    pub fn done(&self, request: &Request) -> Vec<String> {
        match self.ask(request) {
            Answer::Done { lines } => lines,
            other => panic!("{}: {other:?}\n{}", self.name, self.log()),
        }
    }

    /// Lines of a verb that is refused or fails.
    pub fn refused(&self, request: &Request) -> Vec<String> {
        match self.ask(request) {
            Answer::Error { lines, .. } => lines,
            other => panic!("{}: {other:?}\n{}", self.name, self.log()),
        }
    }

    /// Status; None while nobody answers.
    pub fn try_status(&self) -> Option<Status> {
        match ask(&self.path("run"), &Request::Status, SOON) {
            Ok(Answer::Status(status)) => Some(*status),
            _ => None,
        }
    }

    pub fn status(&self) -> Status {
        self.expect("status", self.try_status())
    }

    /// Status of the group office.
    pub fn group(&self) -> GroupStatus {
        let mut groups = self.status().groups.into_iter();
        self.expect("group", groups.find(|group| group.name == "office"))
    }

    /// Role of the only group; empty if there is none.
    pub fn role(&self) -> String {
        let groups = self.status().groups;
        groups.first().map(|it| it.role.clone()).unwrap_or_default()
    }

    pub fn plugin(&self, name: &str) -> PluginStatus {
        let mut plugins = self.status().plugins.into_iter();
        self.expect(name, plugins.find(|plugin| plugin.name == name))
    }

    pub fn link(&self, interface: &str) -> LinkStatus {
        let mut links = self.status().links.into_iter();
        self.expect(interface, links.find(|link| link.interface == interface))
    }

    pub fn peer(&self) -> PeerStatus {
        *self.expect("peer", self.status().peer)
    }

    fn expect<T>(&self, what: &str, found: Option<T>) -> T {
        found.unwrap_or_else(|| panic!("{}: no {what}\n{}", self.name, self.log()))
    }

    /// Row of a plugin's answer to `status`; empty if there is none.
    pub fn row(&self, plugin: &str, key: &str) -> String {
        let request = Request::Plugin {
            name: plugin.to_owned(),
            argv: vec!["status".to_owned()],
        };
        match self.ask(&request) {
            Answer::Rows { rows, .. } => match rows.get(key) {
                Some(Value::Text(text)) => text.clone(),
                Some(Value::Number(number)) => number.to_string(),
                Some(Value::Signed(number)) => number.to_string(),
                Some(Value::Flag(flag)) => flag.to_string(),
                None => String::new(),
            },
            _ => String::new(),
        }
    }

    pub fn events(&self) -> Vec<Event> {
        match self.ask(&Request::Events { limit: 1024 }) {
            Answer::Events { events } => events,
            other => panic!("{}: {other:?}", self.name),
        }
    }

    pub fn has_event(&self, kind: &str, reason: &str) -> bool {
        let mut events = self.events().into_iter();
        events.any(|event| event.event == kind && event.reason.as_deref() == Some(reason))
    }

    pub fn wait_for_role(&self, role: &str) {
        self.wait(&format!("the role {role}"), || self.role() == role);
    }

    pub fn wait_for_plugin(&self, name: &str, state: &str) {
        self.wait(&format!("{name} {state}"), || {
            let mut plugins = self.status().plugins.into_iter();
            plugins.any(|plugin| plugin.name == name && plugin.state == state)
        });
    }
}
