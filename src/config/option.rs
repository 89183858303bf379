//! One entry of the option table, and the macro that makes the typed settings from the table.
//!
//! Owns the shape of an entry. The entries themselves are in `table`.
//! Invariant: name, type, default, range, text and field of an option stand in one place.

use crate::config::error::ConfigError;
use crate::config::error::excerpt;
use crate::config::settings::Groups;
use crate::config::value::Accepts;
use crate::config::value::Value;

/// What there is to know about one option.
#[derive(Debug)]
pub struct OptionSpec {
    /// The dotted name, as URL, setter and file spell it.
    pub name: &'static str,
    /// The group it is documented in.
    pub group: &'static str,
    /// The default, in the spelling of a value; empty where it is unset.
    pub default: &'static str,
    /// Type, range and the meaning of 0.
    pub accepts: Accepts,
    /// What it does, what it costs; Markdown.
    pub documentation: &'static str,
    /// Reads the text and stores it in its field; `None` (and nothing stored) if not accepted.
    pub(super) store: fn(&mut Groups, &str) -> Option<()>,
}

impl OptionSpec {
    /// The environment variable that sets it: `LOGDRIVE_` and the name, upper case, dots as `_`.
    pub fn environment_variable(&self) -> String {
        format!("LOGDRIVE_{}", self.name.replace('.', "_").to_ascii_uppercase())
    }

    /// Reads `text` into its field; nothing is changed when that fails.
    pub(super) fn apply(&self, groups: &mut Groups, text: &str) -> Result<(), ConfigError> {
        (self.store)(groups, text).ok_or_else(|| ConfigError::InvalidValue {
            option: self.name,
            value: excerpt(text),
            allowed: self.accepts.to_string(),
        })
    }
}

/// The default of a table entry as its type.
pub(super) fn default_of<T: Value>(text: &str, accepts: &Accepts) -> T {
    T::parse(text, &accepts.kind).expect("every default of the table passes its own check (tested)")
}

/// Makes, from one list: a struct per group with a field per option, their defaults, and the
/// table [`OptionSpec`]s that leads from a name to a field.
macro_rules! options {
    ($(
        $(#[doc = $group_doc:literal])+
        $title:literal $group:ident: $Group:ident {$(
            $(#[doc = $doc:literal])+
            $field:ident: $type:ty = ($name:literal, $default:literal, $accepts:expr);
        )+}
    )+) => {
        $(
            $(#[doc = $group_doc])+
            #[derive(Clone, Debug, PartialEq)]
            pub struct $Group {
                $($(#[doc = $doc])+ pub $field: $type,)+
            }

            impl Default for $Group {
                fn default() -> Self {
                    Self { $($field: $crate::config::option::default_of($default, &$accepts),)+ }
                }
            }
        )+

        /// Every option, in the order of the documentation.
        pub static OPTIONS: &[OptionSpec] = &[$($(
            OptionSpec {
                name: $name,
                group: $title,
                default: $default,
                accepts: $accepts,
                documentation: concat!($($doc, "\n"),+),
                store: |groups, text| {
                    groups.$group.$field = Value::parse(text, &$accepts.kind)?;
                    Some(())
                },
            },
        )+)+];
    };
}

pub(super) use options;
