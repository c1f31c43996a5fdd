//! The configuration of both nodes, from the first node's files and what the nodes have proved to each other.

use spared_key::public_text;
use spared_pairing::{Introduction, Texts, spared_toml};

use crate::folder::{HOST_FILE, host_text};

/// The first node's files with the keys of both nodes.
///
/// # Errors
/// The other node is a third one or a new machine, or the files are not those of a pair; a sentence says what to do.
pub fn for_both(
    texts: &Texts,
    own: &Introduction,
    peer: &Introduction,
    replace: bool,
) -> Result<Texts, String> {
    let text = host_text(texts);
    if let Some(file) = spared_toml::secret_file(text) {
        return Err(format!(
            "{HOST_FILE}: the pair has a passphrase (secret_file = \"{file}\"): copy that file to the other node, or \
             remove the key and run `sparectl pair` again"
        ));
    }
    may_join(text, own, peer, replace)?;
    let text = spared_toml::with_key(text, &own.node, &own.key)?;
    let mut text = spared_toml::with_key(&text, &peer.node, &peer.key)?;
    if !own.interface.is_empty() {
        let ends = [own, peer].map(|it| (it.node.as_str(), it.interface.as_str()));
        if spared_toml::link_interfaces(&text, &own.node).first() == Some(&own.interface) {
            text = spared_toml::with_link_interface(&text, ends)?;
        }
    }
    let mut texts = texts.clone();
    texts.insert(HOST_FILE.to_owned(), text);
    Ok(texts)
}

/// Checks that the other node is the one that the first node's file names, or that there is none yet.
fn may_join(
    text: &str,
    own: &Introduction,
    peer: &Introduction,
    replace: bool,
) -> Result<(), String> {
    let nodes = spared_toml::nodes(text)?;
    let mut others = nodes.iter().filter(|(name, _)| *name != own.node);
    let Some((other, key)) = others.next() else {
        return Ok(());
    };
    let (own, new) = (&own.node, &peer.node);
    match key {
        None if other == new => Ok(()),
        None => Err(format!(
            "{HOST_FILE} of {own} names {other} as the other node, and this is {new}: give it the host name {other}, or \
             write {new} in place of {other} on {own}; then run `sparectl pair` again on both"
        )),
        Some(_) if other != new => Err(format!(
            "{own} and {other} are a pair, and {new} is a third node: a pair has two. If {new} is to take the place of \
             {other}, give it the host name {other} and run `sparectl replace` on {own}"
        )),
        Some(key) if *key == public_text(&peer.key) || replace => Ok(()),
        Some(_) => Err(format!(
            "{new} has another key than [nodes] on {own}: if it is a new machine, run `sparectl replace` on {own}; \
             otherwise compare with `sparectl keygen` on {new}"
        )),
    }
}

/// The files as the second node has them: with its own name where the name of the host is not it.
///
/// # Errors
/// See [`spared_toml`].
pub fn for_second(texts: &Texts, node: &str, host: &str) -> Result<Texts, String> {
    let mut texts = texts.clone();
    let text = host_text(&texts);
    let text = if node == host {
        spared_toml::without_node_name(text)?
    } else {
        spared_toml::with_node_name(text, node)?
    };
    texts.insert(HOST_FILE.to_owned(), text);
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use spared_key::PublicKey;

    use super::*;

    fn node(name: &str, key: PublicKey, interface: &str) -> Introduction {
        Introduction {
            node: name.to_owned(),
            key,
            interface: interface.to_owned(),
            addresses: [String::new(), String::new()],
        }
    }

    fn texts(host: &str) -> Texts {
        let file = |(name, text): (&str, &str)| (name.to_owned(), text.to_owned());
        [(HOST_FILE, host), ("plugins/conntrack.toml", "")]
            .map(file)
            .into()
    }

    const LINK: &str = "[[link]]\ninterface = \"hot0\"\n";

    #[test]
    fn the_files_of_the_first_node_get_both_keys_and_both_interfaces() {
        let (r1, r2) = (node("r1", [1; 32], "hot0"), node("r2", [2; 32], "enp3s0"));
        let both = for_both(&texts(LINK), &r1, &r2, false).unwrap();
        let [one, two] = [1, 2].map(|it| public_text(&[it; 32]));
        let expected = format!(
            "[[link]]\ninterface = {{ r1 = \"hot0\", r2 = \"enp3s0\" }}\n\n[nodes]\nr2.public_key = \"{two}\"\n\
             r1.public_key = \"{one}\"\n"
        );
        assert_eq!(both[HOST_FILE], expected);
        assert_eq!(both.len(), 2);
        // once more changes nothing
        assert_eq!(for_both(&both, &r1, &r2, false), Ok(both));
    }

    #[test]
    fn a_third_node_and_a_new_machine_are_refused_with_what_to_do() {
        let of = |number| public_text(&[number; 32]);
        let pair = format!(
            "[nodes]\nr1.public_key = \"{}\"\nr2.public_key = \"{}\"\n",
            of(1),
            of(2)
        );
        let r1 = node("r1", [1; 32], "");
        let joins = |text: &str, name, key, replace| {
            for_both(&texts(text), &r1, &node(name, [key; 32], ""), replace).map(drop)
        };
        assert_eq!(joins(&pair, "r2", 2, false), Ok(()));
        let third = joins(&pair, "r3", 3, true).unwrap_err();
        assert!(
            third.starts_with("r1 and r2 are a pair, and r3 is a third node"),
            "{third}"
        );
        let new = joins(&pair, "r2", 3, false).unwrap_err();
        assert!(new.contains("`sparectl replace` on r1"), "{new}");
        assert_eq!(joins(&pair, "r2", 3, true), Ok(()));
        let unnamed = joins("[nodes]\nr1 = {}\nr2 = {}\n", "r3", 3, false).unwrap_err();
        assert!(unnamed.contains("give it the host name r2"), "{unnamed}");
        let secret = joins("secret_file = \"word\"\n", "r2", 2, false).unwrap_err();
        assert!(secret.contains("secret_file"), "{secret}");
    }

    #[test]
    fn the_second_node_keeps_its_own_name() {
        let named = texts("[node]\nname = \"r1\"\n");
        let of = |texts, node, host| for_second(texts, node, host).unwrap()[HOST_FILE].clone();
        assert_eq!(of(&named, "r2", "debian"), "[node]\nname = \"r2\"\n");
        assert_eq!(of(&named, "r2", "r2"), "[node]\n");
        assert_eq!(of(&texts("port = 1\n"), "r2", "r2"), "port = 1\n");
    }
}
