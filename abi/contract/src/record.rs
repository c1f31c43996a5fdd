//! Defines structs and messages with the keys of their fields. From one definition come the type, its form in CBOR and
//! its rule in the schema. A key is never used again.

/// Defines a struct that is encoded as a map: `pub field: Type = key,`.
macro_rules! record {
    (
        $(#[doc = $doc:literal])+
        #[derive($($derived:ident),+ $(,)?)]
        $(#[serde($($serde:tt)+)])?
        pub struct $name:ident {
            $(
                $(#[doc = $field_doc:literal])+
                pub $field:ident: $type:ty = $key:literal,
            )+
        }
    ) => {
        $(#[doc = $doc])+
        #[derive($($derived),+)]
        $(#[serde($($serde)+)])?
        pub struct $name {
            $(
                $(#[doc = $field_doc])+
                pub $field: $type,
            )+
        }

        const _: () = assert!(crate::record::is_ascending(&[$($key),+]), "keys ascend");

        impl crate::cbor::Wire for $name {
            fn write(&self, writer: &mut crate::cbor::Writer) {
                let Self { $($field),+ } = self;
                crate::record::write_fields!(writer, $($key $field)+);
            }

            fn read(
                reader: &mut crate::cbor::Reader<'_>,
            ) -> Result<Self, crate::codec::Malformed> {
                crate::record::read_fields!(reader, $name, $($key $field: $type)+);
                Ok(Self { $($field),+ })
            }

            fn absent() -> Option<Self> {
                Some(Self { $($field: crate::cbor::Wire::absent()?),+ })
            }

            fn is_absent(&self) -> bool {
                true $(&& crate::cbor::Wire::is_absent(&self.$field))+
            }

            fn shape() -> crate::schema::Shape {
                crate::schema::Shape::Record {
                    name: stringify!($name),
                    docs: &[$($doc),+],
                    fields: crate::record::fields!($($key $field: $type, [$($field_doc),+])+),
                }
            }
        }
    };
}
pub(crate) use record;

/// Defines messages with their kinds: `Kind(content: Type) = number,`, whose body is that of the content, `Kind {
/// field: Type = key, } = number,`, or `Kind = number,`. A kind is never used again. `calls` names another such enum,
/// whose messages have a number as key 0.
macro_rules! messages {
    (
        $(#[doc = $doc:literal])+
        pub enum $name:ident {
            $(
                $(#[doc = $kind_doc:literal])+
                $kind:ident
                    $(($content:ident: $body:ty))?
                    $({$(
                        $(#[doc = $field_doc:literal])+
                        $field:ident: $type:ty = $key:literal,
                    )+})?
                    = $number:literal,
            )+
            $(
                calls $call:ident: $calls:ident,
            )?
        }
        read by $whose:literal
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $(
                $(#[doc = $kind_doc])+
                $kind $(($body))? $({$(
                    $(#[doc = $field_doc])+
                    $field: $type,
                )+})?,
            )+
            $(
                /// A function that needs the host.
                $call {
                    /// Number of the call, for its [`ToPlugin::Answer`].
                    number: u64,
                    /// The function.
                    call: $calls,
                },
            )?
            /// Message of a kind that is unknown here: the receiver continues without it.
            Unknown {
                /// Number of the kind.
                kind: u32,
            },
        }

        $($(
            const _: () = assert!(crate::record::is_ascending(&[$($key),+]), "keys ascend");
        )?)+

        impl crate::codec::Message for $name {
            fn encode(&self) -> Result<Vec<u8>, crate::codec::Malformed> {
                Ok(crate::cbor::encode(self))
            }

            fn decode(record: &[u8]) -> Result<Self, crate::codec::Malformed> {
                crate::cbor::decode(record)
            }
        }

        impl crate::cbor::Kinds for $name {
            fn kind(&self) -> u32 {
                match self {
                    $(Self::$kind { .. } => $number,)+
                    $(Self::$call { call, .. } => call.kind(),)?
                    Self::Unknown { kind } => *kind,
                }
            }

            fn write_body(&self, writer: &mut crate::cbor::Writer) {
                match self {
                    $(Self::$kind $(($content))? $({ $($field),+ })? => {
                        $(crate::cbor::Wire::write($content, writer);)?
                        $(crate::record::write_fields!(writer, $($key $field)+);)?
                    })+
                    $(Self::$call { number, call } => {
                        writer.begin_call(*number);
                        call.write_body(writer);
                    })?
                    Self::Unknown { .. } => {}
                }
            }

            fn read_body(
                kind: u32,
                reader: &mut crate::cbor::Reader<'_>,
            ) -> Result<Self, crate::codec::Malformed> {
                match kind {
                    $($number => {
                        let begin = reader.position();
                        $(
                            let $content = <$body as crate::cbor::Wire>::read(reader)
                                .map_err(|error| error.of(stringify!($kind)))?;
                        )?
                        $(crate::record::read_fields!(reader, $kind, $($key $field: $type)+);)?
                        if reader.position() == begin {
                            reader.map(|reader, _| reader.skip())?;
                        }
                        Ok(Self::$kind $(($content))? $({ $($field),+ })?)
                    })+
                    $(_ if crate::cbor::CALLS.contains(&kind) => {
                        reader.begin_call();
                        let call = $calls::read_body(kind, reader)?;
                        let number = reader.end_call();
                        Ok(Self::$call { number, call })
                    })?
                    _ => {
                        reader.unknown(kind, $whose)?;
                        Ok(Self::Unknown { kind })
                    }
                }
            }

            fn kinds() -> Vec<crate::schema::Kind> {
                vec![$(crate::schema::Kind {
                    number: $number,
                    name: stringify!($kind),
                    docs: &[$($kind_doc),+],
                    body: [
                        $(<$body as crate::cbor::Wire>::shape(),)?
                        $(crate::schema::Shape::Map(
                            crate::record::fields!($($key $field: $type, [$($field_doc),+])+)
                        ),)?
                        crate::schema::Shape::Map(Vec::new()),
                    ].into_iter().next().expect("the last of them"),
                },)+]
            }
        }
    };
}
pub(crate) use messages;

/// Writes a map of these fields, without those that are absent.
macro_rules! write_fields {
    ($writer:ident, $($key:literal $field:ident)+) => {
        $writer.map(0 $(+ usize::from(!crate::cbor::Wire::is_absent($field)))+);
        $($writer.entry($key, $field);)+
    };
}
pub(crate) use write_fields;

/// Reads a map of these fields into variables of their names.
macro_rules! read_fields {
    ($reader:ident, $of:ident, $($key:literal $field:ident: $type:ty)+) => {
        $(let mut $field: Option<$type> = None;)+
        $reader.map(|reader, key| match key {
            $($key => reader.field(&mut $field, crate::record::field_path!($of, $field)),)+
            _ => reader.skip(),
        })?;
        $(let $field = crate::cbor::present($field, $reader, crate::record::field_path!($of, $field))?;)+
    };
}
pub(crate) use read_fields;

/// The fields of a map in the schema.
macro_rules! fields {
    ($($key:literal $field:ident: $type:ty, [$($doc:literal),+])+) => {
        vec![$(crate::schema::Field::of::<$type>($key, stringify!($field), &[$($doc),+]),)+]
    };
}
pub(crate) use fields;

/// Name of a field in an error.
macro_rules! field_path {
    ($of:ident, $field:ident) => {
        concat!(stringify!($of), ".", stringify!($field))
    };
}
pub(crate) use field_path;

/// Returns true if these keys ascend: a sender writes them in that order.
#[allow(
    dead_code,
    reason = "Rust 1.85 does not count a use in an unnamed constant"
)]
pub(crate) const fn is_ascending(keys: &[u64]) -> bool {
    let mut next = 1;
    while next < keys.len() {
        if keys[next - 1] >= keys[next] {
            return false;
        }
        next += 1;
    }
    true
}
