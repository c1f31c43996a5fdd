mod anyway;
mod batch;
mod declined;
mod elector;
mod faults;
mod orders;
mod pair;
mod performed;
mod prompt;
mod switchover;
mod unarmed;

use spared_contract::{AddressClaim, Cause, Family, Forced, Publication, VirtualRouterClaim};
use spared_verdict::CauseKind;

use super::*;

const MS: u64 = 1_000_000;

/// Groups with the elector "vrrp" and the group "office", which the test drives.
struct Fixture {
    groups: Groups,
    now_ns: u64,
    number: u64,
    /// Results that the kernel returns.
    lease: Result<(), String>,
    install: Result<String, String>,
    /// Time in ns that granting the lease takes.
    lease_takes_ns: u64,
}

impl Fixture {
    fn new() -> Self {
        let mut fixture = Self {
            groups: Groups::new(200 * MS, String::new),
            now_ns: 1_000 * MS,
            number: 0,
            lease: Ok(()),
            install: Ok("installed".to_owned()),
            lease_takes_ns: 0,
        };
        fixture
            .groups
            .handle_plugin_up(0, "vrrp", Follower::default());
        fixture.claim("office");
        fixture
    }

    fn ticket(&mut self) -> Ticket {
        self.number += 1;
        Ticket {
            plugin: "vrrp".to_owned(),
            number: self.number,
            part: 0,
        }
    }

    fn claim(&mut self, group: &str) -> Vec<String> {
        let ticket = self.ticket();
        self.groups
            .handle_claim(ticket, group.to_owned(), Some(claims()));
        self.run()
    }

    fn publish(&mut self, role: Role) -> Vec<String> {
        self.publish_sent(role, self.now_ns)
    }

    fn publish_sent(&mut self, role: Role, sent_ns: u64) -> Vec<String> {
        let ticket = self.ticket();
        let publication = Publication {
            role,
            reopens: false,
            cause: Cause::new(CauseKind::Other, "a test says so"),
            sent_ns,
        };
        self.groups
            .handle_publish(self.now_ns, ticket, "office", publication);
        self.run()
    }

    fn follower(&mut self, name: &str, after: &[&str], has_settle: bool) -> Vec<String> {
        let follower = Follower {
            after: after.iter().map(|name| (*name).to_owned()).collect(),
            follow: None,
            has_role: true,
            has_drain: false,
            has_settle,
        };
        self.groups.handle_plugin_up(self.now_ns, name, follower);
        self.run()
    }

    /// Adds a follower that has taken the role of backup.
    fn settled_follower(&mut self, name: &str, after: &[&str], has_settle: bool) {
        self.follower(name, after, has_settle);
        self.role_done(name);
    }

    fn role_done(&mut self, name: &str) -> Vec<String> {
        let pending = self.groups.groups["office"].deliveries[name].pending;
        let (epoch, _) = pending.expect("a role in flight");
        self.groups
            .handle_role_done(self.now_ns, name, "office", epoch, Ok(()));
        self.run()
    }

    fn settle_done(&mut self, name: &str) -> Vec<String> {
        let epoch = self.groups.epoch;
        let group = &self.groups.groups["office"];
        let epoch = if let Phase::Settling { epoch, .. } = group.phase {
            epoch
        } else {
            epoch
        };
        self.groups
            .handle_settled(self.now_ns, name, "office", epoch);
        self.run()
    }

    fn pass(&mut self, ns: u64) -> Vec<String> {
        self.now_ns += ns;
        self.groups.handle_timeout(self.now_ns);
        self.run()
    }

    /// Performs all actions as the loop does. Returns them as text, without events.
    fn run(&mut self) -> Vec<String> {
        let mut done = Vec::new();
        while let Some(action) = self.groups.poll_action() {
            done.extend(self.perform(action));
        }
        done
    }

