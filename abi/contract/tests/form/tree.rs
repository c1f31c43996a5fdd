//! Records as trees that a test can change.

use minicbor::Encoder;
use spared_contract::schema::{Field, Shape};

#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    Number(u64),
    Negative(i64),
    Flag(bool),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Tree>),
    Map(Vec<(u64, Tree)>),
    Float(f64),
    Table(Vec<(&'static str, Tree)>),
}

impl Tree {
    pub fn record(&self) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new());
        self.write(&mut encoder);
        encoder.into_writer()
    }

    fn write(&self, encoder: &mut Encoder<Vec<u8>>) {
        match self {
            Self::Number(number) => {
                encoder.u64(*number).unwrap();
            }
            Self::Negative(number) => {
                encoder.i64(*number).unwrap();
            }
            Self::Flag(flag) => {
                encoder.bool(*flag).unwrap();
            }
            Self::Text(text) => {
                encoder.str(text).unwrap();
            }
            Self::Bytes(bytes) => {
                encoder.bytes(bytes).unwrap();
            }
            Self::List(elements) => {
                encoder.array(elements.len() as u64).unwrap();
                elements.iter().for_each(|element| element.write(encoder));
            }
            Self::Float(number) => {
                encoder.f64(*number).unwrap();
            }
            Self::Table(entries) => {
                encoder.map(entries.len() as u64).unwrap();
                for (name, value) in entries {
                    encoder.str(name).unwrap();
                    value.write(encoder);
                }
            }
            Self::Map(entries) => {
                encoder.map(entries.len() as u64).unwrap();
                for (key, value) in entries {
                    encoder.u64(*key).unwrap();
                    value.write(encoder);
                }
            }
        }
    }

    /// Returns variants of the tree. `change` gets each map with the fields of its form, and returns variants of that
    /// map.
    pub fn each_map(
        &self,
        shape: &Shape,
        change: &mut impl FnMut(&[Field], &[(u64, Tree)]) -> Vec<Tree>,
    ) -> Vec<Tree> {
        match (self, shape) {
            (Self::List(elements), Shape::List(of)) => {
                let mut all = Vec::new();
                for (at, element) in elements.iter().enumerate() {
                    for changed in element.each_map(of, change) {
                        let mut elements = elements.clone();
                        elements[at] = changed;
                        all.push(Self::List(elements));
                    }
                }
                all
            }
            (Self::Map(entries), Shape::Map(fields) | Shape::Record { fields, .. }) => {
                let mut all = change(fields, entries);
                for (at, (key, value)) in entries.iter().enumerate() {
                    let field = fields.iter().find(|field| field.key == *key).unwrap();
                    for changed in value.each_map(&field.shape, change) {
                        let mut entries = entries.clone();
                        entries[at] = (*key, changed);
                        all.push(Self::Map(entries));
                    }
                }
                all
            }
            _ => Vec::new(),
        }
    }
}

/// Value with every key in it.
pub fn full(shape: &Shape) -> Tree {
    value("text", shape)
}

fn value(name: &str, shape: &Shape) -> Tree {
    match shape {
        Shape::Plain("bool") => Tree::Flag(true),
        Shape::Plain("u8") => Tree::Number(100),
        Shape::Plain("u32") => Tree::Number(70_000),
        Shape::Plain("u64") => Tree::Number(5_000_000_000),
        Shape::Plain("i32") => Tree::Negative(-22),
        Shape::Plain("tstr") => Tree::Text(name.to_owned()),
        Shape::Plain("mac") => Tree::Bytes(vec![2, 0, 0, 0, 0, 1]),
        Shape::Plain("address") => Tree::Bytes(vec![192, 0, 2, 1]),
        Shape::Plain("config-table") => configuration(),
        Shape::Plain(of) if of.starts_with("tstr / ") => Tree::Number(1 << 32),
        Shape::Plain(of) => panic!("{name}: there is no sample of {of}"),
        Shape::List(of) => Tree::List(vec![value(name, of)]),
        Shape::Named { values, .. } => Tree::Number(values.last().unwrap().1.into()),
        Shape::Map(fields) | Shape::Record { fields, .. } => {
            let entry = |field: &Field| (field.key, value(named(field), &field.shape));
            Tree::Map(fields.iter().map(entry).collect())
        }
    }
}

/// Configuration with a value of each type.
fn configuration() -> Tree {
    let interface = Tree::Table(vec![
        ("vrid", Tree::Number(50)),
        (
            "addresses",
            Tree::List(vec![Tree::Text("192.0.2.1/24".to_owned())]),
        ),
    ]);
    Tree::Table(vec![
        ("on", Tree::Flag(true)),
        (
            "group",
            Tree::List(vec![Tree::Table(vec![(
                "interface",
                Tree::List(vec![interface]),
            )])]),
        ),
        ("share", Tree::Float(0.5)),
        ("offset", Tree::Negative(-3)),
        (
            "priority",
            Tree::Table(vec![("r1", Tree::Number(200)), ("r2", Tree::Number(100))]),
        ),
    ])
}

fn named(field: &Field) -> &'static str {
    if field.name.is_empty() {
        "name"
    } else {
        field.name
    }
}

fn fields_of(shape: &Shape) -> &[Field] {
    match shape {
        Shape::Map(fields) | Shape::Record { fields, .. } => fields,
        _ => panic!("no map"),
    }
}

/// Map with the required keys only.
pub fn few(shape: &Shape) -> Tree {
    let required = fields_of(shape).iter().filter(|field| field.is_required);
    Tree::Map(
        required
            .map(|field| (field.key, value(named(field), &field.shape)))
            .collect(),
    )
}

/// Map with one key.
pub fn only(shape: &Shape, key: u64) -> Tree {
    let fields = fields_of(shape).iter().filter(|field| field.key == key);
    Tree::Map(
        fields
            .map(|field| (key, value(named(field), &field.shape)))
            .collect(),
    )
}

/// Map without a key.
pub fn without(map: &Tree, key: u64) -> Tree {
    match map {
        Tree::Map(entries) => Tree::Map(
            entries
                .iter()
                .filter(|(of, _)| *of != key)
                .cloned()
                .collect(),
        ),
        other => other.clone(),
    }
}
