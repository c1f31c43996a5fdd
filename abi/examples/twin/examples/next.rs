//! The plugin one version later: it still speaks with the one before.

#[path = "../src/message.rs"]
mod message;
#[path = "../src/twin.rs"]
mod twin;

spared_sdk::export!(twin::Twin {
    name: "twin",
    summary: "speaks with its twin",
    wire: (2, 3),
    parts: [roles, transfer, query, peer],
});