    fn perform(&mut self, action: Action) -> Option<String> {
        Some(match action {
            Action::Answer { status, .. } => format!("answer {status}"),
            Action::Kernel(group, KernelStep::CheckClaim { ticket, claims }) => {
                self.groups.handle_checked(ticket, &group, claims, Ok(()));
                return None;
            }
            Action::Kernel(group, KernelStep::Claim(_)) => {
                self.groups.handle_claimed(self.now_ns, &group, Ok(()));
                "claim".to_owned()
            }
            Action::Kernel(_, KernelStep::Release) => "release".to_owned(),
            Action::Kernel(
                group,
                KernelStep::GrantLease {
                    ticket,
                    publication,
                },
            ) => {
                self.now_ns += self.lease_takes_ns;
                let lease = self.lease.clone();
                self.groups
                    .handle_lease(self.now_ns, ticket, &group, publication, lease);
                "grant".to_owned()
            }
            Action::Kernel(_, KernelStep::RevokeLease) => "revoke".to_owned(),
            Action::Kernel(group, KernelStep::Install) => {
                let install = self.install.clone();
                self.groups.handle_installed(self.now_ns, &group, install);
                "install".to_owned()
            }
            Action::Kernel(_, KernelStep::Remove) => "remove".to_owned(),
            Action::Kernel(_, KernelStep::Announce) => "announce".to_owned(),
            Action::Settle { plugin, .. } => format!("settle {plugin}"),
            Action::Role { plugin, order } => {
                let flags = if order.maintenance {
                    " maintenance"
                } else {
                    ""
                };
                format!("role {plugin} {}{flags}", name_of(order.role))
            }
            Action::Late { plugin, role, .. } => format!("late {plugin} {}", name_of(role)),
            Action::Directive { directive, .. } if directive.resign => {
                "directive resign".to_owned()
            }
            Action::Directive { directive, .. } if !directive.eligible => {
                "directive ineligible".to_owned()
            }
            Action::Directive { directive, .. } if directive.maintenance => {
                "directive aside".to_owned()
            }
            Action::Directive { .. } => "directive".to_owned(),
            Action::Tell(_) | Action::Changed { .. } => return None,
            other => format!("{other:?}"),
        })
    }

    fn group(&self) -> &Group {
        &self.groups.groups["office"]
    }
}

fn claims() -> Claims {
    Claims {
        routers: vec![VirtualRouterClaim {
            interface: "lan".to_owned(),
            family: Family::V4,
            vrid: 1,
            vmac: false,
            vmac_name: String::new(),
            accept: true,
            routed: false,
        }],
        addresses: vec![AddressClaim {
            interface: "lan".to_owned(),
            router: Some(0),
            address: "192.0.2.1".parse().unwrap(),
            prefix: 24,
            source: false,
            own: false,
            label: String::new(),
        }],
        lease_ns: 250 * MS,
        ..Claims::default()
    }
}

#[test]
fn a_claim_is_answered_before_the_kernel_is_asked() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.claim("fw"), ["answer 0", "claim", "directive"]);
}

#[test]
fn with_nobody_to_settle_the_addresses_follow_the_answer_at_once() {
    let mut fixture = Fixture::new();
    assert_eq!(
        fixture.publish(Role::Active),
        ["grant", "answer 0", "install"]
    );
    assert_eq!(fixture.group().role, Role::Active);
}

#[test]
fn a_resignation_closes_and_answers_before_anything_else() {
    let mut fixture = Fixture::new();
    fixture.settled_follower("dhcp", &[], false);
    fixture.publish(Role::Active);
    fixture.role_done("dhcp");
    assert_eq!(
        fixture.publish(Role::Backup),
        ["revoke", "answer 0", "role dhcp backup", "directive"]
    );
    assert_eq!(fixture.role_done("dhcp"), ["remove"]);
    assert!(fixture.groups.is_quiet());
}

#[test]
fn followers_settle_before_the_addresses() {
    let mut fixture = Fixture::new();
    fixture.settled_follower("conntrack", &[], true);
    assert_eq!(
        fixture.publish(Role::Active),
        ["grant", "answer 0", "settle conntrack"]
    );
    assert_eq!(
        fixture.settle_done("conntrack"),
        ["install", "role conntrack active"]
    );
}

#[test]
fn a_follower_that_does_not_settle_in_time_is_no_veto() {
    let mut fixture = Fixture::new();
    fixture.settled_follower("conntrack", &[], true);
    fixture.publish(Role::Active);
    assert_eq!(fixture.pass(199 * MS), [""; 0]);
    assert_eq!(fixture.pass(MS), ["install", "role conntrack active"]);
    assert_eq!(fixture.settle_done("conntrack"), [""; 0]);
}

