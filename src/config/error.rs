//! What can be wrong with a configuration, and the nearest known name to a mistyped one.
//!
//! Invariant: no message repeats the user-information part of a URL, which may hold a secret.

use std::io;

use crate::error::Code;
use crate::error::Error;

/// Why a configuration was refused. Nothing is started and nothing is changed by a refused value.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No option has this name.
    #[error("unknown option `{name}`{}", suggestion(.nearest))]
    UnknownOption {
        /// The name as it was given.
        name: String,
        /// The known name that resembles it most, if any does.
        nearest: Option<String>,
    },
    /// The value cannot be read, or lies outside the option's range.
    #[error("{option}: `{value}` is not accepted; allowed is {allowed}")]
    InvalidValue {
        /// The option.
        option: &'static str,
        /// The value as it was given.
        value: String,
        /// What would have been accepted, with the range and an example.
        allowed: String,
    },
    /// Two options cannot hold at the same time.
    #[error("{option}={value} contradicts {other}={other_value}: {advice}")]
    Contradiction {
        /// The option to change first.
        option: &'static str,
        /// Its effective value.
        value: String,
        /// The option it contradicts.
        other: &'static str,
        /// The effective value of that one.
        other_value: String,
        /// Why they exclude each other and what to change.
        advice: &'static str,
    },
    /// The library was built without what the value needs.
    #[error("{option}={value} is not built in: build logdrive with the feature `{feature}`")]
    NotBuilt {
        /// The option.
        option: &'static str,
        /// Its value.
        value: &'static str,
        /// The cargo feature that has it.
        feature: &'static str,
    },
    /// The URL is malformed; the text says where and what to write instead.
    #[error("malformed URL: {0}")]
    Url(String),
    /// No URL was given, so there is nowhere to send to.
    #[error(
        "no URL: give one such as `receivers://host:9092/topic` or `kafka://broker:9092/topic`"
    )]
    NoUrl,
    /// The topic was set to the empty text.
    #[error("topic is empty: the URL names one, so do not set it, or set it to a topic")]
    NoTopic,
    /// The configuration file cannot be read.
    #[error("cannot read the configuration file: {0}")]
    Unreadable(#[source] io::Error),
    /// The configuration file is not the TOML we accept.
    #[error("malformed configuration file: {0}")]
    File(String),
    /// Something was wrong in a file, in the URL, or in an environment variable.
    #[error("{place}: {source}")]
    At {
        /// The file's path, `URL`, or the variable's name.
        place: String,
        /// What was wrong there.
        source: Box<ConfigError>,
    },
}

impl ConfigError {
    /// The same error with the place it was found in.
    pub(super) fn at(self, place: impl Into<String>) -> Self {
        Self::At { place: place.into(), source: Box::new(self) }
    }

    /// An unknown name, with the nearest of `known`.
    pub(super) fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Self {
        Self::UnknownOption { name: excerpt(name), nearest: nearest(name, known) }
    }
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        Error::new(Code::Configuration, error.to_string())
    }
}

/// At most [`EXCERPT_CHARS_MAX`] characters of `text`, so that a hostile value cannot flood a log.
pub(super) fn excerpt(text: &str) -> String {
    match text.char_indices().nth(EXCERPT_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

fn suggestion(nearest: &Option<String>) -> String {
    match nearest {
        Some(known) => format!("; did you mean `{known}`?"),
        None => "; docs/configuration.md lists all options".to_owned(),
    }
}

/// The known name with the smallest edit distance, if that is at most a third of its length.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    if name.len() > EXCERPT_CHARS_MAX {
        return None;
    }
    known
        .map(|candidate| (edit_distance(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate.to_owned())
}

/// Levenshtein distance in bytes, case-insensitive, one row at a time.
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.bytes().enumerate() {
            let substitute = diagonal + usize::from(!left.eq_ignore_ascii_case(&right));
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

const EXCERPT_CHARS_MAX: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edit_distance_counts_insertions_deletions_and_substitutions() {
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("sitting", "kitten"), 3);
        assert_eq!(edit_distance("xabcd", "abcd"), 1);
        assert_eq!(edit_distance("abcd", "xabcd"), 1);
        assert_eq!(edit_distance("LINGER", "linger"), 0);
    }

    #[test]
    fn a_far_name_is_not_suggested() {
        let known = || ["linger", "batch.bytes"].into_iter();
        assert_eq!(nearest("lingr", known()).as_deref(), Some("linger"));
        assert_eq!(nearest("compression", known()), None);
    }

    #[test]
    fn excerpts_cut_at_characters() {
        let long = "ä".repeat(500);
        assert_eq!(excerpt(&long).chars().count(), EXCERPT_CHARS_MAX + 3);
        assert_eq!(excerpt("short"), "short");
    }
}
