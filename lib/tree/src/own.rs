//! Values that belong to one node, in a file that is otherwise the same on both nodes.
//!
//! A line that contains `spared: own NAME`, as a comment in the file's own syntax, is a mark: the line after it belongs
//! to the node and never leaves it. The file without these lines is hashed, compared and sent. A file without a mark is
//! handled as plain bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Maximum size in bytes of a file that can have marks.
pub const MARKED_MAX: u64 = 1 << 20;
const MARK: &[u8] = b"spared: own ";
const NAME_MAX: usize = 40;

/// Line that belongs to this node, with its line end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub name: String,
    pub bytes: Vec<u8>,
}

/// File with marks, in its two parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Part of the file that both nodes have.
    pub both: Vec<u8>,
    /// Lines that only this node has.
    pub own: Vec<Line>,
}

/// Lines of this node in each file of a tree, by path; files without such lines are left out.
pub type Own = BTreeMap<String, Vec<Line>>;

/// Splits a file of this node into its two parts. None: it has no mark.
///
/// # Errors
/// A mark appears twice, or has no line after it.
pub fn split(file: &[u8]) -> Result<Option<Split>, String> {
    if !may_have_marks(file) {
        return Ok(None);
    }
    let mut both = Vec::with_capacity(file.len());
    let mut own: Vec<Line> = Vec::new();
    let mut lines = file.split_inclusive(|byte| *byte == b'\n');
    while let Some(line) = lines.next() {
        both.extend_from_slice(line);
        let Some(name) = name_of(line) else { continue };
        if own.iter().any(|it| it.name == name) {
            return Err(twice(&name));
        }
        let missing = || format!("has no line after the mark \"spared: own {name}\"");
        let bytes = lines.next().ok_or_else(missing)?.to_vec();
        own.push(Line { name, bytes });
    }
    Ok((!own.is_empty()).then_some(Split { both, own }))
}

/// Joins the part that both nodes have with the lines of this node after their marks. None: it has no mark.
///
/// # Errors
/// This node has no line for a mark, a mark appears twice, or the file would be too large to have marks, so that
/// the next scan would take the lines of this node for lines of both.
pub fn join(both: &[u8], own: &[Line]) -> Result<Option<Vec<u8>>, String> {
    if !may_have_marks(both) {
        return Ok(None);
    }
    let mut file = Vec::with_capacity(both.len());
    let mut marks: Vec<String> = Vec::new();
    for line in both.split_inclusive(|byte| *byte == b'\n') {
        file.extend_from_slice(line);
        let Some(name) = name_of(line) else { continue };
        if marks.contains(&name) {
            return Err(twice(&name));
        }
        let own = own.iter().find(|it| it.name == name);
        let Some(own) = own.filter(|_| line.ends_with(b"\n")) else {
            return Err(format!(
                "has the mark \"spared: own {name}\", and this node has no line for it: write the mark and its line \
                 into the file here first"
            ));
        };
        file.extend_from_slice(&own.bytes);
        // the last line of this node's file may have had no line end
        if !own.bytes.ends_with(b"\n") {
            file.push(b'\n');
        }
        marks.push(name);
    }
    let size = file.len();
    match (marks.is_empty(), fits(size)) {
        (true, _) => Ok(None),
        (false, true) => Ok(Some(file)),
        (false, false) => Err(format!(
            "has {size} bytes with the lines of this node, allowed with marks {MARKED_MAX}"
        )),
    }
}

fn twice(name: &str) -> String {
    format!("has the mark \"spared: own {name}\" twice")
}

fn fits(size: usize) -> bool {
    u64::try_from(size).is_ok_and(|it| it <= MARKED_MAX)
}

/// Name in a mark.
fn name_of(line: &[u8]) -> Option<String> {
    let at = line.windows(MARK.len()).position(|it| it == MARK)?;
    let rest = line.get(at + MARK.len()..)?;
    let word = rest.split(u8::is_ascii_whitespace).next()?;
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let fits = (1..=NAME_MAX).contains(&word.len()) && word.iter().all(plain);
    let name = std::str::from_utf8(word).ok().filter(|_| fits)?;
    Some(name.to_owned())
}

