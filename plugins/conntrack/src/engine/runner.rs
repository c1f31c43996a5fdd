//! Implements the trait through which the SDK's runner drives the engine.

use super::{Action, Engine};

impl spared_sdk::Engine for Engine {
    type Action = Action;

    fn handle_timeout(&mut self, now_ns: u64) {
        self.handle_timeout(now_ns);
    }

    fn next_timeout(&self, now_ns: u64) -> Option<u64> {
        self.next_timeout(now_ns)
    }

    fn poll_action(&mut self, _now_ns: u64) -> Option<Action> {
        self.poll_action()
    }

    fn handle_up(&mut self, now_ns: u64, wire: u32) {
        self.handle_up(now_ns, wire);
    }

    fn handle_down(&mut self, now_ns: u64) {
        self.handle_down(now_ns);
    }

    fn handle_message(&mut self, now_ns: u64, message: &[u8]) -> Result<(), String> {
        let heard = self.handle_message(now_ns, message);
        heard.map_err(|why| why.to_string())
    }

    // Each message is in the kernel before the next one is taken.
    fn wants_message(&self) -> bool {
        !self.has_actions()
    }

    fn poll_message(&mut self, now_ns: u64) -> Option<&[u8]> {
        self.poll_message(now_ns)
    }

    fn message_sent(&mut self, now_ns: u64) {
        self.message_sent(now_ns);
    }

    fn in_sync(&self) -> Option<Result<(), String>> {
        self.in_sync()
    }

    fn troubles(&self) -> Vec<spared_sdk::Trouble> {
        self.troubles()
    }

    fn is_drained(&self) -> bool {
        !self.is_draining()
    }
}
