//! The parts of a plugin, as the functions that the loop calls.

use crate::{
    Answer, Directive, Documents, Error, Groups, Identity, InterfaceEvent, Interfaces, Local,
    OpenSockets, PairStatus, Partner, Peer, Plugin, Progress, Query, RoleEvent, Roles, Token,
    Transfer, Watch,
};
use spared_contract::EventRecord;

type Called = Result<Progress, Error>;
type Asked<T> = fn(&mut T, &[&str], &mut Answer) -> Called;
type Read<T> = fn(&mut T, u64, Result<&str, Error>);

/// Functions of the parts that a plugin has. [`plugin!`](crate::plugin) creates them from its `parts`.
#[derive(Debug)]
pub struct Parts<T> {
    pub(super) role: Option<fn(&mut T, &RoleEvent, Token) -> Called>,
    pub(super) drain: Option<fn(&mut T, Token, u64) -> Called>,
    pub(super) settle: Option<fn(&mut T, Token, u64) -> Called>,
    pub(super) query: Option<Asked<T>>,
    pub(super) changed: Option<fn(&mut T, &InterfaceEvent, &OpenSockets<'_>)>,
    pub(super) directive: Option<fn(&mut T, &Directive)>,
    pub(super) peer: Option<PeerPart<T>>,
    pub(super) local: Option<LocalPart<T>>,
    pub(super) identity: Option<IdentityPart<T>>,
    pub(super) watch: Option<WatchPart<T>>,
    pub(super) document: Option<Read<T>>,
    pub(super) partners: &'static [Partner],
}

macro_rules! part {
    ($name:ident { $($field:ident: $type:ty,)+ }) => {
        #[derive(Debug)]
        pub(super) struct $name<T> {
            $(pub(super) $field: $type,)+
        }

        impl<T> Clone for $name<T> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<T> Copy for $name<T> {}
    };
}

part!(PeerPart {
    up: fn(&mut T, u32),
    down: fn(&mut T),
    message: fn(&mut T, &[u8]),
    writable: fn(&mut T),
});

part!(LocalPart {
    up: fn(&mut T, usize),
    down: fn(&mut T, usize),
    message: fn(&mut T, usize, &[u8]),
    writable: fn(&mut T, usize),
});

part!(IdentityPart {
    signed: fn(&mut T, u64, &[u8]),
    verified: fn(&mut T, u64, bool),
});

part!(WatchPart {
    status: fn(&mut T, &PairStatus),
    event: fn(&mut T, &EventRecord),
});

impl<T: Plugin> Parts<T> {
    /// Functions of a plugin without parts.
    pub const NONE: Self = Self {
        role: None,
        drain: None,
        settle: None,
        query: None,
        changed: None,
        directive: None,
        peer: None,
        local: None,
        identity: None,
        watch: None,
        document: None,
        partners: &[],
    };

    /// Adds the part `roles`.
    pub const fn roles(mut self) -> Self
    where
        T: Roles,
    {
        self.role = Some(T::role);
        self
    }

    /// Adds the part `transfer`.
    pub const fn transfer(mut self) -> Self
    where
        T: Transfer,
    {
        self.drain = Some(T::drain);
        self.settle = Some(T::settle);
        self
    }

    /// Adds the part `query`.
    pub const fn query(mut self) -> Self
    where
        T: Query,
    {
        self.query = Some(T::query);
        self
    }

    /// Adds the part `interfaces`.
    pub const fn interfaces(mut self) -> Self
    where
        T: Interfaces,
    {
        self.changed = Some(T::changed);
        self
    }

    /// Adds the part `groups`.
    pub const fn groups(mut self) -> Self
    where
        T: Groups,
    {
        self.directive = Some(T::directive);
        self
    }

    /// Adds the part `peer`.
    pub const fn peer(mut self) -> Self
    where
        T: Peer,
    {
        self.peer = Some(PeerPart {
            up: T::up,
            down: T::down,
            message: T::message,
            writable: T::writable,
        });
        self
    }

    /// Adds the part `local`.
    pub const fn local(mut self) -> Self
    where
        T: Local,
    {
        self.partners = T::PARTNERS;
        self.local = Some(LocalPart {
            up: T::partner_up,
            down: T::partner_down,
            message: T::partner_message,
            writable: T::partner_writable,
        });
        self
    }

    /// Adds the part `identity`.
    pub const fn identity(mut self) -> Self
    where
        T: Identity,
    {
        self.identity = Some(IdentityPart {
            signed: T::signed,
            verified: T::verified,
        });
        self
    }

    /// Adds the part `watch`.
    pub const fn watch(mut self) -> Self
    where
        T: Watch,
    {
        self.watch = Some(WatchPart {
            status: T::status,
            event: T::event,
        });
        self
    }

    /// Adds the part `documents`.
    pub const fn documents(mut self) -> Self
    where
        T: Documents,
    {
        self.document = Some(T::document);
        self
    }
}