fn may_have_marks(file: &[u8]) -> bool {
    fits(file.len()) && file.windows(MARK.len()).any(|it| it == MARK)
}

#[cfg(test)]
mod tests {
    use super::*;

    const R1: &[u8] =
        b"interface lan\n# spared: own address\nlisten 10.0.0.1\n<!-- spared: own id -->\n1\nend";
    const R2: &[u8] =
        b"interface lan\n# spared: own address\nlisten 10.0.0.2\n<!-- spared: own id -->\n2\nend";

    #[test]
    fn the_line_after_a_mark_is_of_the_node_and_the_rest_of_both() {
        let Split { both, own: of_r1 } = split(R1).expect("no fault").expect("marks");
        let Split {
            both: both_r2,
            own: of_r2,
        } = split(R2).expect("no fault").expect("marks");
        assert_eq!(both, both_r2);
        assert!(!both.windows(6).any(|it| it == b"listen"));
        assert_eq!(of_r1[0].name, "address");
        assert_eq!(join(&both, &of_r1), Ok(Some(R1.to_vec())));
        assert_eq!(join(&both, &of_r2), Ok(Some(R2.to_vec())));
    }

    #[test]
    fn a_mark_is_no_bytes_and_bytes_are_no_mark() {
        for text in [
            "",
            "a\nb",
            "spared: own",
            "# spared: own \nx\n",
            "spared: own a/b\nx\n",
        ] {
            assert_eq!(split(text.as_bytes()), Ok(None), "{text:?}");
            assert_eq!(join(text.as_bytes(), &[]), Ok(None), "{text:?}");
        }
    }

    #[test]
    fn a_mark_needs_a_line_and_a_name_of_its_own() {
        for text in [
            "# spared: own a",
            "# spared: own a\n",
            "# spared: own a\n1\n# spared: own a\n2\n",
        ] {
            split(text.as_bytes()).expect_err(text);
        }
        // from a peer: a mark that this node has no line for, and a mark without a line after it
        let own = [Line {
            name: "a".to_owned(),
            bytes: b"1\n".to_vec(),
        }];
        join(b"# spared: own b\n", &own).expect_err("another name");
        join(b"# spared: own a", &own).expect_err("no end");
        assert_eq!(
            join(b"# spared: own a\n", &own),
            Ok(Some(b"# spared: own a\n1\n".to_vec()))
        );
    }

    #[test]
    fn what_could_not_be_taken_apart_again_is_not_joined() {
        let line = |length: usize| {
            [Line {
                name: "a".to_owned(),
                bytes: [vec![b'x'; length], b"\n".to_vec()].concat(),
            }]
        };
        let mark = b"# spared: own a\n";
        let twice = [&mark[..], mark].concat();
        join(&twice, &line(1)).expect_err("a mark twice");
        let limit = usize::try_from(MARKED_MAX).expect("small");
        let both = [mark.to_vec(), vec![b'\n'; limit - mark.len() - 3]].concat();
        let file = join(&both, &line(2)).expect("it fits").expect("marks");
        assert_eq!(file.len(), limit);
        assert_eq!(split(&file).expect("no fault").expect("marks").own, line(2));
        let why = join(&both, &line(3)).expect_err("it would be bytes");
        assert!(why.starts_with("has 1048577 bytes"), "{why}");
    }

    #[test]
    fn a_line_of_the_node_may_look_like_a_mark() {
        let file = b"# spared: own a\n# spared: own b\n# spared: own c\n3\n";
        let Split { both, own } = split(file).expect("no fault").expect("marks");
        assert_eq!(both, b"# spared: own a\n# spared: own c\n");
        assert_eq!(join(&both, &own), Ok(Some(file.to_vec())));
    }

    #[test]
    fn a_last_line_without_end_is_kept_where_it_can_be() {
        let Split { both, own } = split(b"# spared: own a\n1")
            .expect("no fault")
            .expect("marks");
        let file = join(&both, &own).expect("a line").expect("marks");
        assert_eq!(file, b"# spared: own a\n1\n");
    }
}
