//! Exchanges messages with the peer plugin, and does all that a plugin with replicated state must do.
//!
//!     # /etc/spared/plugins/messenger.toml
//!     interval = "1s"                     # between messages; equal on both nodes
//!     weight = 100                        # weight of its check
//!     label = { r1 = "left", r2 = "right" }
//!     note = "rack 7"                     # never compared
//!
//! `sparectl messenger check bad|good`, `in-sync yes|no`, `say TEXT`, `flood N SIZE [spare]`, `ping N`,
//! `prove TEXT`, `verify SIGNATURE TEXT`, `status`.

mod message;
mod messenger;
mod proof;

spared_sdk::plugin!(messenger::Messenger {
    name: "messenger",
    summary: "speaks with its peer",
    wire: (1, 2),
    parts: [roles, transfer, query, peer, identity],
});
