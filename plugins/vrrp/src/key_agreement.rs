//! Executes the key agreement's actions: requests to the process that holds the nodes' keys, frames
//! on every path, and the effects of a confirmed key.

use spared_sdk::Identity;

use crate::Vrrp;
use crate::heartbeats::Request;

const KEY_CHECK: &str = "key";
const KEY_WHY: &str = "two machines have the peer's key: stop one, or give it another key";

impl Identity for Vrrp {
    fn signed(&mut self, ticket: u64, signature: &[u8]) {
        if let Some(links) = &mut self.links {
            links.handle_signed(self.host.now(), ticket, signature);
        }
        self.execute_actions();
    }

    fn verified(&mut self, ticket: u64, genuine: bool) {
        if let Some(links) = &mut self.links {
            links.handle_verified(self.host.now(), ticket, genuine);
        }
        self.execute_actions();
    }
}

impl Vrrp {
    /// Executes all actions of the agreement, and then those of the engine that result.
    pub(crate) fn execute_agreement(&mut self) {
        let now_ns = self.host.now();
        let (Some(links), Some(engine)) = (&mut self.links, &mut self.engine) else {
            return;
        };
        // the patience depends on the peer's interval as well
        links.set_patience(engine.longest_silence_ns());
        let events = links.take_events(now_ns);
        while let Some(request) = links.poll_request() {
            let identity = self.identity;
            let asked = match &request {
                Request::Sign { ticket, statement } => identity.sign(*ticket, statement),
                Request::Verify {
                    ticket,
                    statement,
                    signature,
                } => identity.verify(*ticket, statement, signature),
            };
            // it is requested again a second later
            if let Err(error) = asked {
                log::debug!("keys of heartbeats: {error}");
            }
        }
        let sockets = &self.sockets;
        links.send_offers(
            || engine.targets(),
            |interface, to, bytes| {
                let sockets = sockets.get(interface);
                sockets.is_some_and(|sockets| sockets.send(to, bytes).is_ok())
            },
        );
        if events.is_peer_suspected {
            engine.handle_possible_peer(now_ns);
        }
        if events.is_cloned {
            engine.handle_cloned(now_ns);
        }
        if events.needs_heartbeat {
            engine.begin_round_soon(now_ns);
        }
        if events.has_second_machine {
            let peer = links.peer().unwrap_or("the peer");
            if let Some(text) = self.second_machine.handle_heard(now_ns, peer) {
                self.host.event(&text);
            }
        }
        self.report_second_machine(now_ns);
    }

    /// Reports a check without weight: this node's quality is unchanged, but there is a fault.
    fn report_second_machine(&mut self, now_ns: u64) {
        let checks = self.host.checks();
        let reported = match self.second_machine.poll_check(now_ns) {
            Some(true) => checks.report(KEY_CHECK, 0, 0, KEY_WHY),
            Some(false) => checks.forget(KEY_CHECK),
            None => return,
        };
        if let Err(error) = reported {
            log::warn!("{error}");
        }
    }
}
