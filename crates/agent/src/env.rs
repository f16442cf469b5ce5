//! The environment as a value: what is not set and what is empty are the same, and a value that
//! cannot be read is an error that names the variable and what to do.

use meltemi_api::duration;
use std::collections::BTreeMap;
use std::time::Duration;

/// The variables of a process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Env(BTreeMap<String, String>);

impl Env {
    /// Those of this process that are text.
    pub(crate) fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self(std::env::vars_os().filter_map(text).collect())
    }

    /// The value, unless it is empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|text| !text.is_empty())
    }

    /// Variables that start with `prefix`, with the rest of their names, sorted.
    pub(crate) fn with_prefix<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        let all = self.0.iter();
        all.filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value.as_str())))
    }

    /// A switch, as Go reads one; off when it is not set.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, String> {
        match self.text(name) {
            None | Some("false" | "False" | "FALSE" | "f" | "F" | "0") => Ok(false),
            Some("true" | "True" | "TRUE" | "t" | "T" | "1") => Ok(true),
            Some(other) => Err(format!("{name}={other:?}: use true or false")),
        }
    }

    /// A switch that is on when it is not set.
    pub(crate) fn flag_or_on(&self, name: &str) -> Result<bool, String> {
        match self.text(name) {
            None => Ok(true),
            Some(_) => self.flag(name),
        }
    }

    /// A duration, `5s` say.
    pub(crate) fn duration(&self, name: &str, default: Duration) -> Result<Duration, String> {
        let Some(text) = self.text(name) else {
            return Ok(default);
        };
        let parsed: Option<duration::Duration> = text.parse().ok();
        let parsed = parsed.and_then(duration::Duration::to_std);
        parsed.ok_or_else(|| format!("{name}={text:?}: use a duration such as 5s or 1m30s"))
    }

    /// A port; 0 is none.
    pub(crate) fn port(&self, name: &str, default: u16) -> Result<u16, String> {
        let Some(text) = self.text(name) else {
            return Ok(default);
        };
        let parsed = text.parse();
        parsed.map_err(|_| format!("{name}={text:?}: use a port, 0 to 65535"))
    }
}

#[cfg(test)]
impl Env {
    /// Exactly these; the last of equal names.
    pub(crate) fn of<'a>(pairs: impl Iterator<Item = &'a (&'a str, &'a str)>) -> Self {
        Self(
            pairs
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        )
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Env {
    fn from(pairs: [(&str, &str); N]) -> Self {
        Self(
            pairs
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_names_the_variable_and_the_remedy() {
        let env = Env::from([("A", "maybe"), ("B", "5"), ("C", "70000"), ("D", "")]);
        assert_eq!(env.flag("A").unwrap_err(), "A=\"maybe\": use true or false");
        let error = env.duration("B", Duration::ZERO).unwrap_err();
        assert!(error.starts_with("B=\"5\": use a duration"), "{error}");
        assert!(env.port("C", 1).unwrap_err().starts_with("C=\"70000\""));
        assert_eq!(env.port("D", 7), Ok(7));
        assert_eq!(env.flag_or_on("D"), Ok(true));
        assert_eq!(env.text("D"), None);
    }
}
