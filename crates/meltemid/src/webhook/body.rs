//! Reading a question: not more than 6 MiB of it, and of all questions that are being read only what
//! memory can bear. One address has a smaller share, so who floods takes it from himself.

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// The longest question (platform.md 1.3).
pub(super) const LONGEST: usize = 6 << 20;
/// What questions may hold that are being read or answered: of one address, and of all.
const OF_ONE: usize = 16 << 20;
const OF_ALL: usize = 96 << 20;

/// Why a question is not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    NoJson,
    Empty,
    TooLong,
    /// It broke off.
    Cut,
    /// Too many are being read.
    Busy,
    /// The path says something that cannot be used.
    Place(String),
    /// Our own fault.
    Broken,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, why) = match self {
            Self::NoJson => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "send an AdmissionReview with Content-Type: application/json".into(),
            ),
            Self::Empty => (StatusCode::BAD_REQUEST, "the body is empty".into()),
            Self::TooLong => (
                StatusCode::BAD_REQUEST,
                format!("the body is longer than {LONGEST} bytes"),
            ),
            Self::Cut => (StatusCode::BAD_REQUEST, "the body broke off".into()),
            Self::Place(why) => (StatusCode::BAD_REQUEST, why),
            Self::Busy => {
                let again: [(HeaderName, &str); 1] = [(header::RETRY_AFTER, "1")];
                let why = "too many reviews are being read; try again\n";
                return (StatusCode::SERVICE_UNAVAILABLE, again, why).into_response();
            }
            Self::Broken => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "the review could not be answered; this is a bug, please report it".into(),
            ),
        };
        (status, format!("{why}\n")).into_response()
    }
}

/// What is held by whom. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Budget(Arc<Mutex<Held>>);

#[derive(Debug, Default)]
struct Held {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A question that was read, and what it holds; dropping it gives that back.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) bytes: Vec<u8>,
    _share: Share,
}

#[derive(Debug)]
struct Share {
    budget: Budget,
    address: IpAddr,
    bytes: usize,
}

impl Share {
    /// Takes so much more, if it is there.
    fn grow(&mut self, by: usize) -> Result<(), Refused> {
        let held = self.budget.0.lock();
        let mut held = held.unwrap_or_else(PoisonError::into_inner);
        let own = held.by_address.get(&self.address).copied().unwrap_or(0);
        if own + by > OF_ONE || held.all + by > OF_ALL {
            return Err(Refused::Busy);
        }
        held.all += by;
        held.by_address.insert(self.address, own + by);
        self.bytes += by;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let held = self.budget.0.lock();
        let mut held = held.unwrap_or_else(PoisonError::into_inner);
        held.all = held.all.saturating_sub(self.bytes);
        match held.by_address.get_mut(&self.address) {
            Some(own) if *own > self.bytes => *own -= self.bytes,
            Some(_) | None => {
                held.by_address.remove(&self.address);
            }
        }
    }
}

impl Budget {
    /// Reads a body whole.
    pub(super) async fn read(&self, from: IpAddr, mut body: Body) -> Result<Question, Refused> {
        let mut share = Share {
            budget: self.clone(),
            address: from.to_canonical(),
            bytes: 0,
        };
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_broken| Refused::Cut)?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            take(&mut bytes, &mut share, &data)?;
        }
        match bytes.is_empty() {
            true => Err(Refused::Empty),
            false => Ok(Question {
                bytes,
                _share: share,
            }),
        }
    }
}

fn take(bytes: &mut Vec<u8>, share: &mut Share, data: &Bytes) -> Result<(), Refused> {
    if bytes.len() + data.len() > LONGEST {
        return Err(Refused::TooLong);
    }
    share.grow(data.len())?;
    bytes.extend_from_slice(data);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    #[tokio::test]
    async fn one_address_cannot_take_all_and_what_was_taken_comes_back() {
        let budget = Budget::default();
        let whole = || Body::from(vec![b' '; LONGEST]);
        let first = budget.read(ONE, whole()).await.unwrap();
        let second = budget.read(ONE, whole()).await.unwrap();
        assert_eq!(first.bytes.len() + second.bytes.len(), 2 * LONGEST);
        let third = budget.read(ONE, whole()).await;
        assert_eq!(third.unwrap_err(), Refused::Busy);
        budget.read(OTHER, whole()).await.unwrap();
        drop(first);
        budget.read(ONE, whole()).await.unwrap();
        drop(second);
        let held = budget.0.lock().unwrap();
        assert_eq!((held.all, held.by_address.len()), (0, 0));
    }

    #[tokio::test]
    async fn nothing_and_too_much_are_refused() {
        let budget = Budget::default();
        let long = Body::from(vec![b' '; LONGEST + 1]);
        assert_eq!(budget.read(ONE, long).await.unwrap_err(), Refused::TooLong);
        assert_eq!(
            budget.read(ONE, Body::empty()).await.unwrap_err(),
            Refused::Empty
        );
    }
}
