//! How many streams one proxy has open. It needs one; a few more are those of a reconnect whose
//! old stream has not been found dead yet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::caller::{Account, Identity};
use crate::source::Refusal;

/// The open streams of each proxy that is known by its pod.
#[derive(Clone, Debug, Default)]
pub(super) struct Crowd(Arc<Mutex<HashMap<Arc<str>, usize>>>);

/// One stream's place; dropping it frees it.
#[derive(Debug)]
pub(super) struct Place {
    crowd: Crowd,
    who: Arc<str>,
}

impl Crowd {
    /// A place for one more stream of the caller, unless it has `most`. Who is not known by its
    /// pod needs none.
    pub(super) fn enter(&self, who: &Identity, most: usize) -> Result<Option<Place>, Refusal> {
        let Identity::Proxy {
            account: Account { namespace, name },
            pod: Some(pod),
        } = who
        else {
            return Ok(None);
        };
        let who: Arc<str> = format!("{namespace}/{name}/{pod}").into();
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(who.clone()).or_default();
        if *count >= most {
            return Err(Refusal::Busy(format!(
                "{who} has {most} streams open already; close one"
            )));
        }
        *count += 1;
        let crowd = self.clone();
        Ok(Some(Place { crowd, who }))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let open = self.crowd.0.lock();
        let mut open = open.unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.who) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_has_so_many_streams_and_gets_them_back() {
        let crowd = Crowd::default();
        let who = |pod: Option<&str>| Identity::Proxy {
            account: Account {
                namespace: "shop".parse().unwrap(),
                name: "web".parse().unwrap(),
            },
            pod: pod.map(Into::into),
        };
        let own = who(Some("web-0"));
        let one = crowd.enter(&own, 2).unwrap();
        let _two = crowd.enter(&own, 2).unwrap();
        assert!(crowd.enter(&own, 2).is_err());
        assert!(crowd.enter(&who(Some("web-1")), 2).unwrap().is_some());
        drop(one);
        assert!(crowd.enter(&own, 2).unwrap().is_some());
        assert!(crowd.enter(&Identity::Unasked, 0).unwrap().is_none());
        assert!(crowd.enter(&who(None), 0).unwrap().is_none());
    }
}