/// Simulates a host that was suspended while the answers of its plugins came.
#[test]
fn a_follower_whose_answer_lay_in_the_socket_was_not_late() {
    let mut fixture = Fixture::new();
    fixture.settled_follower("conntrack", &[], true);
    fixture.settled_follower("sets", &[], true);
    fixture.publish(Role::Active);
    fixture.now_ns += 201 * MS;
    let epoch = match fixture.group().phase {
        Phase::Settling { epoch, .. } => epoch,
        ref other => panic!("{other:?}"),
    };
    let mut told = Vec::new();
    for plugin in ["conntrack", "sets"] {
        let (groups, now_ns) = (&mut fixture.groups, fixture.now_ns);
        groups.handle_settled(now_ns, plugin, "office", epoch);
        while let Some(action) = fixture.groups.poll_action() {
            match action {
                Action::Tell(news) => told.push(news.text),
                action => drop(fixture.perform(action)),
            }
        }
    }
    assert!(!told.concat().contains("continued without"), "{told:?}");
    assert_eq!(fixture.group().phase, Phase::Installed);
}

#[test]
fn a_follower_that_dies_while_settling_is_not_waited_for() {
    let mut fixture = Fixture::new();
    fixture.settled_follower("conntrack", &[], true);
    fixture.publish(Role::Active);
    fixture
        .groups
        .handle_plugin_down(fixture.now_ns, "conntrack", "it crashed");
    assert_eq!(fixture.run(), ["install"]);
}

#[test]
fn a_wish_to_be_active_that_lay_in_the_queue_opens_no_lease() {
    let mut fixture = Fixture::new();
    let sent_ns = fixture.now_ns - 100 * MS;
    assert_eq!(
        fixture.publish_sent(Role::Active, sent_ns),
        [format!("answer -{}", libc::ETIMEDOUT)]
    );
    assert_eq!(fixture.group().role, Role::Backup);
}

#[test]
fn a_lease_that_opened_too_late_is_closed_before_any_address() {
    let mut fixture = Fixture::new();
    fixture.lease_takes_ns = 101 * MS;
    assert_eq!(
        fixture.publish(Role::Active),
        [
            "grant".to_owned(),
            "revoke".to_owned(),
            format!("answer -{}", libc::ETIMEDOUT)
        ]
    );
    assert_eq!(fixture.group().role, Role::Backup);
}

#[test]
fn an_active_group_whose_renewed_wish_comes_too_late_resigns() {
    let mut fixture = Fixture::new();
    fixture.publish(Role::Active);
    let sent_ns = fixture.now_ns - 100 * MS;
    assert_eq!(
        fixture.publish_sent(Role::Active, sent_ns),
        [
            "revoke".to_owned(),
            "remove".to_owned(),
            "directive".to_owned(),
            format!("answer -{}", libc::ETIMEDOUT)
        ]
    );
}

#[test]
fn a_fence_that_cannot_pass_leaves_the_group_backup() {
    let mut fixture = Fixture::new();
    fixture.lease = Err("no such table".to_owned());
    assert_eq!(
        fixture.publish(Role::Active),
        ["grant".to_owned(), format!("answer -{}", libc::EIO)]
    );
    assert_eq!(fixture.group().role, Role::Backup);
}

#[test]
fn the_same_role_again_only_replaces_the_sentence() {
    let mut fixture = Fixture::new();
    fixture.publish(Role::Active);
    let transitions = fixture.group().transitions();
    assert_eq!(fixture.publish(Role::Active), ["grant", "answer 0"]);
    assert_eq!(fixture.group().transitions(), transitions);
}

#[test]
fn a_failover_that_is_taken_back_while_settling_installs_nothing() {
    let mut fixture = Fixture::new();
    fixture.settled_follower("conntrack", &[], true);
    fixture.publish(Role::Active);
    assert_eq!(
        fixture.publish(Role::Backup),
        ["revoke", "answer 0", "directive"]
    );
    assert_eq!(fixture.settle_done("conntrack"), [""; 0]);
    assert_eq!(fixture.pass(1_000 * MS), [""; 0]);
}

#[test]
fn roles_enter_in_the_order_of_after_and_leave_in_reverse() {
    let mut fixture = Fixture::new();
    fixture.settled_follower("dhcp", &[], false);
    fixture.settled_follower("service", &["dhcp"], false);
    assert_eq!(
        fixture.publish(Role::Active),
        ["grant", "answer 0", "install", "role dhcp active"]
    );
    assert_eq!(fixture.role_done("dhcp"), ["role service active"]);
    fixture.role_done("service");
    assert_eq!(
        fixture.publish(Role::Backup),
        ["revoke", "answer 0", "role service backup", "directive"]
    );
    assert_eq!(fixture.role_done("service"), ["role dhcp backup"]);
    assert_eq!(fixture.role_done("dhcp"), ["remove"]);
}

