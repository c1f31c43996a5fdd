//! C functions of the parts that a plugin may have, and its halves of the extensions.

use std::ffi::c_void;
use std::marker::PhantomData;

use spared_abi as abi;

use crate::error::EINVAL;
use crate::group::size;
use crate::shim::{enter, progress};
use crate::{
    Answer, Directive, Groups, Identity, Interfaces, Local, Peer, Progress, Query, RoleEvent,
    Roles, Token, Transfer, Watch, group, interface, status, text,
};

pub(crate) unsafe extern "C" fn role<T: Roles>(
    instance: *mut c_void,
    token: u64,
    event: *const abi::RoleEvent,
) -> abi::Status {
    if event.is_null() {
        return -EINVAL;
    }
    // SAFETY: the contract of role: the event, its texts and its cause are lent for the call, and it is as long as
    // its size says; that of the first hosts ends before `flags`.
    let event = unsafe {
        let raw = abi::copy_sized(event, (*event).size);
        let (group, why) = (text::owned(raw.group), text::owned(raw.why));
        RoleEvent::from_raw(&raw, group, why, group::cause(raw.cause))
    };
    // SAFETY: the contract of the descriptor.
    unsafe {
        enter::<T>(instance, |it| {
            progress(it.host, it.plugin.role(&event, Token(token)))
        })
    }
}

pub(crate) unsafe extern "C" fn drain<T: Transfer>(
    instance: *mut c_void,
    token: u64,
    deadline_ns: u64,
) -> abi::Status {
    // SAFETY: the contract of the descriptor.
    unsafe {
        enter::<T>(instance, |it| {
            progress(it.host, it.plugin.drain(Token(token), deadline_ns))
        })
    }
}

pub(crate) unsafe extern "C" fn settle<T: Transfer>(
    instance: *mut c_void,
    token: u64,
    deadline_ns: u64,
) -> abi::Status {
    // SAFETY: the contract of the descriptor.
    unsafe {
        enter::<T>(instance, |it| {
            progress(it.host, it.plugin.settle(Token(token), deadline_ns))
        })
    }
}

pub(crate) unsafe extern "C" fn query<T: Query>(
    instance: *mut c_void,
    token: u64,
    argv: *const abi::Str,
    argc: u32,
) -> abi::Status {
    // SAFETY: the contract of query: argc texts are lent for the call.
    let words: Vec<_> = unsafe {
        let words = text::slice(argv, argc as usize);
        words.iter().map(|word| text::read(*word)).collect()
    };
    let argv: Vec<&str> = words.iter().map(|word| &**word).collect();
    // SAFETY: the contract of the descriptor.
    unsafe {
        enter::<T>(instance, |it| {
            let mut answer = Answer {
                host: it.host,
                token,
                attention: false,
            };
            match it.plugin.query(&argv, &mut answer) {
                Ok(Progress::Done) => answer.status(),
                other => progress(it.host, other),
            }
        })
    }
}

unsafe extern "C" fn changed<T: Interfaces>(
    instance: *mut c_void,
    event: *const abi::InterfaceEvent,
) -> abi::Status {
    // SAFETY: the contract of changed: the event and its arrays are lent for the call.
    unsafe {
        let Some(raw) = event.as_ref() else {
            return -EINVAL;
        };
        let (event, sockets) = interface::read(raw);
        enter::<T>(instance, |it| {
            it.plugin.changed(&event, &sockets);
            0
        })
    }
}

unsafe extern "C" fn directive<T: Groups>(
    instance: *mut c_void,
    directive: *const abi::Directive,
) -> abi::Status {
    // SAFETY: the contract of directive: it and its texts are lent for the call.
    unsafe {
        let Some(raw) = directive.as_ref() else {
            return -EINVAL;
        };
        let (group, why) = (text::owned(raw.group), text::owned(raw.why));
        let directive = Directive::from_raw(raw, group, why);
        enter::<T>(instance, |it| {
            it.plugin.directive(&directive);
            0
        })
    }
}

unsafe extern "C" fn peer_up<T: Peer>(instance: *mut c_void, wire: u32) -> abi::Status {
    // SAFETY: the contract of the descriptor.
    unsafe {
        enter::<T>(instance, |it| {
            it.plugin.up(wire);
            0
        })
    }
}

unsafe extern "C" fn peer_down<T: Peer>(instance: *mut c_void) -> abi::Status {
    // SAFETY: the contract of the descriptor.
    unsafe {
        enter::<T>(instance, |it| {
            it.plugin.down();
            0
        })
    }
}

unsafe extern "C" fn peer_message<T: Peer>(
    instance: *mut c_void,
    message: abi::Bytes,
) -> abi::Status {
    // SAFETY: the contract of message: the bytes are lent for the call.
    unsafe {
        let bytes = text::slice(message.ptr, message.len);
        enter::<T>(instance, |it| {
            it.plugin.message(bytes);
            0
        })
    }
}

unsafe extern "C" fn peer_writable<T: Peer>(instance: *mut c_void) -> abi::Status {
    // SAFETY: the contract of the descriptor.
    unsafe {
        enter::<T>(instance, |it| {
            it.plugin.writable();
            0
        })
    }
}

