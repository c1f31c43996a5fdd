//! Counts role changes; `sparectl counter` shows how many.

use spared_sdk::config::Config;
use spared_sdk::*;

struct Counter(u64);

impl Plugin for Counter {
    type Settings = ();
    fn create(_host: Host) -> Result<Self, Error> {
        Ok(Self(0))
    }
    fn read(_config: &Config) -> Result<(), Error> {
        Ok(())
    }
}

impl Roles for Counter {
    fn role(&mut self, event: &RoleEvent, _token: Token) -> Result<Progress, Error> {
        self.0 += 1;
        log::info!("{} is {}, change {}", event.group, event.role, self.0);
        Ok(Progress::Done)
    }
}

impl Query for Counter {
    fn query(&mut self, _argv: &[&str], answer: &mut Answer) -> Result<Progress, Error> {
        answer.number("changes", self.0)?;
        Ok(Progress::Done)
    }
}

plugin!(Counter {
    name: "counter",
    summary: "counts role changes",
    parts: [roles, query]
});