/// Makes an active group with the follower "ipsec", and "service" after it.
fn served() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.settled_follower("ipsec", &[], true);
    fixture.settled_follower("service", &["ipsec"], false);
    fixture.publish(Role::Active);
    fixture.settle_done("ipsec");
    fixture.role_done("ipsec");
    fixture.role_done("service");
    fixture
}

#[test]
fn a_role_that_comes_back_is_new_to_who_has_not_heard_that_it_went() {
    let mut fixture = served();
    fixture.publish(Role::Backup);
    fixture.pass(200 * MS);
    assert_eq!(
        fixture.publish(Role::Active),
        ["grant", "answer 0", "role ipsec backup", "settle ipsec"]
    );
    fixture.role_done("ipsec");
    assert_eq!(
        fixture.settle_done("ipsec"),
        ["install", "role ipsec active"]
    );
    // the service gets the role only then: it may not have ended yet
    assert_eq!(fixture.role_done("ipsec"), ["role service active"]);
}

#[test]
fn nothing_is_switched_to_a_node_whose_followers_have_not_heard_that_its_role_went() {
    let mut fixture = served();
    fixture.groups.set_missing(Vec::new());
    fixture.publish(Role::Backup);
    fixture.pass(200 * MS);
    let declined = vec!["it has not left the group yet: still active: ipsec".to_owned()];
    let judged = |fixture: &Fixture, insistence| fixture.groups.may_succeed("office", insistence);
    let refused = judged(&fixture, Insistence::IfReady);
    assert_eq!(refused, Err(Refusal::NotReady(declined)));
    assert_eq!(judged(&fixture, Insistence::Anyway), Ok(()));
    fixture.role_done("service");
    assert_eq!(judged(&fixture, Insistence::IfReady), Ok(()));
}

#[test]
fn followers_hear_their_role_again_when_maintenance_begins_and_ends() {
    let mut fixture = Fixture::new();
    fixture.settled_follower("dhcp", &[], false);
    fixture.settled_follower("service", &["dhcp"], false);
    fixture.groups.set_maintenance(fixture.now_ns, true);
    let told = fixture.run();
    assert_eq!(told.last().unwrap(), "role service backup maintenance");
    assert_eq!(
        fixture.role_done("service"),
        ["role dhcp backup maintenance"]
    );
    assert_eq!(fixture.role_done("dhcp"), [""; 0]);
    fixture.groups.set_maintenance(fixture.now_ns, true);
    assert_eq!(fixture.run(), [""; 0], "nothing is new");

    fixture.publish(Role::Active);
    assert_eq!(
        fixture.role_done("dhcp"),
        ["role service active maintenance"]
    );
    // dhcp has not answered yet and gets the role at once, service when its turn comes
    fixture.groups.set_maintenance(fixture.now_ns, false);
    let told = fixture.run();
    assert_eq!(told.last().unwrap(), "role dhcp active");
    assert_eq!(fixture.role_done("dhcp"), ["role service active"]);
}

fn explain(fixture: &mut Fixture, kind: CauseKind) -> Vec<String> {
    let (ticket, now_ns) = (fixture.ticket(), fixture.now_ns);
    let cause = Cause::new(kind, "");
    let groups = &mut fixture.groups;
    groups.handle_explain(now_ns, ticket, "office", Role::Active, cause);
    fixture.run()
}

#[test]
fn followers_are_told_that_they_are_active_again_after_a_conflict_that_has_ended() {
    let mut fixture = served();
    assert_eq!(
        explain(&mut fixture, CauseKind::Conflict),
        ["answer 0", "role ipsec active"]
    );
    // each follower gets the cause of the conflict, although a newer cause was published
    assert_eq!(explain(&mut fixture, CauseKind::Quality), ["answer 0"]);
    let again = &fixture.groups.groups["office"].deliveries["service"].again;
    let kind = again.as_ref().map(|cause| cause.kind);
    assert_eq!(kind, Some(CauseKind::Conflict));
    assert_eq!(fixture.role_done("ipsec"), ["role service active"]);
    assert_eq!(fixture.role_done("service"), [""; 0]);
    assert!(fixture.group().is_delivered());
    // a role that ends meanwhile is not repeated, neither when it ends nor when it returns
    explain(&mut fixture, CauseKind::Conflict);
    fixture.publish(Role::Backup);
    let told = fixture.role_done("service");
    assert_eq!(told, ["role ipsec backup"]);
    fixture.role_done("ipsec");
    fixture.publish(Role::Active);
    fixture.settle_done("ipsec");
    assert_eq!(fixture.role_done("ipsec"), ["role service active"]);
    assert_eq!(fixture.role_done("service"), [""; 0]);
    // a backup has won no conflict, so nothing is repeated
    fixture.publish(Role::Backup);
    assert_eq!(explain(&mut fixture, CauseKind::Conflict), ["answer 0"]);
}

