//! A client in the cluster that asks again and again and writes down what fails. It lives in a pod
//! and writes to the pod's log, so no API server is between it and its server.

use anyhow::{Context, Result, ensure};
use meltemi_testkit::cluster::access::Kubectl;
use meltemi_testkit::wait;
use std::time::Duration;

/// How long the client may take to ask its first questions.
const DEADLINE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(300);

/// A client under way.
#[derive(Debug)]
pub struct Load<'a> {
    kubectl: &'a Kubectl,
}

/// What it has seen so far.
#[derive(Debug, Default)]
pub struct Seen {
    /// Requests, to the last full ten.
    pub asked: u64,
    /// A line for each that was not answered with 200 within 5 s.
    pub failed: Vec<String>,
}

impl<'a> Load<'a> {
    /// Starts it: about twenty requests a second, each on a connection of its own. What answers
    /// must be ready.
    ///
    /// # Errors
    /// The pod does not start, or its first requests fail.
    pub fn start(kubectl: &'a Kubectl, url: &str) -> Result<Self> {
        kubectl.apply(&pod(url))?;
        let load = Self { kubectl };
        let begun = || Ok(load.seen().ok().filter(|seen| seen.asked > 0));
        let seen = wait::every("the first requests", (DEADLINE, LOOK), begun)?;
        ensure!(seen.failed.is_empty(), "{seen:?}");
        Ok(load)
    }

    /// What it has seen so far.
    ///
    /// # Errors
    /// Its log cannot be read.
    pub fn seen(&self) -> Result<Seen> {
        let log = self.kubectl.run(&["logs", "load", "--namespace=default"])?;
        let mut seen = Seen::default();
        for line in log.lines() {
            match line.strip_prefix("asked ") {
                Some(number) => seen.asked = number.parse().context("its log")?,
                None => seen.failed.push(line.to_owned()),
            }
        }
        Ok(seen)
    }

    /// How much was asked, all of which was answered.
    ///
    /// # Errors
    /// A request failed.
    pub fn answered(&self) -> Result<u64> {
        let seen = self.seen()?;
        ensure!(seen.failed.is_empty(), "requests failed: {seen:#?}");
        Ok(seen.asked)
    }
}

fn pod(url: &str) -> String {
    // Not wget's own limit: with it busybox 1.35 dies.
    format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: load, namespace: default}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: load
    image: docker.io/meltemi/tools:dev
    imagePullPolicy: Never
    command:
    - sh
    - -c
    - |
      asked=0
      while :; do
        said=$(timeout 20 wget -qO- {url} 2>&1) || echo \"$(date -u +%T) $said\"
        asked=$((asked + 1))
        [ $((asked % 10)) != 0 ] || echo asked $asked
        sleep 0.04
      done
"
    )
}
