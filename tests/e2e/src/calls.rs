//! Calls from inside of a pod, by the wget of the image `tools`.

use anyhow::Result;
use meltemi_testkit::cluster::access::Kubectl;
use meltemi_testkit::wait;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(200);

/// Calls a URL with headers (`NAME: VALUE`) from a pod, and returns heads and body of all answers
/// on the way; or wget's words when nobody answers. `pod` is what `kubectl exec` is told.
///
/// # Errors
/// The pod cannot be reached.
pub fn call(kubectl: &Kubectl, pod: &[&str], (url, headers): (&str, &[&str])) -> Result<String> {
    // Not wget's own limit: with it busybox 1.35 dies.
    let mut script = format!("timeout 8 wget -S -qO- '{url}'");
    for header in headers {
        script += &format!(" --header '{header}'");
    }
    script += " 2>&1 || true";
    kubectl.run(&[&["exec"], pod, &["--", "sh", "-c", &script]].concat())
}

/// Calls until the answer has a text.
///
/// # Errors
/// It never has; the error has the last answer.
pub fn until(
    what: &str,
    expected: &str,
    mut call: impl FnMut() -> Result<String>,
) -> Result<String> {
    let mut last = String::new();
    let found = wait::every(&format!("{what}: {expected}"), (DEADLINE, LOOK), || {
        last = call()?;
        Ok(last.contains(expected).then(|| last.clone()))
    });
    found.map_err(|error| error.context(format!("the last answer: {last}")))
}
