//! The engine as the SDK's runner drives it, whose clock counts in ns.

use spared_sdk::Trouble;

use super::{Action, Engine, NS, ms};

impl spared_sdk::Engine for Engine {
    type Action = Action;

    fn handle_timeout(&mut self, now_ns: u64) {
        self.handle_timeout(ms(now_ns));
    }

    fn next_timeout(&self, now_ns: u64) -> Option<u64> {
        let at_ms = self.next_timeout(ms(now_ns));
        Some(u64::try_from(at_ms).map_or(now_ns, |at_ms| at_ms.saturating_mul(NS)))
    }

    fn poll_action(&mut self, _now_ns: u64) -> Option<Action> {
        self.next_action()
    }

    fn handle_up(&mut self, now_ns: u64, _wire: u32) {
        self.handle_up(ms(now_ns));
    }

    fn handle_down(&mut self, now_ns: u64) {
        self.handle_down(ms(now_ns));
    }

    fn handle_message(&mut self, now_ns: u64, message: &[u8]) -> Result<(), String> {
        let heard = self.handle_message(ms(now_ns), message);
        heard.map_err(|why| why.to_string())
    }

    fn poll_message(&mut self, now_ns: u64) -> Option<&[u8]> {
        self.poll_message(ms(now_ns))
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
        self.start_drain(ms(now_ns));
    }

    fn is_drained(&self) -> bool {
        self.is_drained()
    }

    // settle: whatever was received is known already
}
