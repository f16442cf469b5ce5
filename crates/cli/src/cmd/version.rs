//! `meltemi version`: of this program, of the control planes, and of the proxies that they serve.
//!
//! The first line of text, and `version` and `gitRevision` of a document, are this program's,
//! whatever else is known.

use super::proxy_status;
use crate::args::live::Version;
use crate::args::{Format, TextFormat};
use crate::dump::text;
use crate::failure::{Answer, Failure};
use crate::live;
use crate::live::planes::{self, Missing, Plane};
use crate::output::{API_VERSION, render};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Empty when it was not built in a git checkout.
const REVISION: &str = env!("MELTEMI_GIT_REVISION");

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Detail {
    Numbers,
    Names,
}

/// What runs.
#[derive(Debug, Default)]
struct Running {
    /// Name, revision and version of each control plane.
    planes: Vec<[String; 3]>,
    /// How many proxies have which version.
    proxies: BTreeMap<String, usize>,
}

/// Says which programs these are.
pub(crate) fn run(args: &Version) -> Result<Answer, Failure> {
    let (running, notes) = match args.remote {
        false => (None, Vec::new()),
        true => live::ask(async { Ok(remote(args).await) })?,
    };
    let detail = match args.short {
        true => Detail::Numbers,
        false => Detail::Names,
    };
    let text = match args.output {
        TextFormat::Text => lines(running.as_ref(), detail),
        TextFormat::Json => render(Format::Json, &document(running.as_ref())),
        TextFormat::Yaml => render(Format::Yaml, &document(running.as_ref())),
    };
    Ok(Answer {
        notes,
        ..Answer::fine(text)
    })
}

/// What the control planes say; what cannot be asked is a note and no failure.
async fn remote(args: &Version) -> (Option<Running>, Vec<String>) {
    let found = match planes::find(&args.planes).await {
        Ok(found) => found,
        Err(Missing::Nowhere) => {
            let note = "note: no kubeconfig was found, so this is the client alone";
            return (None, vec![note.to_owned()]);
        }
        Err(Missing::Failed(failure)) => return (None, vec![client_alone(&failure)]),
    };
    match ask(&found).await {
        Ok((running, notes)) => (Some(running), notes),
        Err(failure) => (None, vec![client_alone(&failure)]),
    }
}

fn client_alone(failure: &Failure) -> String {
    let message = failure.message.replace("\n  ", "; ");
    format!("note: this is the client alone: {message}")
}

async fn ask(found: &[Plane]) -> Result<(Running, Vec<String>), Failure> {
    let (said, notes) = planes::each(found, "/version?output=json").await?;
    let planes = said.iter().map(|(plane, text)| {
        let name = plane.name.clone();
        [name, plane.revision.clone(), version_in(text)]
    });
    let mut running = Running {
        planes: planes.collect(),
        proxies: BTreeMap::new(),
    };
    // Who answered once may be asked again; who does not answer now was named above.
    if let Ok((said, _)) = planes::each(found, "/debug/syncz").await {
        for (plane, text) in &said {
            for proxy in proxy_status::proxies(&planes::parse(plane, text)?) {
                let version = proxy_status::version(proxy);
                *running.proxies.entry(version).or_default() += 1;
            }
        }
    }
    Ok((running, notes))
}

/// The version in an answer: a document of ours, or istiod's line `VERSION-SHA-STATUS`.
fn version_in(said: &str) -> String {
    match serde_json::from_str::<Value>(said) {
        Ok(document) => text(&document, "version"),
        Err(_) => said.lines().next().unwrap_or_default().trim().to_owned(),
    }
}

fn known(version: &str) -> &str {
    if version.is_empty() {
        "unknown"
    } else {
        version
    }
}

fn lines(running: Option<&Running>, detail: Detail) -> String {
    let mut lines = match (detail, REVISION.is_empty()) {
        (Detail::Numbers, _) => format!("{VERSION}\n"),
        (Detail::Names, true) => format!("meltemi {VERSION}\n"),
        (Detail::Names, false) => format!("meltemi {VERSION} ({REVISION})\n"),
    };
    let Some(Running { planes, proxies }) = running else {
        return lines;
    };
    let mut by_version: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for [name, revision, version] in planes {
        let shown = match revision.is_empty() {
            true => name.clone(),
            false => format!("{name} revision {revision}"),
        };
        by_version.entry(known(version)).or_default().push(shown);
    }
    for (version, names) in by_version {
        lines.push_str(&match detail {
            Detail::Numbers => format!("control plane version: {version}\n"),
            Detail::Names => format!("control plane version: {version} ({})\n", names.join(", ")),
        });
    }
    let counted = proxies.iter().map(|(version, count)| {
        let word = if *count == 1 { "proxy" } else { "proxies" };
        format!("{} ({count} {word})", known(version))
    });
    let counted: Vec<String> = counted.collect();
    lines.push_str(&match counted.is_empty() {
        true => "data plane version: none (0 proxies)\n".to_owned(),
        false => format!("data plane version: {}\n", counted.join(", ")),
    });
    lines
}

fn document(running: Option<&Running>) -> Value {
    let mut document = json!({
        "apiVersion": API_VERSION,
        "kind": "Version",
        "version": VERSION,
        "gitRevision": REVISION,
    });
    if let (Some(Running { planes, proxies }), Some(fields)) = (running, document.as_object_mut()) {
        let planes = planes.iter().map(|[name, revision, version]| {
            json!({ "name": name, "revision": revision, "version": version })
        });
        fields.insert("controlPlanes".to_owned(), planes.collect());
        let proxies = proxies
            .iter()
            .map(|(version, count)| json!({ "version": version, "proxies": count }));
        fields.insert("dataPlanes".to_owned(), proxies.collect());
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running() -> Running {
        let plane = |name: &str, revision: &str| [name, revision, "0.1.0"].map(str::to_owned);
        Running {
            planes: vec![plane("istiod-a", "default"), plane("istiod-b", "")],
            proxies: BTreeMap::from([("1.40.0".to_owned(), 2), (String::new(), 1)]),
        }
    }

    #[test]
    fn equal_versions_are_one_line() {
        let text = lines(Some(&running()), Detail::Names);
        let expected = "control plane version: 0.1.0 (istiod-a revision default, istiod-b)\n\
                        data plane version: unknown (1 proxy), 1.40.0 (2 proxies)\n";
        assert!(text.ends_with(expected), "{text}");
        assert!(lines(None, Detail::Numbers).starts_with(VERSION));
    }

    #[test]
    fn both_forms_of_an_answer_have_a_version() {
        assert_eq!(version_in(r#"{"version":"0.1.0"}"#), "0.1.0");
        assert_eq!(version_in("1.28.0-abc-Clean\n"), "1.28.0-abc-Clean");
    }
}
