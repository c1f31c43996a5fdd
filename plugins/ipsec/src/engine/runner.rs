//! Implements the trait through which the SDK's runner drives the engine.

use spared_sdk::{Role, Trouble};

use super::{Action, Engine, MissingFeature};

impl spared_sdk::Engine for Engine {
    type Action = Action;

    fn handle_timeout(&mut self, now_ns: u64) {
        self.handle_timeout(now_ns);
    }

    fn next_timeout(&self, now_ns: u64) -> Option<u64> {
        Some(self.next_timeout(now_ns)).filter(|at_ns| *at_ns < u64::MAX)
    }

    fn poll_action(&mut self, now_ns: u64) -> Option<Action> {
        self.set_now(now_ns);
        self.poll_action()
    }

    fn handle_role(&mut self, now_ns: u64, group: &str, role: Role) {
        self.handle_role(now_ns, group, role == Role::Active);
    }

    fn handle_up(&mut self, now_ns: u64, _wire: u32) {
        self.handle_up(now_ns);
    }

    fn handle_down(&mut self, now_ns: u64) {
        self.handle_down(now_ns);
    }

    fn handle_message(&mut self, now_ns: u64, message: &[u8]) -> Result<(), String> {
        let done = self.handle_message(now_ns, message);
        done.map_err(|why| why.to_string())
    }

    fn wants_message(&self) -> bool {
        self.replica.can_receive(&self.store)
    }

    fn poll_message(&mut self, now_ns: u64) -> Option<&[u8]> {
        self.poll_message(now_ns)
    }

    fn message_sent(&mut self, _now_ns: u64) {
        self.message_sent();
    }

    fn in_sync(&self) -> Option<Result<(), String>> {
        Some(self.readiness.result().clone())
    }

    fn troubles(&self) -> Vec<Trouble> {
        let found = [
            ("kernel", self.readiness.missing().map(MissingFeature::text)),
            ("tunnels", self.readiness.tunnels().map(String::as_str)),
            (
                "connections",
                self.ike.connections.fault().map(String::as_str),
            ),
            ("pools", self.ike.withheld.fault()),
            ("sessions", self.ike.feed.fault()),
        ];
        let troubles = found
            .into_iter()
            .filter_map(|(thing, why)| Some(Trouble::new(thing, why?)));
        troubles.collect()
    }

    fn start_drain(&mut self, now_ns: u64, deadline_ns: u64) {
        self.handle_drain(now_ns, deadline_ns);
    }

    fn is_drained(&self) -> bool {
        self.is_drained()
    }

    fn start_settle(&mut self, now_ns: u64, _deadline_ns: u64) {
        self.handle_settle(now_ns);
    }

    fn is_settled(&self) -> bool {
        self.is_settled(self.store.now_ns)
    }

    fn is_settled_enough(&self, now_ns: u64) -> bool {
        self.is_settled(now_ns)
    }
}
