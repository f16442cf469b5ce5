//! The proxy that a user means: a pod by its name, or the first running pod that an object owns.

use super::door::Door;
use super::{connect, unanswered, unconnected};
use crate::args::live::{Cluster, Whose};
use crate::failure::{Failure, NEGATIVE, NO_INPUT, UNREADABLE, USAGE};
use ::http::Method;
use meltemi_kube::{AskError, Pod, Pods, Workload};
use serde_json::Value;
use std::io::Read;
use std::path::Path;

const INSTEAD: &str = "--admin HOST:PORT of an Envoy or --file with a saved dump";

/// A proxy that was found.
pub(crate) struct Proxy {
    /// `POD.NAMESPACE`; the address or file when that is how it was named.
    pub(crate) name: String,
    pub(crate) source: Source,
    /// What to tell the user about the choice.
    pub(crate) notes: Vec<String>,
}

/// Who answers for it.
pub(crate) enum Source {
    /// Its admin interface.
    Admin(Door),
    /// A document that was saved.
    Saved(Value),
}

impl Proxy {
    /// What its admin interface says to a path; a saved document is the same for every path.
    pub(crate) async fn json(&self, path: &str) -> Result<Value, Failure> {
        match &self.source {
            Source::Saved(document) => Ok(document.clone()),
            Source::Admin(door) => {
                let text = door.get(path).await?.text();
                serde_json::from_str(&text).map_err(|error| {
                    let name = &self.name;
                    let message = format!("{path} of {name} is not JSON: {error}; is it an Envoy?");
                    Failure::new(UNREADABLE, message)
                })
            }
        }
    }

    /// What its admin interface answers to an order.
    pub(crate) async fn order(&self, path: &str) -> Result<String, Failure> {
        match &self.source {
            Source::Saved(_) => Err(Failure::usage("a saved dump has no loggers; name a proxy")),
            Source::Admin(door) => {
                let response = door.send(&Method::POST, path).await?;
                match response.status {
                    200 => Ok(response.text()),
                    _ => Err(Failure::new(
                        NEGATIVE,
                        door.refused(path, &response).message,
                    )),
                }
            }
        }
    }
}

/// The proxy that is meant.
pub(crate) async fn find(whose: &Whose) -> Result<Proxy, Failure> {
    let Whose {
        pod,
        admin,
        file,
        proxy_admin_port,
        cluster,
    } = whose;
    if let Some(file) = file {
        return Ok(Proxy {
            name: file.display().to_string(),
            source: Source::Saved(saved(file)?),
            notes: Vec::new(),
        });
    }
    if let Some(admin) = admin {
        return Ok(at(admin));
    }
    let word = pod.as_deref().unwrap_or_default();
    let pods = connect(cluster).await;
    let pods = pods.map_err(|error| unconnected(&error, INSTEAD))?;
    let (pod, notes) = choose(&pods, cluster, word).await?;
    Ok(Proxy {
        name: format!("{}.{}", pod.name, pod.namespace),
        source: Source::Admin(Door::Pod {
            pods,
            namespace: pod.namespace,
            name: pod.name,
            port: *proxy_admin_port,
        }),
        notes,
    })
}

/// The Envoy whose admin interface is there.
pub(crate) fn at(admin: &str) -> Proxy {
    Proxy {
        name: admin.to_owned(),
        source: Source::Admin(Door::Address(admin.to_owned())),
        notes: Vec::new(),
    }
}

/// A document that was saved.
pub(crate) fn saved(file: &Path) -> Result<Value, Failure> {
    let shown = file.display();
    let read = match file.as_os_str() == "-" {
        true => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map(|_| text)
        }
        false => std::fs::read_to_string(file),
    };
    let text = read.map_err(|error| Failure::new(NO_INPUT, format!("{shown}: {error}")))?;
    serde_json::from_str(&text).map_err(|error| {
        let message =
            format!("{shown} is not JSON: {error}; save Envoy's /config_dump?include_eds");
        Failure::new(UNREADABLE, message)
    })
}

/// The namespace and name in `NAME.NS`, `NAME`.
fn split<'a>(word: &'a str, default: &'a str) -> (&'a str, &'a str) {
    match word.rsplit_once('.') {
        Some((name, namespace)) => (namespace, name),
        None => (default, word),
    }
}