#[test]
fn leaving_does_not_wait_for_maintenance_to_be_heard() {
    let mut fixture = Fixture::new();
    fixture.settled_follower("dhcp", &[], false);
    fixture.publish(Role::Active);
    fixture.role_done("dhcp");
    fixture.publish(Role::Backup);
    assert_eq!(fixture.role_done("dhcp"), ["remove"]);
    fixture.groups.set_maintenance(fixture.now_ns, true);
    assert!(
        fixture
            .run()
            .contains(&"role dhcp backup maintenance".to_owned())
    );
    assert!(!fixture.group().is_delivered());
    fixture.role_done("dhcp");
    assert!(fixture.group().is_delivered());
}

#[test]
fn addresses_do_not_wait_longer_than_settle_for_followers_to_leave() {
    let mut fixture = Fixture::new();
    fixture.settled_follower("dhcp", &[], false);
    fixture.publish(Role::Active);
    fixture.role_done("dhcp");
    fixture.publish(Role::Backup);
    assert_eq!(fixture.pass(200 * MS), ["remove"]);
}

#[test]
fn the_newest_role_replaces_one_that_is_pending() {
    let mut fixture = Fixture::new();
    fixture.settled_follower("dhcp", &[], false);
    fixture.publish(Role::Active);
    let pending = fixture.groups.groups["office"].deliveries["dhcp"].pending;
    let (old, _) = pending.expect("a role in flight");
    assert_eq!(
        fixture.publish(Role::Backup),
        ["revoke", "answer 0", "role dhcp backup", "directive"]
    );
    let (groups, now_ns) = (&mut fixture.groups, fixture.now_ns);
    let counts = groups.handle_role_done(now_ns, "dhcp", "office", old, Err("canceled"));
    assert!(!counts, "the newer role's result is to come");
    assert_eq!(fixture.run(), [""; 0]);
    assert_eq!(fixture.role_done("dhcp"), ["remove"]);
}

#[test]
fn a_role_past_its_deadline_no_longer_holds_up_the_others() {
    let mut fixture = Fixture::new();
    fixture.settled_follower("dhcp", &[], false);
    fixture.settled_follower("service", &["dhcp"], false);
    fixture.publish(Role::Active);
    assert_eq!(
        fixture.pass(ROLE_DEADLINE_NS),
        ["late dhcp active", "role service active"]
    );
}

#[test]
fn a_slow_role_of_one_group_does_not_hold_up_that_of_another() {
    let mut fixture = Fixture::new();
    fixture.claim("fw");
    assert_eq!(
        fixture.follower("dhcp", &[], false),
        [
            "directive",
            "directive",
            "role dhcp backup",
            "role dhcp backup"
        ]
    );
    for group in ["fw", "office"] {
        let pending = fixture.groups.groups[group].deliveries["dhcp"].pending;
        let (epoch, _) = pending.expect("both are in flight");
        fixture
            .groups
            .handle_role_done(fixture.now_ns, "dhcp", group, epoch, Ok(()));
    }
    assert!(fixture.run().is_empty());
    assert!(fixture.groups.is_quiet());
}

#[test]
fn a_follower_of_one_group_hears_nothing_of_another() {
    let mut fixture = Fixture::new();
    fixture.claim("fw");
    let follower = Follower {
        follow: Some(vec!["fw".to_owned()]),
        has_role: true,
        has_drain: false,
        has_settle: true,
        after: Vec::new(),
    };
    fixture.groups.handle_plugin_up(0, "dhcp", follower);
    fixture.run();
    assert_eq!(
        fixture.publish(Role::Active),
        ["grant", "answer 0", "install"]
    );
}

