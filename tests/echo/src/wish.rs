//! What a request asks the workload to do, as `?NAME=VALUE` or as a header `x-echo-NAME: VALUE`.
//!
//! * `delay=2s`, `delay=300ms`: wait before answering.
//! * `status=503`: answer with that status.
//! * `fail_first=N&key=K`: only the first N requests of that key are delayed and fail (with
//!   `status`, else 503), the rest succeed at once.
//! * `close=1`: close the connection without an answer.
//! * `only=v2`: the above concern only the workload of that name.

use hyper::http::{HeaderMap, StatusCode, Uri};
use std::time::Duration;

/// One request's wishes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) delay: Duration,
    pub(crate) status: Option<StatusCode>,
    pub(crate) fail_first: Option<u64>,
    pub(crate) key: Option<String>,
    pub(crate) close: bool,
}

impl Wish {
    /// Reads the wishes that concern the workload called `name`.
    ///
    /// # Errors
    /// A value that cannot be read, in words for the answer.
    pub(crate) fn read(uri: &Uri, headers: &HeaderMap, name: &str) -> Result<Self, String> {
        let get = |wish: &str| find(uri, headers, wish);
        let key = get("key");
        if get("only").is_some_and(|only| only != name) {
            return Ok(Self {
                key,
                ..Self::default()
            });
        }
        Ok(Self {
            delay: get("delay").map_or(Ok(Duration::ZERO), |text| duration(&text))?,
            status: get("status").map(|text| status(&text)).transpose()?,
            fail_first: get("fail_first").map(|text| number(&text)).transpose()?,
            key,
            close: get("close").is_some(),
        })
    }
}

fn find(uri: &Uri, headers: &HeaderMap, wish: &str) -> Option<String> {
    let query = uri.query().unwrap_or_default().split('&');
    let asked = query
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == wish);
    if let Some((_, value)) = asked {
        return Some(value.to_owned());
    }
    let header = headers.get(format!("x-echo-{}", wish.replace('_', "-")))?;
    header.to_str().ok().map(str::to_owned)
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("delay {text:?} is not like 2s or 300ms");
    let (digits, scale) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(digits), _) => (digits, 1),
        (None, Some(digits)) => (digits, 1000),
        (None, None) => return Err(wrong()),
    };
    let count: u64 = digits.parse().map_err(|_| wrong())?;
    Ok(Duration::from_millis(count.saturating_mul(scale)))
}

fn status(text: &str) -> Result<StatusCode, String> {
    text.parse()
        .map_err(|_| format!("status {text:?} is not a status code"))
}

fn number(text: &str) -> Result<u64, String> {
    text.parse()
        .map_err(|_| format!("fail_first {text:?} is not a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(uri: &str, headers: &[(&'static str, &str)]) -> Result<Wish, String> {
        let mut map = HeaderMap::new();
        for (key, value) in headers {
            map.insert(*key, value.parse().unwrap());
        }
        Wish::read(&uri.parse().unwrap(), &map, "v1")
    }

    #[test]
    fn query_and_header_say_the_same() {
        let by_query = read("/?delay=300ms&fail_first=2&key=k", &[]).unwrap();
        let headers = [
            ("x-echo-delay", "300ms"),
            ("x-echo-fail-first", "2"),
            ("x-echo-key", "k"),
        ];
        assert_eq!(by_query, read("/", &headers).unwrap());
        assert_eq!(by_query.delay, Duration::from_millis(300));
    }

    #[test]
    fn what_concerns_another_workload_is_ignored() {
        let wish = read("/?only=v2&status=500&key=k", &[]).unwrap();
        assert_eq!(
            wish,
            Wish {
                key: Some("k".into()),
                ..Wish::default()
            }
        );
        assert!(read("/?only=v1&status=500", &[]).unwrap().status.is_some());
    }

    #[test]
    fn nonsense_is_named() {
        assert!(read("/?delay=soon", &[]).unwrap_err().contains("soon"));
        assert!(read("/?status=9", &[]).unwrap_err().contains('9'));
    }
}
