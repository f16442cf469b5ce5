//! How a text is matched: exactly, by prefix or by regular expression.

use crate::message::message;

message! {
    /// How a text is matched. At most one field is set; none set matches any present value.
    #[derive(PartialOrd, Ord)]
    pub struct StringMatch {
        /// The whole text, byte by byte.
        pub exact: Option<String>,
        /// What the text starts with.
        pub prefix: Option<String>,
        /// A regular expression in RE2 syntax that must match the whole text.
        pub regex: Option<String>,
    }
}

impl StringMatch {
    /// Matches this text alone.
    #[must_use]
    pub fn exact(text: &str) -> Self {
        Self {
            exact: Some(text.into()),
            ..Self::default()
        }
    }

    /// Matches what starts with this text.
    #[must_use]
    pub fn prefix(text: &str) -> Self {
        Self {
            prefix: Some(text.into()),
            ..Self::default()
        }
    }

    /// Matches what the expression matches as a whole.
    #[must_use]
    pub fn regex(text: &str) -> Self {
        Self {
            regex: Some(text.into()),
            ..Self::default()
        }
    }

    /// True when no field is set: any present value matches.
    #[must_use]
    pub fn is_presence(&self) -> bool {
        let Self {
            exact,
            prefix,
            regex,
        } = self;
        exact.is_none() && prefix.is_none() && regex.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_match_is_a_presence_match() {
        let read = |yaml| serde_yaml::from_str::<StringMatch>(yaml).unwrap();
        assert!(read("{}").is_presence());
        assert_eq!(read("exact: ''"), StringMatch::exact(""));
        assert_eq!(read("prefix: /a"), StringMatch::prefix("/a"));
        assert!(!StringMatch::regex(".*").is_presence());
    }
}
