//! The levels of a proxy's loggers, and setting them.

use super::Subject;
use crate::args::Format;
use crate::args::live::{Look, LookFormat};
use crate::failure::{Answer, Failure};
use crate::live::proxy;
use crate::output::render;
use crate::table::Table;
use serde_json::json;
use std::collections::BTreeMap;

/// What Envoy calls its levels.
const LEVELS: [&str; 7] = [
    "trace", "debug", "info", "warning", "error", "critical", "off",
];
/// The level with which a proxy starts.
const START: &str = "warning";

/// What becomes of the levels.
pub(super) enum Levels<'a> {
    /// These are set, if there are any.
    Set(&'a [String]),
    /// All are as at the start.
    Reset,
}

/// Sets levels where that is asked for, and answers with those in force.
pub(super) async fn run(look: &Look, levels: Levels<'_>) -> Result<Answer, Failure> {
    let orders = match levels {
        Levels::Reset => vec![format!("/logging?level={START}")],
        Levels::Set(levels) => orders(levels)?,
    };
    let found = proxy::find(&look.whose).await?;
    let mut said = None;
    for order in &orders {
        said = Some(found.order(order).await?);
    }
    let said = match said {
        Some(said) => said,
        None => found.order("/logging").await?,
    };
    let loggers = read(&said);
    let subject = Subject::of(found);
    let document = || subject.document("log", ("loggers", json!(loggers)));
    let text = match look.output {
        None | Some(LookFormat::Table) => table(&loggers).text(),
        Some(LookFormat::Json) => render(Format::Json, &document()),
        Some(LookFormat::Yaml) => render(Format::Yaml, &document()),
    };
    let count = loggers.len();
    Ok(subject.answer(text, ("logger", count)))
}

/// What Envoy is asked to do: a level for all comes first, then those of single loggers.
fn orders(levels: &[String]) -> Result<Vec<String>, Failure> {
    let mut all = Vec::new();
    let mut single = Vec::new();
    for word in levels {
        let (logger, level) = match word.split_once(':') {
            Some((logger, level)) => (Some(logger), level),
            None => (None, word.as_str()),
        };
        if !LEVELS.contains(&level) {
            let known = LEVELS.join(", ");
            let message = format!("--level {word}: {level:?} is no level; use one of {known}");
            return Err(Failure::usage(message));
        }
        match logger {
            None => all.push(format!("/logging?level={level}")),
            Some(name) if plain(name) => single.push(format!("{name}:{level}")),
            Some(name) => {
                let message = format!("--level {word}: {name:?} is no name of a logger");
                return Err(Failure::usage(message));
            }
        }
    }
    if !single.is_empty() {
        all.push(format!("/logging?paths={}", single.join(",")));
    }
    Ok(all)
}

/// Names of loggers need no escaping.
fn plain(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    !name.is_empty() && name.chars().all(fits)
}

/// `active loggers:`, then a line `  NAME: LEVEL` each.
fn read(said: &str) -> BTreeMap<String, String> {
    let lines = said.lines().filter_map(|line| line.trim().split_once(": "));
    lines
        .map(|(name, level)| (name.to_owned(), level.to_owned()))
        .collect()
}

fn table(loggers: &BTreeMap<String, String>) -> Table {
    let mut table = Table::new(&["LOGGER", "LEVEL"]);
    for (name, level) in loggers {
        table.row(vec![name.clone(), level.clone()]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_loggers_are_set_after_all_others() {
        let words = ["http:debug", "info", "rbac:trace"].map(str::to_owned);
        let expected = [
            "/logging?level=info",
            "/logging?paths=http:debug,rbac:trace",
        ];
        assert_eq!(orders(&words).unwrap(), expected);
        for word in ["loud", "http:loud", "a&b:info", ":info"] {
            assert!(orders(&[word.to_owned()]).is_err(), "{word}");
        }
    }

    #[test]
    fn levels_are_read_from_what_envoy_says() {
        let loggers = read("active loggers:\n  admin: warning\n  http: debug\n");
        assert_eq!(
            table(&loggers).text(),
            "LOGGER  LEVEL\nadmin   warning\nhttp    debug\n"
        );
    }
}
