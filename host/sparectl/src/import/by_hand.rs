//! Changes by hand in the files of the first import: `import --both` keeps them, or says that they go.

use spared_pairing::Texts;

use crate::consent::says_anything;

/// Leaves files as they are that `--both` changes in nothing, but for changes by hand. Returns the names of those that
/// both have changed, which cannot be kept.
pub fn keep(here: &Texts, first: &Texts, new: &mut Texts) -> Vec<String> {
    let is_changed = |(name, text): &(&String, &String)| {
        let is_known = [first.get(*name), new.get(*name)].contains(&Some(*text));
        says_anything(text) && !is_known && (first.contains_key(*name) || new.contains_key(*name))
    };
    let changed: Vec<(&String, &String)> = here.iter().filter(is_changed).collect();
    let mut lost = Vec::new();
    for (name, text) in changed {
        if first.get(name) == new.get(name) {
            new.insert(name.clone(), text.clone());
        } else {
            lost.push(name.clone());
        }
    }
    lost
}

/// Texts of these names alone.
pub fn only(texts: &Texts, names: &[String]) -> Texts {
    let named = texts.iter().filter(|it| names.contains(it.0));
    named
        .map(|(name, text)| (name.clone(), text.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(files: [&str; 2]) -> Texts {
        let named = [
            ("plugins/vrrp.toml", files[0]),
            ("plugins/health.toml", files[1]),
        ];
        let there = named.into_iter().filter(|it| !it.1.is_empty());
        there
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .collect()
    }

    #[test]
    fn changes_by_hand_stay_or_are_named() {
        let first = texts(["priority = 1\n", "argv = 1\n"]);
        let last = texts(["prefer = 1\n", "argv = 1\n"]);
        for (here, kept, lost) in [
            (
                ["priority = 1\n", "argv = 1\n"],
                ["prefer = 1\n", "argv = 1\n"],
                0,
            ),
            (
                ["prefer = 1\n", "argv = 1\n"],
                ["prefer = 1\n", "argv = 1\n"],
                0,
            ),
            (["# an example\n", ""], ["prefer = 1\n", "argv = 1\n"], 0),
            (
                ["priority = 1\n", "targets = 2\n"],
                ["prefer = 1\n", "targets = 2\n"],
                0,
            ),
            (
                ["priority = 9\n", "argv = 1\n"],
                ["prefer = 1\n", "argv = 1\n"],
                1,
            ),
        ] {
            let mut new = last.clone();
            assert_eq!(keep(&texts(here), &first, &mut new).len(), lost, "{here:?}");
            assert_eq!(new, texts(kept), "{here:?}");
        }
        // a hook that is not there with two nodes of spared
        let hook = Texts::from([("hooks/active.d/40-x".to_owned(), "exec mine\n".to_owned())]);
        let first = Texts::from([("hooks/active.d/40-x".to_owned(), "exec theirs\n".to_owned())]);
        assert_eq!(
            keep(&hook, &first, &mut Texts::new()),
            ["hooks/active.d/40-x"]
        );
        assert_eq!(keep(&hook, &Texts::new(), &mut Texts::new()), [""; 0]);
    }
}
