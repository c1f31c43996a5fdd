//! `spared.status/1`: the state of the pair and its events, as the host tells them.

use std::ffi::c_void;

use spared_abi as abi;
use spared_contract::{Call, EventRecord, FindingRecord, GroupHeadline, PairStatus};

use super::host::{enter, size};
use super::{Driver, lent};

pub static WATCH: abi::Watch = abi::Watch {
    size: size::<abi::Watch>(),
    reserved: 0,
    watch: Some(watch),
};

unsafe extern "C" fn watch(ctx: *mut c_void, what: u32) -> abi::Status {
    let driver = enter!(ctx, "watch");
    match lent::check_flags("watch", what) {
        Ok(()) => driver.call(Call::Watch { what }),
        Err(why) => driver.refuse("watch", &why),
    }
}

impl Driver {
    pub(super) fn tell_status(&self, status: &PairStatus) {
        let Some(callback) = self.plugin.watch.status else {
            return;
        };
        let groups: Vec<_> = status.groups.iter().map(GroupHeadline::to_raw).collect();
        let findings: Vec<_> = status.findings.iter().map(FindingRecord::to_raw).collect();
        let raw = status.to_raw(&groups, &findings);
        // SAFETY: the plugin's contract; the status, its arrays and texts live through the call.
        self.tell("status", |instance| unsafe {
            callback(instance, &raw const raw)
        });
    }

    pub(super) fn tell_event(&self, event: &EventRecord) {
        let Some(callback) = self.plugin.watch.event else {
            return;
        };
        let raw = event.to_raw();
        // SAFETY: the plugin's contract; the event and its texts live through the call.
        self.tell("event", |instance| unsafe {
            callback(instance, &raw const raw)
        });
    }
}
