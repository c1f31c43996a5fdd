//! Tests a stop with one elector and three followers.

use super::*;

struct Fixture {
    stop: Stop,
    now: Instant,
    pending: PendingWork,
}

impl Fixture {
    fn new() -> Self {
        let now = Instant::now();
        let followers = ["sets", "dhcp", "service"].map(str::to_owned);
        Self {
            stop: Stop::new(now),
            now,
            pending: PendingWork {
                is_switching_over: true,
                electors: BTreeSet::from(["vrrp".to_owned()]),
                is_quiet: false,
                followers: followers.to_vec(),
            },
        }
    }

    /// Makes a stop whose groups have been switched over.
    fn resigning() -> Self {
        let mut fixture = Self::new();
        fixture.pending.is_switching_over = false;
        assert_eq!(fixture.go_on(), ["close", "vrrp"]);
        fixture
    }

    /// Makes a stop whose elector has resigned.
    fn leaving() -> Self {
        let mut fixture = Self::resigning();
        fixture.stop.handle_stopped("vrrp");
        fixture.pending.electors.clear();
        assert_eq!(fixture.go_on(), [""; 0]);
        fixture
    }

    /// Advances as far as possible. Returns the plugins that are asked to stop.
    fn go_on(&mut self) -> Vec<String> {
        while self.stop.advance(self.now, &self.pending) {}
        let mut steps = Vec::new();
        while let Some(step) = self.stop.poll_step() {
            steps.push(match step {
                Step::Close => "close".to_owned(),
                Step::Stop(plugin) => plugin,
            });
        }
        steps
    }

    fn stopped(&mut self, plugin: &str) -> Vec<String> {
        self.stop.handle_stopped(plugin);
        self.go_on()
    }

    fn wait(&mut self, time: Duration) -> Vec<String> {
        assert_eq!(self.stop.next_timeout(), self.now + time);
        self.now += time - Duration::from_millis(1);
        assert_eq!(self.go_on(), [""; 0], "too early");
        self.now += Duration::from_millis(1);
        self.go_on()
    }
}

#[test]
fn electors_resign_before_followers_stop_from_the_last_to_the_first() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.go_on(), [""; 0], "the peer takes over");
    fixture.pending.is_switching_over = false;
    assert_eq!(fixture.go_on(), ["close", "vrrp"]);
    assert_eq!(fixture.stopped("vrrp"), [""; 0], "followers become backup");
    fixture.pending.is_quiet = true;
    assert_eq!(fixture.go_on(), ["service"]);
    assert_eq!(fixture.stopped("sets"), [""; 0], "it is not its turn");
    assert_eq!(fixture.stopped("service"), ["dhcp"]);
    assert_eq!(fixture.stopped("dhcp"), ["sets"]);
    assert!(!fixture.stop.is_done());
    assert_eq!(fixture.stopped("sets"), [""; 0]);
    assert!(fixture.stop.is_done());
}

#[test]
fn a_host_without_plugins_stops_at_once() {
    let mut fixture = Fixture::new();
    fixture.pending = PendingWork {
        is_quiet: true,
        ..PendingWork::default()
    };
    assert_eq!(fixture.go_on(), ["close"]);
    assert!(fixture.stop.is_done());
}

#[test]
fn nobody_is_waited_for_longer_than_each_stage_lasts() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.wait(SWITCHOVER_TIMEOUT), ["close", "vrrp"]);
    assert_eq!(fixture.wait(PLUGINS_TIMEOUT), [""; 0]);
    assert_eq!(fixture.wait(LEAVING_TIMEOUT), ["service"]);
    assert_eq!(fixture.wait(PLUGINS_TIMEOUT), [""; 0]);
    assert!(fixture.stop.is_done());
}

#[test]
fn a_second_signal_waits_for_the_resignation_alone() {
    let mut fixture = Fixture::new();
    fixture.stop.skip_waiting(fixture.now);
    assert_eq!(fixture.go_on(), ["close", "vrrp"]);
    assert!(!fixture.stop.is_done());
    fixture.stopped("vrrp");
    assert!(fixture.stop.is_done());

    let mut fixture = Fixture::resigning();
    fixture.stop.skip_waiting(fixture.now);
    assert_eq!(fixture.go_on(), [""; 0]);
    assert!(!fixture.stop.is_done());
    fixture.stopped("vrrp");
    assert!(fixture.stop.is_done());

    let mut fixture = Fixture::leaving();
    fixture.stop.skip_waiting(fixture.now);
    assert!(fixture.stop.is_done());
}

/// No plugin answers in any stage, and the firewall, the history and the log take the longest time that they may.
#[test]
fn the_unit_of_systemd_allows_the_longest_stop() {
    const UNIT: &str = include_str!("../../../../packaging/debian/spared.service");
    const AFTERWARDS: Duration = Duration::from_secs(5);
    let allowed = UNIT.lines().find_map(|line| {
        let seconds = line.strip_prefix("TimeoutStopSec=")?.strip_suffix('s')?;
        seconds.parse().ok().map(Duration::from_secs)
    });
    let mut fixture = Fixture::new();
    let began = fixture.now;
    while !fixture.stop.is_done() {
        fixture.now = fixture.stop.next_timeout();
        fixture.go_on();
    }
    let longest = fixture.now - began + AFTERWARDS;
    assert!(allowed > Some(longest), "{allowed:?}, {longest:?}");
}
