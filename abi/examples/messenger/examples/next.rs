//! The plugin one version later, which still supports the version before.

#[path = "../src/message.rs"]
mod message;
#[path = "../src/messenger.rs"]
mod messenger;
#[path = "../src/proof.rs"]
mod proof;

spared_sdk::plugin!(messenger::Messenger {
    name: "messenger",
    summary: "speaks with its peer",
    wire: (2, 3),
    parts: [roles, transfer, query, peer, identity],
});
