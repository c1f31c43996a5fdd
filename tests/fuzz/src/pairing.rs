//! Messages of a stranger to a node that pairs, and the text of spared.toml that pairing edits: no bytes prove a code
//! or use it up unless they can be read, and an edit changes one value and nothing else.
//!
//! Input: one byte (bits 0-1: greeting, hello, answer, or the text of a file), then bytes.

use std::time::Duration;

use spared_pairing::{Code, Fault, Introduction, Invite, Join, LIFE, spared_toml};
use toml::Table;

const NOW: Duration = Duration::from_secs(1000);

pub fn run(input: &[u8]) {
    let Some((kind, bytes)) = input.split_first() else {
        return;
    };
    match kind & 3 {
        0 => drop(Join::new(code(), node(2)).handle_greeting(bytes)),
        1 => {
            let mut invite = Invite::new(code(), NOW);
            let answer = invite.handle_hello(NOW, &node(1), bytes);
            if matches!(answer, Err(Fault::Malformed | Fault::Version(_))) {
                assert_eq!(invite.left(NOW), LIFE, "the code is used up");
            }
        }
        2 => {
            let joining = Join::new(code(), node(2)).handle_greeting(&node(1).greeting());
            if let Ok((_, joining)) = joining {
                assert!(joining.handle_answer(bytes).is_err(), "a proof");
            }
        }
        _ => {
            if let Ok(text) = std::str::from_utf8(bytes) {
                edit(text);
            }
        }
    }
}

/// Edits of a text: each has the wanted value, and leaves all others.
fn edit(text: &str) {
    let before = text.parse::<Table>().unwrap_or_default();
    if let Ok(new) = spared_toml::with_key(text, "r2", &node(2).key) {
        assert_eq!(
            rest(&new, "nodes", "r2"),
            without(before.clone(), "nodes", "r2")
        );
    }
    for new in [
        spared_toml::with_node_name(text, "r2"),
        spared_toml::without_node_name(text),
    ]
    .into_iter()
    .flatten()
    {
        assert_eq!(
            rest(&new, "node", "name"),
            without(before.clone(), "node", "name")
        );
    }
    let ends = [("r1", "hot0"), ("r2", "hot1")];
    if let Ok(new) = spared_toml::with_link_interface(text, ends) {
        let found = ends.map(|(node, _)| spared_toml::link_interfaces(&new, node));
        assert_eq!(
            found.map(|it| it.first().cloned()),
            ends.map(|it| Some(it.1.to_owned()))
        );
    }
}

fn rest(text: &str, table: &str, key: &str) -> Table {
    without(text.parse().unwrap_or_default(), table, key)
}

fn without(mut all: Table, table: &str, key: &str) -> Table {
    if let Some(inner) = all.get_mut(table).and_then(|it| it.as_table_mut()) {
        inner.remove(key);
        if inner.is_empty() {
            all.remove(table);
        }
    }
    all
}

fn code() -> Code {
    Code::parse("acorn apple arrow").expect("words of codes")
}

fn node(number: u8) -> Introduction {
    Introduction {
        node: format!("r{number}"),
        key: [number; 32],
        interface: "hot0".to_owned(),
        addresses: [format!("fe80::{number}"), format!("fe80::{}", 3 - number)],
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    // halves of SPAKE2 are random; this one is the base point of Ed25519
    let half = |side: u8| [&[side, 0x58][..], &[0x66; 31]].concat();
    let mut seeds = vec![
        [&[0], node(1).greeting().as_slice()].concat(),
        [&[1], half(b'A').as_slice(), &node(2).greeting()].concat(),
        [&[2], half(b'B').as_slice(), &[0; 32]].concat(),
    ];
    let texts = [
        "# mine\nport = 3780\n[node]\nname = \"r1\"\n[nodes] # both\nr1.public_key = \"sk1:x\"\nr2 = {}\n\
         [[link]]\ninterface = \"hot0\"\n[[link]]\ninterface = { r1 = \"a\", r2 = \"b\" }\n",
        "nodes = { r1 = {}, r2 = { public_key = [\"sk1:a\", \"sk1:b\"] } }\nnode.name = \"\"\"\n[node]\n\"\"\"\n",
        "[nodes.r2]\npublic_key = \"sk1:a\"\n[nodes.r1]\n[node]\n",
    ];
    seeds.extend(texts.map(|it| [&[3], it.as_bytes()].concat()));
    seeds
}
