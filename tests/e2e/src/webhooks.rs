//! Whom the API server believes: the bundles of the injection's webhooks.

use anyhow::Result;
use meltemi_testkit::cluster::access::Kubectl;
use meltemi_testkit::wait;
use std::time::Duration;

/// The configuration of the webhooks.
pub const HOOKS: &str = "mutatingwebhookconfiguration/istio-sidecar-injector";
const DEADLINE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(200);

/// The bundles of all entries, without repetition.
fn bundles(kubectl: &Kubectl) -> Result<Vec<String>> {
    let form = "--output=jsonpath={range .webhooks[*]}{.clientConfig.caBundle}{\"\\n\"}{end}";
    let text = kubectl.run(&["get", HOOKS, form])?;
    let mut all: Vec<String> = text.lines().map(str::to_owned).collect();
    all.dedup();
    Ok(all)
}

/// Waits for one bundle in all entries, which is another one when that is asked for.
///
/// # Errors
/// There is none in time.
pub fn settled(kubectl: &Kubectl, not: Option<&str>) -> Result<String> {
    wait::every("one bundle in all webhooks", (DEADLINE, LOOK), || {
        let found = bundles(kubectl)?;
        Ok(match found.as_slice() {
            [one] if !one.is_empty() && Some(one.as_str()) != not => Some(one.clone()),
            _ => None,
        })
    })
}
