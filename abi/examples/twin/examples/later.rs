//! The plugin two versions later: it no longer speaks with the first.

#[path = "../src/message.rs"]
mod message;
#[path = "../src/twin.rs"]
mod twin;

spared_sdk::export!(twin::Twin {
    name: "twin",
    summary: "speaks with its twin",
    wire: (3, 4),
    parts: [roles, transfer, query, peer],
});
