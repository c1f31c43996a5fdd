//! Defines values of messages that have numbers. Each number is written once, as a constant of `spared-abi`; these macros
//! build the code that reads and writes it.

/// Defines an enum whose values have numbers in messages. It also defines the meaning of an unknown
/// number: a variant that keeps it (`else`), a variant with a name (`unknown is`), or none, and then the enum is no
/// [`Wire`].
macro_rules! named {
    (
        $(#[doc = $doc:literal])+
        $(#[derive($($derived:ident),+)])?
        $(#[serde($($serde:tt)+)])?
        pub enum $name:ident $($exhaustive:ident)? {
            $(
                $(#[doc = $variant_doc:literal])+
                $(#[serde($($variant_serde:tt)+)])?
                $variant:ident = $constant:ident,
            )+
            $(else $(#[doc = $other_doc:literal])+ $other:ident)?
        }
        $(default is $default:ident)?
        $(unknown is $unknown:ident)?
    ) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        $(#[derive($($derived),+)])?
        $(#[serde($($serde)+)])?
        $(#[$exhaustive])?
        $(#[doc = $doc])+
        pub enum $name {
            $(
                $(#[doc = $variant_doc])+
                $(#[serde($($variant_serde)+)])?
                $variant,
            )+
            $($(#[doc = $other_doc])+ $other(u32),)?
        }

        impl $name {
            /// All values that have a name.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Number of the value.
            pub const fn to_raw(self) -> u32 {
                match self {
                    $(Self::$variant => spared_abi::$constant,)+
                    $(Self::$other(number) => number,)?
                }
            }

            /// Value with this number; None if the number has no name here.
            pub const fn from_raw(number: u32) -> Option<Self> {
                match number {
                    $(spared_abi::$constant => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// Form of the type in the schema.
            pub(crate) fn names() -> crate::schema::Shape {
                crate::schema::Shape::Named {
                    name: stringify!($name),
                    docs: &[$($doc),+],
                    values: vec![$((
                        stringify!($variant),
                        spared_abi::$constant,
                        &[$($variant_doc),+],
                    )),+],
                    is_closed: false,
                }
            }
        }

        $(impl Default for $name {
            fn default() -> Self {
                Self::$default
            }
        })?

        impl From<$name> for u32 {
            fn from(value: $name) -> Self {
                value.to_raw()
            }
        }

        $(crate::named::read_by_number!($name, number => $name::$other(number));)?
        $(crate::named::read_by_number!($name, _number => $name::$unknown);)?
    };
}
pub(crate) use named;

/// Implements reading for a type whose unknown numbers become `$unknown`.
macro_rules! read_by_number {
    ($name:ident, $number:ident => $unknown:expr) => {
        impl From<u32> for $name {
            fn from($number: u32) -> Self {
                Self::from_raw($number).unwrap_or($unknown)
            }
        }

        impl crate::cbor::Wire for $name {
            fn write(&self, writer: &mut crate::cbor::Writer) {
                writer.number(self.to_raw().into());
            }

            fn read(reader: &mut crate::cbor::Reader<'_>) -> Result<Self, crate::codec::Malformed> {
                reader.named().map(Self::from)
            }

            /// Value with the number 0.
            fn absent() -> Option<Self> {
                Self::from_raw(0)
            }

            fn is_absent(&self) -> bool {
                Self::from_raw(0) == Some(*self)
            }

            fn shape() -> crate::schema::Shape {
                Self::names()
            }
        }
    };
}
pub(crate) use read_by_number;

#[cfg(test)]
mod tests {
    use crate::{CauseKind, Forced, LogLevel, Role, Scope, SocketKind, Unit, VerdictWord};

    macro_rules! come_back {
        ($($type:ident)+) => {
            $(for value in $type::ALL {
                assert_eq!($type::from_raw(value.to_raw()), Some(*value));
            })+
        };
    }

    #[test]
    fn each_named_number_is_one_value() {
        come_back!(Role Forced LogLevel Scope SocketKind VerdictWord Unit CauseKind);
    }

    #[test]
    fn a_number_without_a_name_is_none() {
        assert_eq!(Role::from_raw(0), None);
        assert_eq!(Role::from_raw(4), None);
        assert_eq!(Scope::from_raw(u32::MAX), None);
        assert_eq!(VerdictWord::from_raw(6), None);
    }
}
