//! Levels of single parts, changed while the process runs.

use super::TraceError;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::reload::Handle;

/// Istio's words for levels, and those of filters.
const WORDS: [(&str, &str); 5] = [
    ("debug", "debug"),
    ("info", "info"),
    ("warn", "warn"),
    ("error", "error"),
    ("none", "off"),
];

type Swap = Box<dyn Fn(EnvFilter) -> bool + Send + Sync>;

/// What is logged now. Clones are the same.
#[derive(Clone)]
pub struct Levels(Arc<Inner>);

struct Inner {
    /// The filter from the start.
    base: String,
    swap: Swap,
    /// What was set since, by target.
    set: Mutex<BTreeMap<String, &'static str>>,
}

impl std::fmt::Debug for Levels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Levels")
    }
}

impl Levels {
    pub(super) fn new<S: 'static>(base: String, handle: Handle<EnvFilter, S>) -> Self {
        Self(Arc::new(Inner {
            base,
            swap: Box::new(move |filter| handle.reload(filter).is_ok()),
            set: Mutex::default(),
        }))
    }

    /// The level of a target (a package, `meltemi_xds`), in Istio's words: `debug`, `info`, `warn`,
    /// `error` or `none`.
    #[must_use]
    pub fn of(&self, target: &str) -> &'static str {
        let set = self.0.set.lock().unwrap_or_else(PoisonError::into_inner);
        match set.get(target) {
            Some(word) => word,
            None => first_level(&self.0.base, target),
        }
    }

    /// Changes the level of a target.
    ///
    /// # Errors
    /// There is no such level, or logging is gone.
    pub fn set(&self, target: &str, level: &str) -> Result<(), TraceError> {
        let refused = || TraceError::Level(level.to_owned());
        let (word, _) = WORDS
            .iter()
            .find(|(word, _)| *word == level)
            .ok_or_else(refused)?;
        let mut set = self.0.set.lock().unwrap_or_else(PoisonError::into_inner);
        set.insert(target.to_owned(), word);
        let mut text = self.0.base.clone();
        for (target, word) in set.iter() {
            let level = WORDS.iter().find(|(w, _)| w == word).map_or("off", |w| w.1);
            text.push_str(&format!(",{target}={level}"));
        }
        let filter = super::filter(Some(&text))?;
        match (self.0.swap)(filter) {
            true => Ok(()),
            false => Err(TraceError::Gone),
        }
    }
}

/// What a filter says of a target: its directive with the longest matching target.
fn first_level(filter: &str, target: &str) -> &'static str {
    let mut best = (0, "error");
    for directive in filter.split(',').map(str::trim) {
        let (scope, level) = match directive.split_once('=') {
            Some((scope, level)) => (scope, level),
            None if WORDS.iter().any(|w| w.1.eq_ignore_ascii_case(directive)) => ("", directive),
            None if directive.eq_ignore_ascii_case("trace") => ("", directive),
            None => (directive, "trace"),
        };
        if target.starts_with(scope) && scope.len() >= best.0 {
            let level = level.to_ascii_lowercase();
            let word = WORDS.iter().find(|w| w.1 == level);
            best = (scope.len(), word.map_or("debug", |w| w.0));
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    #[test]
    fn the_longest_directive_counts() {
        let of = |target| first_level("warn,meltemi=info,meltemi_xds::session=trace", target);
        assert_eq!(of("meltemi_xds"), "info");
        assert_eq!(of("meltemid"), "info");
        assert_eq!(of("hyper"), "warn");
        assert_eq!(first_level("off", "a"), "none");
        assert_eq!(first_level("meltemi", "meltemi_kube"), "debug");
    }

    #[test]
    fn levels_change_while_it_runs() {
        let base = "warn,meltemi=info";
        let filter = super::super::filter(Some(base)).unwrap();
        let (layer, handle) = tracing_subscriber::reload::Layer::new(filter);
        let levels = Levels::new(base.to_owned(), handle);
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            let debugs = || tracing::enabled!(target: "meltemi_xds", tracing::Level::DEBUG);
            assert!(!debugs());
            levels.set("meltemi_xds", "debug").unwrap();
            assert!(debugs());
            assert_eq!(
                (levels.of("meltemi_xds"), levels.of("meltemi_kube")),
                ("debug", "info")
            );
            levels.set("meltemi_xds", "none").unwrap();
            assert!(!tracing::enabled!(target: "meltemi_xds", tracing::Level::ERROR));
        });
        assert!(levels.set("meltemi_xds", "loud").is_err());
    }
}
