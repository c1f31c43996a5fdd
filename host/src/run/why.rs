//! `sparectl why`: the elector's sentence, and what it cannot know: which checks made a quality.

use spared_control::{Answer, ErrorCode, GroupWhy};

use spared_worker::message::Forced;

use super::core::Core;
use crate::control::refusal;
use crate::group::Group;

/// How a node stands, as the sentence may mention it.
#[derive(Debug)]
struct Fitness<'n> {
    node: &'n str,
    quality: u8,
    /// Its checks that cost something, worst first.
    failing: &'n [String],
}

impl Core {
    pub(super) fn why(&self, group: Option<&str>) -> Answer {
        let groups: Vec<GroupWhy> = self
            .groups
            .iter()
            .filter(|(name, _)| group.is_none_or(|wanted| wanted == *name))
            .map(|(name, group)| GroupWhy {
                group: name.to_owned(),
                sentence: self.sentence_of(group) + self.word_on_fence(),
            })
            .collect();
        match group {
            Some(name) if groups.is_empty() => {
                refusal(ErrorCode::Usage, format!("there is no group \"{name}\""))
            }
            _ => Answer::Why { groups },
        }
    }

    fn word_on_fence(&self) -> &'static str {
        match self.kernel.is_fenced() {
            true => "",
            false => ". The fence is off: a hung daemon keeps its addresses",
        }
    }

    pub(super) fn sentence_of(&self, group: &Group) -> String {
        let failing = self.quality.failing();
        let own = Fitness {
            node: &self.setup.host.node,
            quality: self.quality.number(),
            failing: &failing,
        };
        let facts = self.pair.peer.facts();
        let peer = self.peer_name().zip(facts).map(|(node, it)| Fitness {
            node,
            quality: it.quality,
            failing: &it.failing,
        });
        let mut sentence = explain(&group.why, &own, peer.as_ref());
        if group.forced != Forced::No {
            sentence.push_str(". Undo: sparectl force reset");
        }
        sentence
    }
}

/// Puts the worst check behind each quality that the sentence mentions: "its quality is 73" of the
/// node that the sentence is about, "fw2's is 100" of the other.
fn explain(sentence: &str, own: &Fitness<'_>, peer: Option<&Fitness<'_>>) -> String {
    let mut text = put(sentence, &format!("its quality is {}", own.quality), own);
    text = put(&text, &format!("{}'s is {}", own.node, own.quality), own);
    if let Some(peer) = peer {
        let (node, quality) = (peer.node, peer.quality);
        text = put(&text, &format!("{node}'s is {quality}"), peer);
        text = put(&text, &format!("{node}'s quality is {quality}"), peer);
    }
    text
}

fn put(sentence: &str, words: &str, node: &Fitness<'_>) -> String {
    let (Some(check), Some(at)) = (node.failing.first(), sentence.find(words)) else {
        return sentence.to_owned();
    };
    let (before, after) = sentence.split_at(at + words.len());
    // 7 is not the quality where 73 is said, and what is explained is not explained again
    if after.starts_with(|c: char| c.is_ascii_digit()) || after.starts_with(" (") {
        return sentence.to_owned();
    }
    let more = match node.failing.len() {
        1 => String::new(),
        n => format!(", and {} more", n - 1),
    };
    format!("{before} ({check}{more}){after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of<'n>(node: &'n str, quality: u8, failing: &'n [String]) -> Fitness<'n> {
        Fitness {
            node,
            quality,
            failing,
        }
    }

    #[test]
    fn each_quality_that_is_mentioned_has_its_check() {
        let hurt = ["interface \"in\" has no carrier".to_owned()];
        let (own, peer) = (of("fw1", 73, &hurt), of("fw2", 100, &[]));
        let said = "fw1 is backup because its quality is 73 and fw2's is 100";
        assert_eq!(
            explain(said, &own, Some(&peer)),
            "fw1 is backup because its quality is 73 (interface \"in\" has no carrier) \
             and fw2's is 100"
        );
        let said = "fw2 is active because its quality is 100 and fw1's is 73";
        assert_eq!(
            explain(said, &of("fw2", 100, &[]), Some(&of("fw1", 73, &hurt))),
            "fw2 is active because its quality is 100 and fw1's is 73 \
             (interface \"in\" has no carrier)"
        );
    }

    #[test]
    fn a_sentence_about_something_else_stays_as_it_is() {
        let hurt = ["a".to_owned(), "b".to_owned()];
        let own = of("fw1", 7, &hurt);
        for said in [
            "fw1 is active because fw2 fell silent on lan",
            "fw1 is backup because its quality is 73",
            "fw1 is backup because its quality is 7 (a)",
        ] {
            assert_eq!(explain(said, &own, None), said);
        }
        assert_eq!(
            explain("its quality is 7", &own, None),
            "its quality is 7 (a, and 1 more)"
        );
    }
}
