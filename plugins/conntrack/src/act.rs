//! Between the engine, the kernel, the peer and the clock: what is heard, done, sent, and when next.

use spared_sdk::{Interest, SendError};

use super::engine::{Action, Finished};
use super::kernel::Heard;
use super::{Conntrack, GO_ON, LISTEN, Listening, Running, rows};

impl Conntrack {
    /// Reads notifications, then leaves them to gather for a while.
    pub(super) fn hear(&mut self) {
        let now_ns = self.host.now();
        let Some(running) = &mut self.running else {
            return;
        };
        if running.engine.is_congested() {
            return self.pause(Listening::Congested);
        }
        if running.kernel.hear(now_ns, &mut running.engine) == Heard::Some {
            return;
        }
        running.engine.handle_heard_all();
        let gather = self.settings.batch_ns > 0 && !running.engine.is_draining();
        if gather
            && self
                .host
                .timer(LISTEN, now_ns + self.settings.batch_ns)
                .is_ok()
        {
            self.pause(Listening::Later);
        }
    }

    fn pause(&mut self, until: Listening) {
        if let Some(running) = &mut self.running {
            running.listening = until;
            self.host.unwatch_fd(running.kernel.notifications());
        }
    }

    pub(super) fn listen(&mut self) {
        let Some(running) = &mut self.running else {
            return;
        };
        if running.listening == Listening::Now {
            return;
        }
        let fd = running.kernel.notifications();
        match self.host.watch_fd(fd, Interest::READ) {
            Ok(()) => running.listening = Listening::Now,
            Err(error) => log::error!("{error}"),
        }
    }

    /// Does what the engine wants, sends what it has to say, then sets the timers.
    pub(super) fn act(&mut self) {
        loop {
            self.perform_all();
            if !self.send() {
                break;
            }
        }
        if self.running.as_ref().is_some_and(Running::may_listen_again) {
            self.listen();
        }
        self.arm();
    }

    fn perform_all(&mut self) {
        loop {
            let now_ns = self.host.now();
            if let Some(running) = &mut self.running {
                running.engine.go_on(now_ns);
            }
            while let Some(action) = self.running.as_mut().and_then(|it| it.engine.poll_action()) {
                self.perform(now_ns, action);
            }
            let Some(running) = &mut self.running else {
                return;
            };
            running.kernel.flush(now_ns, &mut running.engine);
            if !running.probes.is_empty() {
                let probes = std::mem::take(&mut running.probes);
                running.kernel.probe(now_ns, probes, &mut running.engine);
            }
            if !running.engine.has_actions() {
                return;
            }
        }
    }

    /// Whether the engine may have something more to do.
    fn send(&mut self) -> bool {
        let now_ns = self.host.now();
        let Some(running) = &mut self.running else {
            return false;
        };
        while let Some(message) = running.engine.poll_message(now_ns) {
            match self.peer.send(message) {
                Ok(()) => running.engine.message_sent(now_ns),
                // writable() or down() follows
                Err(SendError::Full | SendError::Down) => break,
                Err(error) => {
                    log::error!("cannot send to the peer: {error}");
                    running.engine.message_sent(now_ns);
                }
            }
        }
        running.engine.has_actions()
    }

    fn arm(&mut self) {
        let Some(running) = &mut self.running else {
            return;
        };
        if running.kernel.is_dumping() && running.engine.wants_more() {
            let _ = self.host.timer(GO_ON, self.host.now());
        }
        running.alarm.set(running.engine.next_timeout());
    }

    fn perform(&mut self, now_ns: u64, action: Action) {
        let Some(running) = &mut self.running else {
            return;
        };
        let (kernel, engine) = (&mut running.kernel, &mut running.engine);
        match action {
            Action::Subscribe(wanted) => kernel.subscribe(wanted),
            Action::Write(change) => kernel.write(now_ns, change, engine),
            Action::Find(flows) => kernel.find(now_ns, &flows, engine),
            Action::Probe(flow) => running.probes.push(flow),
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
            Action::InSync(yes, why) => {
                if let Err(error) = self.peer.in_sync(yes, &why) {
                    log::warn!("{error}");
                }
            }
            Action::Done(Finished::Drain) => {
                if let Some(token) = self.draining.take() {
                    self.host.done(token, Ok(()));
                }
            }
            Action::Done(Finished::Comparison(rows)) => {
                if let Some(answer) = self.comparing.take() {
                    rows::end_comparison(answer, rows);
                }
            }
            Action::Warn(text) => log::warn!("{text}"),
            Action::Info(text) => log::info!("{text}"),
            Action::Event(text) => self.host.event(&text),
        }
    }
}
