//! What IKE daemons call SAs, here and after a failover.

use super::{Engine, Named};
use crate::sa::ChildName;
use crate::vici::ViciEvent;

/// Of a name on its way to the peer.
const NAME_MAX: usize = 255;

impl Engine {
    /// What the IKE daemon here said; a text for the log.
    pub fn handle_vici(&mut self, now_ms: u64, said: ViciEvent) -> Option<String> {
        match said {
            ViciEvent::Names(names) => self.handle_names(now_ms, names),
            ViciEvent::Adopted(name, result) => self.handle_adopted(now_ms, &name, result),
            ViciEvent::Daemon(word) => self.handle_daemon(now_ms, word),
            ViciEvent::Note(text) => return Some(text),
        }
        None
    }

    /// All that the IKE daemon here calls by name.
    pub fn handle_names(&mut self, now_ms: u64, names: Vec<Named>) {
        let fits = |name: &str| {
            let shown = !name.chars().any(char::is_control);
            (1..=NAME_MAX).contains(&name.len()) && shown
        };
        let names = names.into_iter();
        let names = names.filter(|it| fits(&it.name.ike) && fits(&it.name.child));
        self.names = names.map(|it| (it.spi, it.name)).collect();
        let mut renamed = Vec::new();
        for (id, known) in &mut self.store.sas {
            // a daemon that starts anew knows less, and not better
            let Some(name) = self.names.get(&id.spi) else {
                continue;
            };
            if known.name.as_ref() != Some(name) {
                known.name = Some(name.clone());
                renamed.push(*id);
            }
        }
        for id in renamed {
            self.sort_sa(now_ms, &id);
        }
    }

    /// The IKE daemon established a child anew, or did not.
    pub fn handle_adopted(&mut self, _now_ms: u64, name: &ChildName, result: Result<(), String>) {
        let ChildName { ike, child } = name;
        match result {
            Ok(()) => self.event(format!("child {child} of {ike} is established anew")),
            Err(why) => self.event(format!("child {child} of {ike} is not adopted: {why}")),
        }
    }
}
