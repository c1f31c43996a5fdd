//! Builds messages of a worker from arbitrary bytes: well-formed, with numbers at the limits.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use spared_contract::{
    AddressClaim, Call, Cause, Claims, Failure, Family, FromPlugin, Publication, Role, RouteClaim,
    Row, RuleClaim, Scope, Value, VirtualRouterClaim,
};

use super::test_worker::{GROUP, returned};

const NUMBERS: [u64; 10] = [
    0,
    1,
    2,
    127,
    1 << 31,
    u32::MAX as u64,
    1 << 32,
    i64::MAX as u64,
    u64::MAX - 1,
    u64::MAX,
];
pub const STATUSES: [i32; 12] = [
    i32::MIN,
    i32::MIN + 1,
    -5000,
    -4096,
    -4095,
    -22,
    -1,
    1,
    2,
    3,
    4096,
    i32::MAX,
];

/// Bytes that determine the choices; 0 once they are used up.
pub struct Choices<'b>(pub &'b [u8]);

impl Choices<'_> {
    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        match self.0 {
            [first, rest @ ..] => {
                self.0 = rest;
                *first
            }
            [] => 0,
        }
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::from(self.byte()) % of.len()]
    }

    fn flag(&mut self) -> bool {
        self.byte() % 2 == 1
    }

    pub fn number(&mut self) -> u64 {
        match self.byte() {
            0..=63 => self.byte().into(),
            _ => self.one(&NUMBERS),
        }
    }

    fn short(&mut self) -> u32 {
        self.number() as u32
    }

    pub fn status(&mut self) -> i32 {
        match self.byte() {
            0..=63 => 0,
            64..=191 => self.one(&STATUSES),
            _ => i32::from_be_bytes([self.byte(), self.byte(), self.byte(), self.byte()]),
        }
    }

    fn text(&mut self) -> String {
        match self.byte() % 8 {
            0 => String::new(),
            1 => "\u{1b}[2J\n\0".to_owned(),
            2 => "x".repeat(5_000),
            3 => "ä€😀".repeat(100),
            4 => "lan".to_owned(),
            _ => GROUP.to_owned(),
        }
    }

    /// Builds a message. Most tokens are below `token`, so that questions wait for them.
    pub fn message(&mut self, token: u64) -> FromPlugin {
        match self.byte() % 13 {
            0..=3 => self.answer(token),
            4 | 5 => FromPlugin::Call {
                number: self.number(),
                call: self.call(),
            },
            6 => FromPlugin::Log {
                level: self.short().into(),
                text: self.text(),
            },
            7 => FromPlugin::Check {
                name: self.text(),
                weight: self.short(),
                state: self.short(),
                why: self.text(),
                points: self.short(),
            },
            8 => FromPlugin::ForgetCheck { name: self.text() },
            9 => FromPlugin::InSync {
                yes: self.flag(),
                why: self.text(),
            },
            10 => FromPlugin::Scopes {
                scopes: vec![(self.text(), Scope::Node)],
            },
            11 => FromPlugin::Callback {
                name: self.text(),
                why: self.flag().then(|| self.text()),
            },
            _ => FromPlugin::Pong {
                slow_calls: self.number(),
                number: self.number(),
            },
        }
    }

    fn answer(&mut self, token: u64) -> FromPlugin {
        let token = match self.byte() {
            0..=31 => self.number(),
            back => token.saturating_sub(u64::from(back % 4)),
        };
        let message = returned(token, self.status());
        match message {
            FromPlugin::Returned { token, status, .. } if self.flag() => FromPlugin::Returned {
                token,
                status,
                failures: vec![Failure {
                    key: self.text(),
                    why: self.text(),
                }],
                rows: vec![Row {
                    key: self.text(),
                    value: Value::Number(self.number()),
                }],
                missing: self.flag(),
            },
            message => message,
        }
    }

    fn call(&mut self) -> Call {
        let group = self.text();
        match self.byte() % 8 {
            0 => Call::Follow {
                interface: group,
                sockets: self.short(),
            },
            1 => Call::Unfollow { interface: group },
            2 | 3 => Call::Claim {
                groups: vec![(group, Some(self.claims()))],
            },
            4 => Call::Claim {
                groups: vec![(group, None)],
            },
            5 => Call::Publish {
                groups: vec![(
                    group,
                    Publication {
                        role: self.role(),
                        reopens: self.one(&[true, false]),
                        cause: self.cause(),
                        sent_ns: self.number(),
                    },
                )],
            },
            6 => Call::Announce {
                groups: vec![group],
            },
            7 => Call::Explain {
                group,
                role: self.role(),
                cause: self.cause(),
            },
            _ => Call::SwitchOver {
                group,
                cause: self.cause(),
            },
        }
    }

    fn role(&mut self) -> Role {
        self.one(&[Role::Backup, Role::Active, Role::Fault])
    }

    fn cause(&mut self) -> Cause {
        Cause {
            kind: self.short().into(),
            flags: self.short(),
            own: self.short(),
            theirs: self.short(),
            for_ns: self.number(),
            peer: self.text(),
            interface: self.text(),
            text: self.text(),
        }
    }

    pub fn claims(&mut self) -> Claims {
        Claims {
            routers: vec![VirtualRouterClaim {
                interface: self.text(),
                family: self.one(&[Family::V4, Family::V6]),
                vrid: self.byte(),
                vmac: self.flag(),
                vmac_name: String::new(),
                accept: self.flag(),
                routed: false,
            }],
            addresses: vec![AddressClaim {
                interface: self.text(),
                router: self.flag().then(|| self.short()),
                address: self.address(),
                prefix: self.byte(),
                source: self.flag(),
                own: self.flag(),
                label: self.text(),
            }],
            routes: vec![RouteClaim {
                destination: self.address(),
                prefix: self.byte(),
                gateway: self.flag().then(|| self.address()),
                interface: self.flag().then(|| self.text()),
                source: self.flag().then(|| self.address()),
                metric: self.short(),
                table: self.short(),
            }],
            refresh_s: self.short(),
            lease_ns: self.number(),
            rules: vec![RuleClaim {
                family: self.one(&[Family::V4, Family::V6]),
                priority: self.short(),
                from: self.flag().then(|| self.address()),
                from_prefix: self.byte(),
                to: self.flag().then(|| self.address()),
                to_prefix: self.byte(),
                mark: self.short(),
                mark_mask: self.short(),
                iif: self.text(),
                oif: self.text(),
                table: self.short(),
            }],
        }
    }

    fn address(&mut self) -> IpAddr {
        self.one(&[
            IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V4(Ipv4Addr::BROADCAST),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ])
    }
}