#[test]
fn when_the_elector_dies_its_groups_close_at_once() {
    let mut fixture = Fixture::new();
    fixture.settled_follower("dhcp", &[], false);
    fixture.publish(Role::Active);
    fixture.role_done("dhcp");
    fixture
        .groups
        .handle_plugin_down(fixture.now_ns, "vrrp", "vrrp was killed by signal 9");
    assert_eq!(fixture.run(), ["revoke", "remove", "role dhcp backup"]);
    assert_eq!(fixture.group().role, Role::Backup);
    let cause = Cause::new(CauseKind::ElectorDied, "vrrp was killed by signal 9");
    assert_eq!(fixture.group().cause, cause);
}

/// Returns true if a restarted elector is told that the group was active here.
fn is_held(fixture: &mut Fixture) -> bool {
    fixture
        .groups
        .handle_plugin_up(fixture.now_ns, "vrrp", Follower::default());
    let mut held = None;
    while let Some(action) = fixture.groups.poll_action() {
        if let Action::Directive { directive, .. } = &action {
            held = Some(directive.held);
        }
        fixture.perform(action);
    }
    held.expect("a directive")
}

#[test]
fn the_next_elector_is_told_for_a_while_that_the_group_was_active_here() {
    let mut fixture = Fixture::new();
    let die = |fixture: &mut Fixture| {
        let now_ns = fixture.now_ns;
        fixture.groups.handle_plugin_down(now_ns, "vrrp", "it died");
        fixture.run();
        fixture.claim("office");
    };
    die(&mut fixture);
    assert!(!is_held(&mut fixture), "it was backup");
    fixture.publish(Role::Active);
    die(&mut fixture);
    assert!(is_held(&mut fixture));
    // the group is backup when the elector dies again
    fixture.pass(3_000 * MS);
    die(&mut fixture);
    assert!(is_held(&mut fixture));
    fixture.pass(8_000 * MS);
    die(&mut fixture);
    assert!(!is_held(&mut fixture), "too long ago");
}

#[test]
fn so_it_is_of_a_group_that_was_active_when_the_daemon_before_died() {
    let mut fixture = Fixture::new();
    let inherited = ["attic", "office"].map(str::to_owned);
    let now_ns = fixture.now_ns;
    fixture.groups.set_inherited(now_ns, inherited.into());
    assert!(!is_held(&mut fixture));
    fixture.claim("office");
    assert!(is_held(&mut fixture));
    fixture.pass(11_000 * MS);
    fixture.claim("office");
    assert!(!is_held(&mut fixture), "once");
}

#[test]
fn a_group_whose_elector_starts_a_minute_after_the_daemon_is_no_longer_inherited() {
    for (after_ms, expected) in [(59_000, true), (61_000, false)] {
        let mut fixture = Fixture::new();
        let now_ns = fixture.now_ns;
        let inherited = ["office".to_owned()];
        fixture.groups.set_inherited(now_ns, inherited.into());
        fixture.pass(after_ms * MS);
        fixture.claim("office");
        assert_eq!(is_held(&mut fixture), expected, "{after_ms} ms");
    }
}

#[test]
fn a_elector_that_ends_after_it_resigned_does_not_hurry_the_followers() {
    let mut fixture = Fixture::new();
    fixture.settled_follower("dhcp", &[], false);
    fixture.publish(Role::Active);
    fixture.role_done("dhcp");
    fixture.publish(Role::Backup);
    fixture
        .groups
        .handle_plugin_down(fixture.now_ns, "vrrp", "vrrp ended");
    assert_eq!(fixture.run(), [""; 0]);
    assert_eq!(fixture.role_done("dhcp"), ["remove"]);
}

#[test]
fn claims_that_a_restarted_elector_does_not_renew_are_released() {
    let mut fixture = Fixture::new();
    fixture.claim("fw");
    fixture
        .groups
        .handle_plugin_down(fixture.now_ns, "vrrp", "it crashed");
    fixture.run();
    fixture.claim("office");
    fixture
        .groups
        .handle_plugin_up(fixture.now_ns, "vrrp", Follower::default());
    assert_eq!(fixture.run(), ["release", "directive"]);
    assert!(fixture.groups.get("fw").is_none());
}

#[test]
fn a_withdrawn_group_that_is_active_is_closed_and_left_first() {
    let mut fixture = Fixture::new();
    fixture.settled_follower("dhcp", &[], false);
    fixture.publish(Role::Active);
    fixture.role_done("dhcp");
    let ticket = fixture.ticket();
    fixture
        .groups
        .handle_claim(ticket, "office".to_owned(), None);
    assert_eq!(
        fixture.run(),
        ["revoke", "answer 0", "release", "role dhcp backup"]
    );
}

