//! Lines of one node in a file of both: a file that is taken apart and joined is the same file, and what a peer
//! sends as the part of both never brings a line of this node into that part.
//!
//! Input: length of this node's file in two bytes, that file, then what the peer has of it.

use spared_tree::own::{Line, Split, join, split};

pub fn run(input: &[u8]) {
    let Some((length, bytes)) = input.split_first_chunk::<2>() else {
        return;
    };
    let length = usize::from(u16::from_be_bytes(*length)).min(bytes.len());
    let (file, theirs) = bytes.split_at(length);
    let own = match split(file) {
        Ok(Some(it)) => {
            // only the last line of a file can have no end, and gets one
            let mut ended = file.to_vec();
            if it.own.last().is_some_and(|it| !it.bytes.ends_with(b"\n")) {
                ended.push(b'\n');
            }
            assert_eq!(join(&it.both, &it.own), Ok(Some(ended)));
            it.own
        }
        Ok(None) => {
            assert_eq!(join(file, &[]), Ok(None));
            Vec::new()
        }
        Err(_) => Vec::new(),
    };
    received(theirs, &own);
}

/// Asserts that the next look finds what the peer sent, and this node's own lines.
fn received(both: &[u8], own: &[Line]) {
    let Ok(Some(file)) = join(both, own) else {
        return;
    };
    let again = split(&file)
        .expect("marks that are there once")
        .expect("marks");
    assert_eq!(again.both, both);
    for line in &again.own {
        let was = own
            .iter()
            .find(|it| it.name == line.name)
            .expect("a line of this node");
        let end = if was.bytes.ends_with(b"\n") { "" } else { "\n" };
        assert_eq!(line.bytes, [&was.bytes, end.as_bytes()].concat());
    }
}

/// Files of both nodes in the ways that configurations have comments, marks in odd places, and what a peer may
/// send to a node that has lines.
pub fn seeds() -> Vec<Vec<u8>> {
    const FILES: [&str; 8] = [
        "interface lan\n# spared: own address\nlisten 10.0.0.1\n<!-- spared: own id -->\n1\nend",
        "[node]\r\n# spared: own node.name\r\nname = \"r1\"\r\n",
        "// spared: own a\n// spared: own b\n/* spared: own c */\n3\n",
        "# spared: own a\n1",
        "# spared: own a\n\n# spared: own b\n\n",
        "x spared: own a spared: own b\n1\n",
        "# spared: own \n1\n# spared: own a/b\n2\n",
        "nothing of one node\n",
    ];
    let pair = |file: &str, theirs: &[u8]| {
        let length = u16::try_from(file.len()).expect("short");
        [&length.to_be_bytes()[..], file.as_bytes(), theirs].concat()
    };
    let mut seeds = Vec::new();
    for file in FILES {
        let both = match split(file.as_bytes()) {
            Ok(Some(Split { both, .. })) => both,
            _ => file.as_bytes().to_vec(),
        };
        seeds.push(pair(file, &both));
        // a mark more, one twice, and one without an end
        seeds.push(pair(file, &[&both[..], b"# spared: own new\n"].concat()));
        seeds.push(pair(file, &both.repeat(2)));
        seeds.push(pair(file, both.strip_suffix(b"\n").unwrap_or(&both)));
    }
    seeds
}
