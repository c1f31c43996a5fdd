//! Commands of the plugin, and delivery of promised answers.

use std::path::PathBuf;

use spared_sdk::{Answer, Error, Value, Verb};

use crate::engine::Reply;

/// Verbs of `sparectl files`.
pub const ALL: [Verb; 11] = [
    Verb::ROWS,
    Verb::STATUS,
    Verb::asks(c"diff", c"TREE", c"shows which files differ on the peer"),
    Verb::changes(
        c"show",
        c"TREE | --end",
        c"fetches contents of the peer's files for a while: see files diff",
    ),
    Verb::asks(c"log", c"TREE", c"shows earlier states"),
    Verb::changes(
        c"push",
        c"TREE [--dry-run] [--check] [--anyway] [--confirm TIME]",
        c"puts this node's files in place on the peer",
    ),
    Verb::changes(
        c"pull",
        c"TREE [--dry-run] [--check] [--anyway] [--confirm TIME]",
        c"puts the peer's files in place here",
    ),
    Verb::changes(
        c"back",
        c"TREE [STATE [--anyway] | --peer]",
        c"puts an earlier state in place here, or undoes a change that waits for a confirmation",
    ),
    Verb::changes(
        c"apply",
        c"[--check] [--anyway] [--confirm TIME]",
        c"puts spared's own configuration of this node in force: see sparectl config push",
    ),
    Verb::changes(
        c"confirm",
        c"[TREE]",
        c"keeps what would go back here, or else on the peer",
    ),
    Verb::changes(c"stop", c"", c"ends a push or a pull that is under way"),
];

/// Gives a promised answer. `stage` is the folder of the contents that the answer may name.
pub fn put(mut kept: Answer, mut reply: Reply, stage: Option<PathBuf>) {
    if let Some(stage) = stage.filter(|_| reply.is_staged) {
        let path = Value::Text(stage.display().to_string());
        // without it no other row can be used
        reply.rows.insert(0, ("stage".to_owned(), path));
    }
    if let Some(why) = reply.refused {
        return kept.done(Err(Error::Plugin(why)));
    }
    if reply.attention {
        kept.attention();
    }
    kept.rows_that_fit(reply.rows);
    kept.done(Ok(()));
}
