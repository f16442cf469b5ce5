//! One write to the API server, and what its answer means for those that follow.

use http::{Method, Request};
use kube::Client;
use kube::client::Body;
use serde_json::Value;
use std::time::Duration;

/// An answer may take so long. The fence must hold for as long when it is asked for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(4);

/// A request with a body.
#[derive(Debug)]
pub(crate) struct Write<'a> {
    pub(crate) method: Method,
    pub(crate) path: &'a str,
    pub(crate) kind: &'static str,
    pub(crate) body: &'a Value,
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is done; the object as it is now.
    Done(Vec<u8>),
    /// The object is gone.
    Gone,
    /// It is another version by now.
    Conflict,
    /// Nothing can be written now; the API server may say for how long.
    Later(Option<Duration>, String),
    /// This cannot be written, and trying again does not help.
    Refused(String),
}

impl Answer {
    /// For metrics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Done(_) => "written",
            Self::Gone => "gone",
            Self::Conflict => "conflict",
            Self::Later(..) => "later",
            Self::Refused(_) => "refused",
        }
    }

    fn of(code: u16, retry_after: Option<&str>, body: Vec<u8>) -> Self {
        let said = || {
            let said = serde_json::from_slice::<Value>(&body).unwrap_or_default();
            let said = said
                .get("message")
                .and_then(Value::as_str)
                .unwrap_or_default();
            format!("{code} {}", said.chars().take(300).collect::<String>())
        };
        match code {
            200..=299 => Self::Done(body),
            404 | 410 => Self::Gone,
            409 => Self::Conflict,
            429 | 500..=599 => {
                let seconds = retry_after.and_then(|text| text.trim().parse().ok());
                Self::Later(seconds.map(Duration::from_secs), said())
            }
            _ => Self::Refused(said()),
        }
    }
}

/// Sends it.
pub(crate) async fn send(client: &Client, write: Write<'_>) -> Answer {
    let Write {
        method,
        path,
        kind,
        body,
    } = write;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(http::header::CONTENT_TYPE, kind)
        .header(http::header::ACCEPT, "application/json")
        .body(Body::from(body.to_string().into_bytes()));
    let request = match request {
        Ok(request) => request,
        Err(error) => return Answer::Refused(error.to_string()),
    };
    let asked = async {
        let response = client.send(request).await.map_err(|e| e.to_string())?;
        let code = response.status().as_u16();
        let after = response.headers().get(http::header::RETRY_AFTER);
        let after = after
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let body = response.into_body().collect_bytes().await;
        let body = body.map_err(|error| error.to_string())?;
        Ok::<_, String>(Answer::of(code, after.as_deref(), body.to_vec()))
    };
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => Answer::Later(None, error),
        Err(_elapsed) => Answer::Later(None, "no answer in time".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_has_its_meaning() {
        let of = |code, after| Answer::of(code, after, b"{\"message\":\"why\"}".to_vec());
        assert!(matches!(of(200, None), Answer::Done(_)));
        assert_eq!(of(404, None), Answer::Gone);
        assert_eq!(of(409, None), Answer::Conflict);
        let later = Answer::Later(Some(Duration::from_secs(7)), "429 why".into());
        assert_eq!(of(429, Some("7")), later);
        assert_eq!(of(503, None), Answer::Later(None, "503 why".into()));
        assert_eq!(of(403, None), Answer::Refused("403 why".into()));
    }
}