/// The pod that a word means.
async fn choose(pods: &Pods, cluster: &Cluster, word: &str) -> Result<(Pod, Vec<String>), Failure> {
    let default = cluster.namespace.as_deref();
    let default = default.unwrap_or_else(|| pods.namespace());
    let (kind, name) = word.split_once('/').unwrap_or(("pod", word));
    let (namespace, name) = split(name, default);
    if matches!(kind, "pod" | "pods" | "po") {
        return match pods.get(namespace, name).await {
            Ok(pod) => Ok((pod, Vec::new())),
            Err(AskError::NotFound { .. }) => Err(absent(pods, (namespace, name)).await),
            Err(error) => Err(unanswered(&error)),
        };
    }
    let Some(workload) = Workload::named(kind) else {
        let message = format!(
            "{word}: {kind:?} is no kind that has pods; use one of pod, deploy, ds, job, rs, sts, svc"
        );
        return Err(Failure::new(USAGE, message));
    };
    let found = pods.of(workload, (namespace, name)).await;
    let found = found.map_err(|error| unanswered(&error))?;
    let running: Vec<Pod> = found.into_iter().filter(|pod| pod.running).collect();
    let count = running.len();
    let first = running.into_iter().next().ok_or_else(|| {
        let message = format!("{kind}/{name} in namespace {namespace} has no running pod");
        Failure::new(NEGATIVE, message)
    })?;
    let note = format!(
        "note: {kind}/{name} has {count} pods, this is {}",
        first.name
    );
    Ok((first, (count > 1).then_some(note).into_iter().collect()))
}

/// There is no such pod; which one may have been meant?
async fn absent(pods: &Pods, (namespace, name): (&str, &str)) -> Failure {
    let there = pods.list(namespace, "").await.unwrap_or_default();
    let names: Vec<&str> = there.iter().map(|pod| pod.name.as_str()).collect();
    Failure::new(NEGATIVE, suggestion((namespace, name), &names))
}

fn suggestion((namespace, name): (&str, &str), names: &[&str]) -> String {
    let mut message = format!("no pod {name:?} in namespace {namespace}");
    let begin: Vec<&str> = names
        .iter()
        .copied()
        .filter(|pod| pod.starts_with(name))
        .collect();
    let close = names
        .iter()
        .map(|pod| (strsim::jaro_winkler(pod, name), *pod))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, pod)| pod);
    match (begin.as_slice(), close) {
        ([first, more @ ..], _) => {
            let who = match more.len() {
                0 => "1 pod starts".to_owned(),
                others => format!("{} pods start", others + 1),
            };
            let few: Vec<&str> = begin.iter().copied().take(3).collect();
            let dots = if more.len() > 2 { ", ..." } else { "" };
            message.push_str(&format!(
                "\n  {who} with that name: {}{dots}\n  try: {first}.{namespace}",
                few.join(", ")
            ));
        }
        ([], Some(close)) => {
            message.push_str(&format!("\n  did you mean {close}.{namespace}?"));
        }
        ([], None) => message.push_str("; name the namespace with -n or as POD.NAMESPACE"),
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_nobody_has_is_answered_with_those_that_are_there() {
        let names = ["reviews-v1-6c", "reviews-v2-7d", "ratings-1"];
        let text = suggestion(("shop", "reviews"), &names);
        assert_eq!(
            text,
            "no pod \"reviews\" in namespace shop\n  \
             2 pods start with that name: reviews-v1-6c, reviews-v2-7d\n  \
             try: reviews-v1-6c.shop"
        );
        let text = suggestion(("shop", "ratigns-1"), &names);
        assert!(text.ends_with("did you mean ratings-1.shop?"), "{text}");
        let text = suggestion(("shop", "zzz"), &names);
        assert!(text.ends_with("or as POD.NAMESPACE"), "{text}");
    }

    #[test]
    fn a_namespace_follows_the_last_dot() {
        assert_eq!(split("a.b", "x"), ("b", "a"));
        assert_eq!(split("a", "x"), ("x", "a"));
    }
}
