//! A configuration for config_get and config_len, for plugins without a TOML parser.

use rustix::io::Errno;
use spared_abi as abi;
use spared_contract::{ConfigTable, ConfigValue as Value, HOST_KEYS, Surroundings};

/// One configuration and the host's keys.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    table: ConfigTable,
    around: Surroundings,
}

impl Settings {
    /// A configuration as the daemon sends it.
    pub fn new(table: &ConfigTable, surroundings: &Surroundings) -> Self {
        Self {
            table: table.clone(),
            around: surroundings.clone(),
        }
    }

    /// A scalar as text.
    ///
    /// # Errors
    /// ENOENT if it is absent, EISDIR if it is a table or an array.
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
            Value::Text(text) => Ok(text.clone()),
            Value::Flag(flag) => Ok(flag.to_string()),
            Value::Integer(number) => Ok(number.to_string()),
            Value::Float(number) => Ok(format_float((*number).into())),
            Value::Table(_) | Value::List(_) => Err(Errno::ISDIR),
        }
    }

    /// Type of a value, `SPARED_CONFIG_*`.
    ///
    /// # Errors
    /// ENOENT if it is absent.
    pub fn kind(&self, key: &str) -> Result<u32, Errno> {
        if self.arrays().iter().any(|(array, _)| *array == key) {
            return Ok(abi::CONFIG_ARRAY);
        }
        if key.starts_with('@') {
            return self.get(key).map(|_| abi::CONFIG_TEXT);
        }
        Ok(match self.find(key).ok_or(Errno::NOENT)? {
            Value::Text(_) => abi::CONFIG_TEXT,
            Value::Integer(_) => abi::CONFIG_INTEGER,
            Value::Float(_) => abi::CONFIG_FLOAT,
            Value::Flag(_) => abi::CONFIG_BOOLEAN,
            Value::List(_) => abi::CONFIG_ARRAY,
            Value::Table(_) => abi::CONFIG_TABLE,
        })
    }

    /// Name of a table's key by its position, escaped for use in a longer key.
    ///
    /// # Errors
    /// ENOENT if there is none, ENOTDIR if it is no table.
    pub fn key(&self, table: &str, position: u32) -> Result<String, Errno> {
        let keys = match table {
            "" => &self.table,
            key => match self.find(key).ok_or(Errno::NOENT)? {
                Value::Table(table) => table,
                _ => return Err(Errno::NOTDIR),
            },
        };
        let mut names: Vec<&String> = keys.0.keys().collect();
        names.retain(|name| !(table.is_empty() && HOST_KEYS.contains(&name.as_str())));
        names.sort();
        let name = usize::try_from(position).ok().and_then(|at| names.get(at));
        name.map(|name| escape(name)).ok_or(Errno::NOENT)
    }

    /// The length of an array.
    ///
    /// # Errors
    /// ENOENT if it is absent, ENOTDIR if it is no array.
    pub fn len(&self, key: &str) -> Result<u32, Errno> {
        let of_host = self.arrays().into_iter().find(|(array, _)| *array == key);
        let length = match of_host {
            Some((_, texts)) => texts.len(),
            None => match self.find(key).ok_or(Errno::NOENT)? {
                Value::List(array) => array.len(),
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
        let mut steps = steps(key).into_iter();
        let mut value = self.table.0.get(&steps.next()?)?;
        for step in steps {
            let step = step.as_str();
            let below = match value {
                Value::Table(table) => table.0.get(step),
                Value::List(array) => array.get(step.parse::<usize>().ok()?),
                _ => None,
            };
            // "address.0" of address = { r1 = ["..."], r2 = ["..."] } is this node's first.
            value = match (below, self.by_node(value)) {
                (Some(below), _) => below,
                (None, Value::List(array)) => array.get(step.parse::<usize>().ok()?)?,
                (None, Value::Table(table)) => table.0.get(step)?,
                (None, _) => return None,
            };
        }
        Some(self.by_node(value))
    }

    /// This node's value, if it is a table by node name.
    fn by_node<'a>(&self, value: &'a Value) -> &'a Value {
        match value {
            Value::Table(table) => table.0.get(&self.around.node).unwrap_or(value),
            _ => value,
        }
    }
}

/// The parts of a key: "a.0.b\\.c" has three.
pub fn steps(key: &str) -> Vec<String> {
    let mut steps = vec![String::new()];
    let mut characters = key.chars();
    while let Some(character) = characters.next() {
        let literal = match character {
            '.' => {
                steps.push(String::new());
                continue;
            }
            // a backslash at the end stands for itself
            '\\' => characters.next().unwrap_or(character),
            character => character,
        };
        if let Some(step) = steps.last_mut() {
            step.push(literal);
        }
    }
    steps
}

/// As TOML writes it: with a fraction or an exponent.
fn format_float(number: f64) -> String {
    let text = format!("{number:?}");
    text.replace("NaN", "nan")
}

fn escape(name: &str) -> String {
    name.replace('\\', "\\\\").replace('.', "\\.")
}

#[cfg(test)]
mod tests {
    use spared_config_reader as config;

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
        Settings::new(&config::table(toml).unwrap(), &surroundings)
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
    fn a_dot_in_a_key_is_escaped_and_keys_are_listed_so() {
        let toml = "enabled = true\nb = 1\n[a]\n\"10.0.0.0/8\" = \"x\"\n'c\\d' = 2\n";
        let settings = Settings::new(&config::table(toml).unwrap(), &Surroundings::default());
        let key = |table: &str, at| settings.key(table, at);
        assert_eq!(key("", 0).as_deref(), Ok("a"));
        assert_eq!(key("", 1).as_deref(), Ok("b"));
        // "enabled" is the host's
        assert_eq!(key("", 2), Err(Errno::NOENT));
        assert_eq!(key("a", 0).as_deref(), Ok("10\\.0\\.0\\.0/8"));
        assert_eq!(key("a", 1).as_deref(), Ok("c\\\\d"));
        assert_eq!(key("b", 0), Err(Errno::NOTDIR));
        assert_eq!(key("none", 0), Err(Errno::NOENT));
        let found = settings.get("a.10\\.0\\.0\\.0/8");
        assert_eq!(found.as_deref(), Ok("x"));
        assert_eq!(settings.get("a.c\\\\d").as_deref(), Ok("2"));
        assert_eq!(settings.get("a.10.0.0.0/8"), Err(Errno::NOENT));
        assert_eq!(settings.get("b\\"), Err(Errno::NOENT));
    }

    #[test]
    fn every_value_has_a_type() {
        let toml = "t = 'x'\ni = -3\nf = 0.5\nb = true\na = []\n[s]\n";
        let mut settings = settings();
        settings.table = config::table(toml).unwrap();
        for (key, kind) in [
            ("t", abi::CONFIG_TEXT),
            ("i", abi::CONFIG_INTEGER),
            ("f", abi::CONFIG_FLOAT),
            ("b", abi::CONFIG_BOOLEAN),
            ("a", abi::CONFIG_ARRAY),
            ("s", abi::CONFIG_TABLE),
            ("@node", abi::CONFIG_TEXT),
            ("@nodes", abi::CONFIG_ARRAY),
            ("@nodes.1", abi::CONFIG_TEXT),
        ] {
            assert_eq!(settings.kind(key), Ok(kind), "{key}");
        }
        assert_eq!(settings.kind("@nodes.2"), Err(Errno::NOENT));
        assert_eq!(settings.kind("none"), Err(Errno::NOENT));
        assert_eq!(settings.get("i").as_deref(), Ok("-3"));
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