unsafe extern "C" fn partner_up<T: Local>(instance: *mut c_void, partner: u32) -> abi::Status {
    // SAFETY: the contract of the descriptor.
    unsafe {
        enter::<T>(instance, |it| {
            it.plugin.partner_up(partner as usize);
            0
        })
    }
}

unsafe extern "C" fn partner_down<T: Local>(instance: *mut c_void, partner: u32) -> abi::Status {
    // SAFETY: the contract of the descriptor.
    unsafe {
        enter::<T>(instance, |it| {
            it.plugin.partner_down(partner as usize);
            0
        })
    }
}

unsafe extern "C" fn partner_message<T: Local>(
    instance: *mut c_void,
    partner: u32,
    message: abi::Bytes,
) -> abi::Status {
    // SAFETY: the contract of message: the bytes are lent for the call.
    unsafe {
        let bytes = text::slice(message.ptr, message.len);
        enter::<T>(instance, |it| {
            it.plugin.partner_message(partner as usize, bytes);
            0
        })
    }
}

unsafe extern "C" fn partner_writable<T: Local>(
    instance: *mut c_void,
    partner: u32,
) -> abi::Status {
    // SAFETY: the contract of the descriptor.
    unsafe {
        enter::<T>(instance, |it| {
            it.plugin.partner_writable(partner as usize);
            0
        })
    }
}

unsafe extern "C" fn signature<T: Identity>(
    instance: *mut c_void,
    ticket: u64,
    signature: abi::Bytes,
) -> abi::Status {
    // SAFETY: the contract of signature: the bytes are lent for the call.
    unsafe {
        let bytes = text::slice(signature.ptr, signature.len);
        enter::<T>(instance, |it| {
            it.plugin.signed(ticket, bytes);
            0
        })
    }
}

unsafe extern "C" fn verified<T: Identity>(
    instance: *mut c_void,
    ticket: u64,
    yes: u32,
) -> abi::Status {
    // SAFETY: the contract of the descriptor.
    unsafe {
        enter::<T>(instance, |it| {
            it.plugin.verified(ticket, yes == 1);
            0
        })
    }
}

unsafe extern "C" fn pair_status<T: Watch>(
    instance: *mut c_void,
    status: *const abi::PairStatus,
) -> abi::Status {
    // SAFETY: the contract of status: it, its arrays and texts are lent for the call.
    unsafe {
        let Some(raw) = status.as_ref() else {
            return -EINVAL;
        };
        let status = status::read(raw);
        enter::<T>(instance, |it| {
            it.plugin.status(&status);
            0
        })
    }
}

unsafe extern "C" fn pair_event<T: Watch>(
    instance: *mut c_void,
    event: *const abi::Event,
) -> abi::Status {
    // SAFETY: the contract of event: it and its texts are lent for the call.
    unsafe {
        let Some(raw) = event.as_ref() else {
            return -EINVAL;
        };
        let event = status::event(raw);
        enter::<T>(instance, |it| {
            it.plugin.event(&event);
            0
        })
    }
}

/// The plugin's half of an extension, as a constant, so that its address stays valid.
pub(crate) struct Half<T>(PhantomData<T>);

impl<T: Interfaces> Half<T> {
    pub(crate) const INTERFACE: abi::InterfacePlugin = abi::InterfacePlugin {
        size: size::<abi::InterfacePlugin>(),
        reserved: 0,
        changed: Some(changed::<T>),
    };
}

impl<T: Groups> Half<T> {
    pub(crate) const GROUP: abi::GroupPlugin = abi::GroupPlugin {
        size: size::<abi::GroupPlugin>(),
        reserved: 0,
        directive: Some(directive::<T>),
    };
}

impl<T: Peer> Half<T> {
    pub(crate) const PEER: abi::PeerPlugin = abi::PeerPlugin {
        size: size::<abi::PeerPlugin>(),
        reserved: 0,
        up: Some(peer_up::<T>),
        down: Some(peer_down::<T>),
        message: Some(peer_message::<T>),
        writable: Some(peer_writable::<T>),
    };
}

impl<T: Local> Half<T> {
    pub(crate) const LOCAL: abi::LocalPlugin = abi::LocalPlugin {
        size: size::<abi::LocalPlugin>(),
        partner_count: T::PARTNERS.len() as u32,
        // `Partner` is a transparent wrapper of a name.
        partners: T::PARTNERS.as_ptr().cast(),
        up: Some(partner_up::<T>),
        down: Some(partner_down::<T>),
        message: Some(partner_message::<T>),
        writable: Some(partner_writable::<T>),
    };
}

impl<T: Watch> Half<T> {
    pub(crate) const STATUS: abi::WatchPlugin = abi::WatchPlugin {
        size: size::<abi::WatchPlugin>(),
        reserved: 0,
        status: Some(pair_status::<T>),
        event: Some(pair_event::<T>),
    };
}

impl<T: Identity> Half<T> {
    pub(crate) const IDENTITY: abi::IdentityPlugin = abi::IdentityPlugin {
        size: size::<abi::IdentityPlugin>(),
        reserved: 0,
        signature: Some(signature::<T>),
        verified: Some(verified::<T>),
    };
}
