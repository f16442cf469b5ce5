//! How the API messages are made: one struct per Istio message, camelCase in YAML, absent fields
//! left out when written.
//!
//! A field that is absent is `None`, an empty list or map, or an empty text where Istio demands
//! one: the checks, not the parser, complain about what is missing, so that the complaint names
//! the object, the field and the remedy. Nothing is flattened or untagged: unknown fields must
//! stay visible to the reader.

/// True when `value` is what an absent field reads as.
pub(crate) fn is_absent<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Makes the struct of one message: derives, camelCase names, absent fields left out.
macro_rules! message {
    ($(#[$meta:meta])* pub struct $name:ident {
        $( $(#[$field_meta:meta])* pub $field:ident: $ty:ty, )*
    }) => {
        $(#[$meta])*
        #[derive(
            Clone, Debug, Default, PartialEq, Eq, Hash,
            serde::Serialize, serde::Deserialize, schemars::JsonSchema,
        )]
        #[serde(rename_all = "camelCase", default)]
        pub struct $name {
            $(
                $(#[$field_meta])*
                #[serde(skip_serializing_if = "crate::message::is_absent")]
                pub $field: $ty,
            )*
        }
    };
}
pub(crate) use message;

/// Makes an enumeration whose words are `SCREAMING_SNAKE_CASE`, the first one the default.
macro_rules! choice {
    ($(#[$meta:meta])* pub enum $name:ident {
        $(#[$first_meta:meta])* $first:ident,
        $( $(#[$variant_meta:meta])* $variant:ident, )*
    }) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash,
            serde::Serialize, serde::Deserialize, schemars::JsonSchema,
        )]
        #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
        pub enum $name {
            #[default]
            $(#[$first_meta])*
            $first,
            $( $(#[$variant_meta])* $variant, )*
        }
    };
}
pub(crate) use choice;

/// Makes a message that can be laid over another one: `base.overlaid(over)` takes each field of
/// `over` that is there, and the field of `base` where it is absent.
macro_rules! layered_message {
    ($(#[$meta:meta])* pub struct $name:ident {
        $( $(#[$field_meta:meta])* pub $field:ident: $ty:ty, )*
    }) => {
        crate::message::message! {
            $(#[$meta])*
            pub struct $name { $( $(#[$field_meta])* pub $field: $ty, )* }
        }

        impl $name {
            /// `over` laid over this: its fields replace these, absent ones do not.
            pub(crate) fn overlaid(self, over: Self) -> Self {
                Self {
                    $( $field: if crate::message::is_absent(&over.$field) {
                        self.$field
                    } else {
                        over.$field
                    }, )*
                }
            }

            /// This, without the fields that equal those of `base`.
            #[must_use]
            pub fn without(self, base: &Self) -> Self {
                Self {
                    $( $field: if self.$field == base.$field {
                        Default::default()
                    } else {
                        self.$field
                    }, )*
                }
            }
        }
    };
}
pub(crate) use layered_message;