/// Returns the farewell that a follower is sent: the role, that before, and the kind of the cause.
fn farewell(fixture: &mut Fixture) -> Option<(Role, Option<Role>, CauseKind)> {
    let actions = std::iter::from_fn(|| fixture.groups.poll_action());
    let roles = actions.filter_map(|action| match action {
        Action::Role { order, .. } => Some((order.role, order.before, order.cause.kind)),
        _ => None,
    });
    roles.last()
}

#[test]
fn a_follower_of_a_group_that_was_backup_is_told_that_it_is_gone() {
    let mut fixture = Fixture::new();
    fixture.settled_follower("files", &[], false);
    let ticket = fixture.ticket();
    fixture
        .groups
        .handle_claim(ticket, "office".to_owned(), None);
    let gone = (Role::Backup, Some(Role::Backup), CauseKind::Withdrawn);
    assert_eq!(farewell(&mut fixture), Some(gone));
}

#[test]
fn a_follower_that_follows_a_group_no_longer_is_told_that_it_is_gone_in_any_role() {
    for role in [Role::Backup, Role::Active] {
        let mut fixture = Fixture::new();
        fixture.settled_follower("files", &[], false);
        fixture.publish(role);
        let follower = Follower {
            follow: Some(Vec::new()),
            has_role: true,
            ..Follower::default()
        };
        let (groups, now_ns) = (&mut fixture.groups, fixture.now_ns);
        groups.handle_follower_changed(now_ns, "files", follower);
        let gone = (Role::Backup, Some(role), CauseKind::Withdrawn);
        assert_eq!(farewell(&mut fixture), Some(gone));
        // it was never told of the group since
        let (groups, now_ns) = (&mut fixture.groups, fixture.now_ns);
        groups.handle_follower_changed(now_ns, "files", Follower::default());
        assert_eq!(farewell(&mut fixture), None);
    }
}

#[test]
fn a_follower_that_fails_to_leave_a_group_that_is_gone_is_named() {
    let mut fixture = Fixture::new();
    fixture.settled_follower("dhcp", &[], false);
    fixture.publish(Role::Active);
    fixture.role_done("dhcp");
    let ticket = fixture.ticket();
    let (groups, now_ns) = (&mut fixture.groups, fixture.now_ns);
    groups.handle_claim(ticket, "office".to_owned(), None);
    let epoch = groups.epoch;
    while groups.poll_action().is_some() {}
    groups.handle_role_done(now_ns, "dhcp", "office", epoch, Err("it hangs"));
    let Some(Action::Tell(news)) = groups.poll_action() else {
        panic!("nothing is told");
    };
    assert_eq!(news.text, "dhcp failed to take the role: it hangs");
}

#[test]
fn another_plugin_can_neither_claim_nor_publish_a_group() {
    let mut fixture = Fixture::new();
    let other = |number| Ticket {
        plugin: "rogue".to_owned(),
        number,
        part: 0,
    };
    let refused = [format!("answer -{}", libc::EBUSY)];
    fixture
        .groups
        .handle_claim(other(1), "office".to_owned(), Some(claims()));
    assert_eq!(fixture.run(), refused);
    let now_ns = fixture.now_ns;
    let publication = Publication {
        role: Role::Active,
        reopens: false,
        cause: Cause::default(),
        sent_ns: now_ns,
    };
    fixture
        .groups
        .handle_publish(now_ns, other(2), "office", publication);
    assert_eq!(fixture.run(), refused);
    let groups = &mut fixture.groups;
    groups.handle_explain(0, other(3), "office", Role::Backup, Cause::default());
    assert_eq!(fixture.run(), refused);
}

#[test]
fn a_cause_that_follows_the_facts_is_that_of_the_role_that_it_was_said_of() {
    let mut fixture = Fixture::new();
    fixture.publish(Role::Active);
    let newer = Cause::new(CauseKind::Other, "newer");
    for (role, taken) in [(Role::Backup, false), (Role::Active, true)] {
        let ticket = fixture.ticket();
        let groups = &mut fixture.groups;
        groups.handle_explain(0, ticket, "office", role, newer.clone());
        assert_eq!(fixture.run(), ["answer 0"]);
        assert_eq!(fixture.group().cause == newer, taken, "{role:?}");
    }
}

