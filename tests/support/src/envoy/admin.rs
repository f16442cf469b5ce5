//! Envoy's admin interface: stats, config dump, clusters, state.

use crate::http::{Client, Request};
use crate::wait;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// The admin interface of one Envoy.
#[derive(Debug)]
pub struct Admin {
    address: SocketAddr,
    client: Client,
}

impl Admin {
    /// The one that listens there.
    #[must_use]
    pub fn new(address: SocketAddr, client: Client) -> Self {
        Self { address, client }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The text behind a path.
    ///
    /// # Errors
    /// No answer, or another status than 200.
    pub fn get(&self, path: &str) -> Result<String> {
        self.client.text(self.address, path)
    }

    /// The JSON behind a path.
    ///
    /// # Errors
    /// As [`Admin::get`], or not JSON.
    pub fn json(&self, path: &str) -> Result<Value> {
        serde_json::from_str(&self.get(path)?).with_context(|| format!("{path} is not JSON"))
    }

    /// A POST, which is how admin changes things.
    ///
    /// # Errors
    /// No answer, or another status than 200.
    pub fn post(&self, path: &str) -> Result<()> {
        let host = self.address.to_string();
        let get = Request::get(self.address, &host, path);
        let response = self.client.send(&Request {
            method: "POST",
            ..get
        })?;
        if response.status != 200 {
            bail!(
                "POST {path} answered {}: {}",
                response.status,
                response.text()
            );
        }
        Ok(())
    }

    /// All counters and gauges.
    ///
    /// # Errors
    /// No answer.
    pub fn stats(&self) -> Result<Stats> {
        Ok(Stats::parse(&self.get("/stats")?))
    }

    /// The whole configuration, endpoints included.
    ///
    /// # Errors
    /// No answer, or not JSON.
    pub fn config_dump(&self) -> Result<Value> {
        self.json("/config_dump?include_eds")
    }

    /// Clusters and their hosts.
    ///
    /// # Errors
    /// No answer, or not JSON.
    pub fn clusters(&self) -> Result<Value> {
        self.json("/clusters?format=json")
    }

    /// True once everything it waits for has arrived and it serves.
    ///
    /// # Errors
    /// No answer.
    pub fn is_live(&self) -> Result<bool> {
        let host = self.address.to_string();
        let response = self
            .client
            .send(&Request::get(self.address, &host, "/ready"))?;
        Ok(response.status == 200 && response.text().trim() == "LIVE")
    }

    /// Waits until it serves.
    ///
    /// # Errors
    /// It does not in time.
    pub fn wait_live(&self, deadline: Duration) -> Result<()> {
        let what = format!("the Envoy with admin {} to be LIVE", self.address);
        wait::until(&what, deadline, || Ok(self.is_live()?.then_some(())))
    }

    /// Waits until the stats are as wanted.
    ///
    /// # Errors
    /// They are not in time.
    pub fn wait_for(
        &self,
        what: &str,
        deadline: Duration,
        condition: impl Fn(&Stats) -> bool,
    ) -> Result<Stats> {
        wait::until(what, deadline, || {
            let stats = self.stats()?;
            Ok(condition(&stats).then_some(stats))
        })
    }
}

/// Counters and gauges by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats(BTreeMap<String, u64>);

impl Stats {
    /// Reads `name: value` lines; histograms and text are left out.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let pairs = text.lines().filter_map(|line| line.rsplit_once(": "));
        let numbers =
            pairs.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)));
        Self(numbers.collect())
    }

    /// One value; 0 when there is none of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// The sum of all whose name contains `part` and ends with `suffix`.
    #[must_use]
    pub fn sum(&self, part: &str, suffix: &str) -> u64 {
        self.matching(part, suffix).map(|(_, value)| value).sum()
    }

    /// All whose name contains `part` and ends with `suffix`.
    pub fn matching<'a>(
        &'a self,
        part: &'a str,
        suffix: &'a str,
    ) -> impl Iterator<Item = (&'a str, u64)> {
        let wanted = move |name: &str| name.contains(part) && name.ends_with(suffix);
        let all = self.0.iter().map(|(name, value)| (name.as_str(), *value));
        all.filter(move |(name, _)| wanted(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_and_text_are_left_out() {
        let text = "a.rq: 3\na.rq_time: P0(nan,1) P25(nan,1)\nb.rq: 4\nv: \"x\"\n";
        let stats = Stats::parse(text);
        assert_eq!(stats.get("a.rq"), 3);
        assert_eq!(stats.sum("", ".rq"), 7);
        assert_eq!(stats.0.len(), 2);
    }
}
