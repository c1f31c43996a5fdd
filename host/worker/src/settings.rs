//! The configuration as config_get and config_len see it, for plugins without a TOML parser.

use rustix::io::Errno;
use toml::{Table, Value};

use crate::message::Surroundings;

/// One configuration and the host's keys.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    table: Table,
    around: Surroundings,
}

impl Settings {
    /// # Errors
    /// The parser's words.
    pub fn parse(toml: &str, surroundings: &Surroundings) -> Result<Self, String> {
        let table = toml
            .parse()
            .map_err(|error: toml::de::Error| error.message().to_owned())?;
        Ok(Self {
            table,
            around: surroundings.clone(),
        })
    }

    /// A scalar as text.
    ///
    /// # Errors
    /// ENOENT where it is absent, EISDIR where it is a table or an array.
    pub fn get(&self, key: &str) -> Result<String, Errno> {
        if key == "@node" {
            return Ok(self.around.node.clone());
        }
        if key == "@peer" {
            return self.around.peer.clone().ok_or(Errno::NOENT);
        }
        if key == "@state" {
            return self.around.state.clone().ok_or(Errno::NOENT);
        }
        for (array, texts) in self.arrays() {
            let position = key
                .strip_prefix(array)
                .and_then(|key| key.strip_prefix('.'));
            if let Some(position) = position {
                let at = position.parse::<usize>().ok();
                let text = at.and_then(|at| texts.get(at));
                return text.cloned().ok_or(Errno::NOENT);
            }
        }
        match self.find(key).ok_or(Errno::NOENT)? {
            Value::String(text) => Ok(text.clone()),
            Value::Table(_) | Value::Array(_) => Err(Errno::ISDIR),
            scalar => Ok(scalar.to_string()),
        }
    }

    /// The length of an array.
    ///
    /// # Errors
    /// ENOENT where it is absent, ENOTDIR where it is no array.
    pub fn len(&self, key: &str) -> Result<u32, Errno> {
        let of_host = self.arrays().into_iter().find(|(array, _)| *array == key);
        let length = match of_host {
            Some((_, texts)) => texts.len(),
            None => match self.find(key).ok_or(Errno::NOENT)? {
                Value::Array(array) => array.len(),
                _ => return Err(Errno::NOTDIR),
            },
        };
        u32::try_from(length).map_err(|_| Errno::OVERFLOW)
    }

    fn arrays(&self) -> [(&'static str, &[String]); 2] {
        [
            ("@nodes", &self.around.nodes),
            ("@links", &self.around.links),
        ]
    }

    fn find(&self, key: &str) -> Option<&Value> {
        let mut steps = key.split('.');
        let mut value = self.table.get(steps.next()?)?;
        for step in steps {
            let below = match value {
                Value::Table(table) => table.get(step),
                Value::Array(array) => array.get(step.parse::<usize>().ok()?),
                _ => None,
            };
            // "address.0" of address = { r1 = ["..."], r2 = ["..."] } is this node's first.
            value = match (below, self.by_node(value)) {
                (Some(below), _) => below,
                (None, Value::Array(array)) => array.get(step.parse::<usize>().ok()?)?,
                (None, Value::Table(table)) => table.get(step)?,
                (None, _) => return None,
            };
        }
        Some(self.by_node(value))
    }

    /// Of a table by node name, this node's value.
    fn by_node<'a>(&self, value: &'a Value) -> &'a Value {
        match value {
            Value::Table(table) => table.get(&self.around.node).unwrap_or(value),
            _ => value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        let toml = r#"
            name = "office"
            count = 3
            share = 0.5
            on = true
            priority = { r1 = 200, r2 = 100 }
            addresses = { r1 = ["10.0.0.1", "10.0.0.2"], r2 = ["10.0.0.3"] }
            [[group]]
            name = "a"
            [[group.interface]]
            vrid = 50
        "#;
        let surroundings = Surroundings {
            node: "r1".to_owned(),
            nodes: vec!["r1".to_owned(), "r2".to_owned()],
            links: vec!["hot".to_owned()],
            peer: Some("r2".to_owned()),
            state: Some("/var/lib/spared/mine".to_owned()),
        };
        Settings::parse(toml, &surroundings).unwrap()
    }

    #[test]
    fn scalars_are_found_by_path_as_text() {
        let settings = settings();
        for (key, value) in [
            ("name", "office"),
            ("count", "3"),
            ("share", "0.5"),
            ("on", "true"),
            ("group.0.name", "a"),
            ("group.0.interface.0.vrid", "50"),
        ] {
            assert_eq!(settings.get(key).as_deref(), Ok(value), "{key}");
        }
    }

    #[test]
    fn a_table_by_node_gives_this_nodes_value() {
        let settings = settings();
        assert_eq!(settings.get("priority").as_deref(), Ok("200"));
        assert_eq!(settings.len("addresses"), Ok(2));
        assert_eq!(settings.get("addresses.1").as_deref(), Ok("10.0.0.2"));
        assert_eq!(settings.get("addresses.r2.0").as_deref(), Ok("10.0.0.3"));
    }

    #[test]
    fn nodes_links_and_its_own_directory_are_keys_of_the_host() {
        let settings = settings();
        let state = settings.get("@state");
        assert_eq!(state.as_deref(), Ok("/var/lib/spared/mine"));
        let none = Settings::default().get("@state");
        assert_eq!(none, Err(Errno::NOENT));
        assert_eq!(settings.get("@peer").as_deref(), Ok("r2"));
        assert_eq!(Settings::default().get("@peer"), Err(Errno::NOENT));
        assert_eq!(settings.len("@links"), Ok(1));
        assert_eq!(settings.get("@links.0").as_deref(), Ok("hot"));
        assert_eq!(settings.get("@node").as_deref(), Ok("r1"));
        assert_eq!(settings.len("@nodes"), Ok(2));
        assert_eq!(settings.get("@nodes.1").as_deref(), Ok("r2"));
        assert_eq!(settings.get("@nodes.2"), Err(Errno::NOENT));
    }

    #[test]
    fn what_is_not_there_or_not_a_scalar_is_told_apart() {
        let settings = settings();
        assert_eq!(settings.get("nothing"), Err(Errno::NOENT));
        assert_eq!(settings.get("group.7.name"), Err(Errno::NOENT));
        assert_eq!(settings.get("name.deeper"), Err(Errno::NOENT));
        assert_eq!(settings.get("group"), Err(Errno::ISDIR));
        assert_eq!(settings.get("group.0"), Err(Errno::ISDIR));
        assert_eq!(settings.len("name"), Err(Errno::NOTDIR));
        assert_eq!(settings.len("group"), Ok(1));
        assert_eq!(settings.get(""), Err(Errno::NOENT));
    }
}