#[test]
fn a_contested_group_stands_aside_for_a_while_and_is_not_taken_off() {
    let mut fixture = Fixture::new();
    fixture.publish(Role::Active);
    fixture
        .groups
        .handle_contested(fixture.now_ns, "office", "deleted 10 times".to_owned());
    assert_eq!(fixture.run(), ["directive aside"]);
    assert_eq!(fixture.group().role, Role::Active);
    assert_eq!(fixture.pass(eligibility::DEFER_NS), ["directive"]);
}

#[test]
fn a_lease_that_nobody_renews_ends_the_role_on_both_sides() {
    let mut fixture = Fixture::new();
    fixture.publish(Role::Active);
    fixture.groups.handle_lapsed(fixture.now_ns, "office");
    assert_eq!(
        fixture.run(),
        ["directive resign", "revoke", "remove", "directive"]
    );
    assert_eq!(fixture.group().role, Role::Backup);
    assert_eq!(
        fixture.publish(Role::Active),
        ["grant", "answer 0", "install"]
    );
}

#[test]
fn addresses_that_cannot_be_installed_make_the_group_resign() {
    let mut fixture = Fixture::new();
    fixture.install = Err("no such device".to_owned());
    assert_eq!(
        fixture.publish(Role::Active),
        ["grant", "answer 0", "install", "directive resign"]
    );
    // The installation is retried after pauses that double, up to 5 s.
    for pause_ns in [
        300 * MS,
        600 * MS,
        1200 * MS,
        2400 * MS,
        4800 * MS,
        5000 * MS,
    ] {
        assert_eq!(
            fixture.publish(Role::Backup),
            ["revoke", "answer 0", "remove", "directive ineligible"]
        );
        assert!(fixture.pass(pause_ns - MS).is_empty());
        assert_eq!(fixture.pass(MS), ["directive aside"]);
        fixture.publish(Role::Active);
    }
}

#[test]
fn a_force_reaches_the_elector_and_survives_its_restart() {
    let mut fixture = Fixture::new();
    fixture
        .groups
        .handle_force(None, Forced::Backup, "root", "14:00:09")
        .unwrap();
    assert_eq!(fixture.run(), ["directive"]);
    fixture
        .groups
        .handle_plugin_down(fixture.now_ns, "vrrp", "it crashed");
    fixture.run();
    fixture.claim("office");
    assert_eq!(fixture.group().forced(), Forced::Backup);
    assert!(
        fixture
            .groups
            .handle_force(Some("x"), Forced::No, "root", "14:00:09")
            .is_err()
    );
}

#[test]
fn nothing_becomes_active_while_the_host_is_stopping() {
    let mut fixture = Fixture::new();
    fixture.groups.close();
    assert_eq!(
        fixture.publish(Role::Active),
        [format!("answer -{}", libc::ECANCELED)]
    );
}

#[test]
fn a_failover_while_followers_still_leave_does_not_lose_the_addresses() {
    let mut fixture = Fixture::new();
    fixture.settled_follower("dhcp", &[], true);
    fixture.publish(Role::Active);
    fixture.settle_done("dhcp");
    fixture.role_done("dhcp");
    fixture.publish(Role::Backup);
    assert_eq!(
        fixture.publish(Role::Active),
        ["grant", "answer 0", "settle dhcp"]
    );
    // The group resigns before the followers have settled: the addresses of the first failover
    // still have to be removed.
    fixture.publish(Role::Backup);
    assert_eq!(fixture.pass(200 * MS), ["remove"]);
}

#[test]
fn groups_are_calm_unless_a_role_changes_or_a_follower_has_not_taken_it() {
    let mut fixture = Fixture::new();
    fixture.follower("conntrack", &[], true);
    assert!(!fixture.groups.is_calm());
    fixture.role_done("conntrack");
    assert!(fixture.groups.is_calm());
    fixture.publish(Role::Active);
    assert!(!fixture.groups.is_calm(), "it settles");
    fixture.settle_done("conntrack");
    assert!(!fixture.groups.is_calm(), "the role is not taken");
    fixture.role_done("conntrack");
    assert!(fixture.groups.is_calm());
    fixture.publish(Role::Backup);
    assert!(!fixture.groups.is_calm(), "it leaves");
    fixture.role_done("conntrack");
    assert!(fixture.groups.is_calm());
}
