//! Speaks with its peer on the other node: all that a plugin whose state follows has to do.
//!
//!     # /etc/spared/plugins/messenger.toml
//!     interval = "1s"                     # a message so often; equal on both nodes
//!     weight = 100                        # of its check
//!     label = { r1 = "left", r2 = "right" }
//!     note = "rack 7"                     # never compared
//!
//! `sparectl messenger check bad|good`, `in-sync yes|no`, `say TEXT`, `flood N SIZE`, `ping N`,
//! `prove TEXT`, `verify SIGNATURE TEXT`, `status`.

mod message;
mod messenger;
mod proof;

spared_sdk::export!(messenger::Messenger {
    name: "messenger",
    summary: "speaks with its peer",
    wire: (1, 2),
    parts: [roles, transfer, query, peer, identity],
});
