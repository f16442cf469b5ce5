//! A double with five services, and what tests wait for of them.
#![allow(clippy::unwrap_used, reason = "a test panics when it fails")]

use crate::{Followed, service};
use meltemi_api::Object;
use meltemi_testkit::api_server::ApiServer;

/// The first of them.
pub const A: &str = "Service shop/a";
/// The second.
pub const B: &str = "Service shop/b";

/// A double with five services, two of which are called `a` and `b`.
///
/// # Panics
/// It does not start.
#[must_use]
pub fn server() -> ApiServer {
    let server = ApiServer::start().unwrap();
    for (name, ip) in [
        ("a", "10.1.0.1"),
        ("b", "10.1.0.2"),
        ("c", "10.1.0.3"),
        ("d", "10.1.0.4"),
        ("e", "10.1.0.5"),
    ] {
        server.apply(service(name, ip));
    }
    server
}

/// The address of a service that is held.
#[must_use]
pub fn ip<'f>(followed: &'f Followed, key: &str) -> Option<&'f str> {
    let Object::Service(service) = followed.held.get(key)? else {
        return None;
    };
    service.spec.cluster_ip.as_deref()
}

/// Waits until `a` has this address.
///
/// # Panics
/// It never has.
pub async fn moved(followed: &mut Followed, to: &str) {
    let what = format!("{A} at {to}");
    followed
        .until(&what, |f| ip(f, A) == Some(to))
        .await
        .unwrap();
}

/// Waits until an object is there, or is not.
///
/// # Panics
/// It stays as it is.
pub async fn held(followed: &mut Followed, (key, is): (&str, bool)) {
    let what = format!("{key} to be held: {is}");
    let there = |f: &Followed| f.held.contains_key(key) == is;
    followed.until(&what, there).await.unwrap();
}
