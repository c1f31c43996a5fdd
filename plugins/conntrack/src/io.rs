//! I/O of the plugin: events from the kernel, changes to it, answers to people.

use spared_sdk::{Error, Interest, Sockets};

use super::engine::{Action, Engine};
use super::kernel::ReadProgress;
use super::{Conntrack, GO_ON, LISTEN, kernel};

/// Longest time for which a dump is read in one turn of the loop.
const SLICE_NS: u64 = 2_000_000;

/// When notifications are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Now,
    /// Events gather in the kernel until a timer.
    Later,
    /// Events wait in the kernel until the channel accepts more.
    Congested,
}

impl Conntrack {
    /// Reads pending notifications, then pauses so that more of them gather.
    pub(super) fn hear(&mut self, engine: &mut Engine, now_ns: u64) {
        if engine.is_congested() {
            return self.pause(Reading::Congested);
        }
        if self.kernel.read_notifications(now_ns, engine) == ReadProgress::Some {
            return;
        }
        engine.handle_heard_all();
        let gather = engine.gathers();
        let until_ns = now_ns + self.settings.batch_ns;
        if gather && self.host.timer(LISTEN, until_ns).is_ok() {
            self.pause(Reading::Later);
        }
    }

    fn pause(&mut self, until: Reading) {
        self.reading = until;
        self.host.unwatch_fd(self.kernel.notifications());
    }

    pub(super) fn listen(&mut self) {
        if self.reading == Reading::Now {
            return;
        }
        let fd = self.kernel.notifications();
        match self.host.watch_fd(fd, Interest::READ) {
            Ok(()) => self.reading = Reading::Now,
            Err(error) => log::error!("{error}"),
        }
    }

    pub(super) fn read_dump(&mut self, engine: &mut Engine, begun_ns: u64) {
        let until_ns = begun_ns + SLICE_NS;
        let mut now_ns = begun_ns;
        while self.kernel.is_dumping() && engine.wants_more() && now_ns < until_ns {
            self.kernel.read_dump(now_ns, engine);
            now_ns = self.host.now();
        }
    }

    pub(super) fn learn_addresses(&mut self, engine: &mut Engine) {
        if let Some(own) = self.kernel.own_addresses() {
            engine.handle_own_addresses(self.host.now(), own.all);
            engine.handle_node_addresses(own.node);
        }
    }

    pub(super) fn look_for_proxies(&mut self, engine: &mut Engine, now_ns: u64) {
        if !self.settings.filter.proxied && engine.listens() {
            if let Some(taken) = self.kernel.taken(now_ns) {
                engine.handle_taken(now_ns, taken);
            }
        }
    }

    /// Finds by which interfaces flows leave that are translated to an address of the other node:
    /// the fence drops them on some.
    pub(super) fn look_for_egress(&self, engine: &mut Engine) {
        let destinations = engine.take_destinations();
        if !destinations.is_empty() {
            match kernel::egress(&destinations) {
                Ok(found) => engine.handle_egress(found),
                Err(error) => log::debug!("cannot read rules or routes: {error}"),
            }
        }
    }

    /// Enables events in the kernel again, since others may disable them, such as
    /// `sysctl --system`.
    pub(super) fn keep_events(&mut self, engine: &mut Engine) {
        match kernel::enable_events() {
            Ok(is_anew) => engine.handle_hearing(is_anew),
            Err(why) => engine.handle_deaf(why),
        }
    }

    /// Follows the interfaces of `dynamic_nat`, and unfollows those that were in it before.
    pub(super) fn follow(&self, before: &[String]) -> Result<(), Error> {
        let interfaces = self.host.interfaces();
        let wanted = &self.settings.dynamic_nat;
        for name in before.iter().filter(|name| !wanted.contains(name)) {
            interfaces.unfollow(name)?;
        }
        for name in wanted.iter().filter(|name| !before.contains(name)) {
            interfaces.follow(name, Sockets::NONE)?;
        }
        Ok(())
    }

    /// Runs the gathered changes and continues everything that runs in pieces. Returns true if the
    /// engine has new actions.
    pub(super) fn go_on(&mut self, engine: &mut Engine, now_ns: u64) -> bool {
        if self.reading == Reading::Congested && !engine.is_congested() {
            self.listen();
            // a drain has to know that there are no events, and then the descriptor stays silent
            self.hear(engine, now_ns);
        }
        engine.go_on(now_ns);
        self.kernel.flush(now_ns, engine);
        if !self.probes.is_empty() {
            let probes = std::mem::take(&mut self.probes);
            self.kernel.probe(now_ns, probes, engine);
        }
        if self.kernel.is_dumping() && engine.wants_more() {
            let _ = self.host.timer(GO_ON, now_ns);
        }
        engine.has_actions()
    }

    pub(super) fn act(
        &mut self,
        engine: &mut Engine,
        now_ns: u64,
        action: Action,
    ) -> Result<(), Error> {
        let kernel = &mut self.kernel;
        match action {
            Action::Subscribe(wanted) => kernel.subscribe(wanted),
            Action::Write(change) => kernel.write(now_ns, change, engine),
            Action::Find(flows) => kernel.find(now_ns, &flows, engine),
            Action::Probe(flow) => self.probes.push(flow),
            Action::Ask(questions) => kernel.ask(now_ns, questions, engine),
            Action::Dump(source) => {
                kernel.flush(now_ns, engine);
                engine.handle_hiding(kernel.hides(now_ns));
                if let Err(error) = kernel.start_dump(source) {
                    log::error!("{error}");
                    engine.handle_dump_end(now_ns, false);
                }
            }
            Action::StopDump => kernel.stop_dump(),
            Action::ReadTimeouts => engine.handle_kernel_timeouts(kernel::timeouts()),
            Action::Compared(rows) => self.waiting.end_comparison(rows),
            Action::Listed(rows) => self.waiting.end_list(rows),
            Action::Warn(text) => log::warn!("{text}"),
            Action::Info(text) => log::info!("{text}"),
            Action::Event(text) => self.host.event(&text),
        }
        Ok(())
    }
}

pub(super) fn warn_of_small_buffer(got: usize, wanted: usize) {
    // the kernel doubles the size that is requested, and reports the doubled one
    if got / 2 < wanted {
        log::warn!(
            "the kernel's buffer for events has {} KiB instead of {}: without CAP_NET_ADMIN the limit is \
             net.core.rmem_max; a burst of events causes a resync",
            got / 2048,
            wanted / 1024
        );
    }
}
