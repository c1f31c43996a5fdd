//! The plugin two versions later, which no longer supports the first.

#[path = "../src/message.rs"]
mod message;
#[path = "../src/messenger.rs"]
mod messenger;
#[path = "../src/proof.rs"]
mod proof;

spared_sdk::plugin!(messenger::Messenger {
    name: "messenger",
    summary: "speaks with its peer",
    wire: (3, 4),
    parts: [roles, transfer, query, peer, identity],
});
