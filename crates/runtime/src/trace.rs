//! Log lines on stderr: text for people, or JSON with Istio's keys (`time level scope msg`).
//!
//! Field names are a fixed list: `ns name kind cluster client type_url version nonce error path
//! task`. The filter is the caller's to look up (`MELTEMI_LOG`); packages share the prefix
//! `meltemi`, so one word selects us.

mod levels;

pub use levels::Levels;

use serde_json::{Map, Value};
use std::fmt;
use std::io::IsTerminal;
use std::str::FromStr;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// What is logged unless the user says otherwise.
pub const DEFAULT_FILTER: &str = "warn,meltemi=info";

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// A JSON object a line, with Istio's keys.
    Json,
}

impl FromStr for Format {
    type Err = TraceError;

    fn from_str(text: &str) -> Result<Self, TraceError> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(TraceError::Format(other.to_owned())),
        }
    }
}

/// Logging cannot be set up as asked.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// A format that does not exist.
    #[error("{0:?} is no log format; use text or json")]
    Format(String),
    /// A filter that does not parse.
    #[error("{filter:?} is no log filter; use LEVEL or TARGET=LEVEL, separated by commas")]
    Filter {
        /// As given.
        filter: String,
        /// Why.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// A level that does not exist.
    #[error("{0:?} is no log level; use debug, info, warn, error or none")]
    Level(String),
    /// Nobody logs any more.
    #[error("logging has ended")]
    Gone,
    /// Logging was set up already.
    #[error("logging is set up twice")]
    Twice,
}

/// Starts logging to stderr, for the whole process, and says how to change it. `filter` is what the user set, if anything.
///
/// # Errors
/// The filter does not parse, or logging was set up already.
pub fn init(format: Format, filter: Option<&str>) -> Result<Levels, TraceError> {
    let filter = self::filter(filter)?;
    let base = filter.to_string();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let (set, levels) = match format {
        Format::Text => {
            let builder = builder.with_filter_reloading();
            let levels = Levels::new(base, builder.reload_handle());
            (builder.try_init(), levels)
        }
        Format::Json => {
            let builder = builder.event_format(Json).with_filter_reloading();
            let levels = Levels::new(base, builder.reload_handle());
            (builder.try_init(), levels)
        }
    };
    set.map_err(|_| TraceError::Twice)?;
    Ok(levels)
}

fn filter(filter: Option<&str>) -> Result<EnvFilter, TraceError> {
    let text = filter
        .filter(|text| !text.trim().is_empty())
        .unwrap_or(DEFAULT_FILTER);
    EnvFilter::try_new(text).map_err(|source| TraceError::Filter {
        filter: text.to_owned(),
        source,
    })
}

/// Istio's JSON.
struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let metadata = event.metadata();
        let mut line = Map::new();
        let level = metadata.level().as_str().to_ascii_lowercase();
        line.insert("level".into(), level.into());
        line.insert("time".into(), time.into());
        line.insert("scope".into(), scope(metadata.target()).into());
        event.record(&mut Fields(&mut line));
        writeln!(writer, "{}", Value::Object(line))
    }
}

/// The part of the process: `xds` for `meltemi_xds::session`.
fn scope(target: &str) -> &str {
    let package = target.split("::").next().unwrap_or(target);
    package.strip_prefix("meltemi_").unwrap_or(package)
}

struct Fields<'a>(&'a mut Map<String, Value>);

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: Value) {
        let key = match field.name() {
            "message" => "msg",
            name => name,
        };
        self.0.insert(key.into(), value);
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn json_lines_have_istios_keys() {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .event_format(Json)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(target: "meltemi_xds::session", nonce = 7, client = "a\"b", "rejected");
        });
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["level"], "warn");
        assert_eq!(line["scope"], "xds");
        assert_eq!(line["msg"], "rejected");
        assert_eq!(line["nonce"], 7);
        assert_eq!(line["client"], "a\"b");
        assert!(line["time"].as_str().unwrap().ends_with('Z'), "{line}");
    }

    #[test]
    fn filters_and_formats_are_checked() {
        let text = |given| filter(given).unwrap().to_string();
        assert_eq!(text(None), text(Some(DEFAULT_FILTER)));
        assert_eq!(text(Some(" ")), text(None));
        assert_eq!(text(Some("debug")), "debug");
        assert!(matches!(
            filter(Some("meltemi=loud")),
            Err(TraceError::Filter { .. })
        ));
        assert_eq!("json".parse::<Format>().unwrap(), Format::Json);
        let error = "xml".parse::<Format>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"xml\" is no log format; use text or json"
        );
    }
}
