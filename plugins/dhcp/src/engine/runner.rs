//! Implements the trait through which the SDK's runner drives the engine.

use spared_sdk::Trouble;

use super::{Action, Engine};

impl spared_sdk::Engine for Engine {
    type Action = Action;

    fn handle_timeout(&mut self, now_ns: u64) {
        self.handle_timeout(now_ns);
    }

    fn next_timeout(&self, now_ns: u64) -> Option<u64> {
        Some(self.next_timeout(now_ns))
    }

    fn poll_action(&mut self, _now_ns: u64) -> Option<Action> {
        self.next_action()
    }

    fn handle_up(&mut self, now_ns: u64, _wire: u32) {
        self.handle_up(now_ns);
    }

    fn handle_down(&mut self, now_ns: u64) {
        self.handle_down(now_ns);
    }

    fn handle_message(&mut self, now_ns: u64, message: &[u8]) -> Result<(), String> {
        let heard = self.handle_message(now_ns, message);
        heard.map_err(|why| why.to_string())
    }

    fn poll_message(&mut self, now_ns: u64) -> Option<&[u8]> {
        self.poll_message(now_ns)
    }

    fn message_sent(&mut self, _now_ns: u64) {
        self.message_sent();
    }

    fn in_sync(&self) -> Option<Result<(), String>> {
        Some(self.readiness())
    }

    fn troubles(&self) -> Vec<Trouble> {
        self.troubles()
    }

    fn start_drain(&mut self, now_ns: u64, _deadline_ns: u64) {
        self.start_drain(now_ns);
    }

    fn is_drained(&self) -> bool {
        self.is_drained()
    }

    // settle: everything that was received is in the book already
}
