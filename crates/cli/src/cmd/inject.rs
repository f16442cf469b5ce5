//! `meltemi inject`: workloads in files get their proxy by the control plane's own code.

mod ordered;
mod proxies;
mod settings;
mod webhook;
mod workload;

use crate::args::inject::{Inject, Output, Path as Way};
use crate::failure::{Answer, FINE, Failure, NEGATIVE, UNREADABLE};
use crate::input;
use meltemi_api::yaml::{Source, read_as};
use meltemi_inject::{Decision, Place, Settings, decide, inject, patch};
use ordered::{Ordered, Text};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use workload::Workload;

/// Injects the workloads of a file.
pub(crate) fn run(args: &Inject) -> Result<Answer, Failure> {
    let mut settings = settings::read(args)?;
    let mut all = Vec::new();
    let texts = input::texts(std::slice::from_ref(&args.filename))?;
    let found = proxies::read_all(&texts, &args.namespace)?;
    settings.proxy_configs = found.objects;
    for (name, bytes) in &texts {
        let unreadable = |why: String| Failure::new(UNREADABLE, format!("{name}: {why}"));
        let text = std::str::from_utf8(bytes).map_err(|e| unreadable(e.to_string()))?;
        for part in documents(text) {
            all.push(Document::read(part, name).map_err(unreadable)?);
        }
    }
    let mut run = Run {
        args,
        settings,
        refused: found.is_broken,
        notes: found.notes,
        patches: String::new(),
    };
    for document in &mut all {
        run.document(document);
    }
    Ok(Answer {
        text: match (run.refused, args.output) {
            // Half of a file must not be applied.
            (true, _) => String::new(),
            (false, Output::Yaml) => all.iter().map(Document::yaml).collect(),
            (false, Output::Json) => json_text(all),
            (false, Output::Patch) => run.patches,
        },
        notes: run.notes,
        code: if run.refused { NEGATIVE } else { FINE },
    })
}

/// One document of the file.
struct Document<'a> {
    text: &'a str,
    before: Option<Ordered>,
    after: Value,
    is_changed: bool,
}

impl<'a> Document<'a> {
    fn read(text: &'a str, name: &str) -> Result<Self, String> {
        let mut read = read_as::<Ordered>(text.as_bytes(), &Source::new(name)).into_iter();
        let document = read.next();
        if let Some(document) = &document
            && document.value.is_none()
            && let Some(found) = document.diagnostics.first()
        {
            return Err(found.message.to_string());
        }
        let before = document.and_then(|document| document.value);
        Ok(Self {
            text,
            after: before.as_ref().map_or(Value::Null, Ordered::value),
            before,
            is_changed: false,
        })
    }

    /// The document as it was, or written anew in the user's order of keys.
    fn yaml(&self) -> String {
        if !self.is_changed {
            let end = if self.text.ends_with('\n') { "" } else { "\n" };
            return format!("{}{end}", self.text);
        }
        let mut lines = self.text.lines();
        let separator = lines.find(|line| !line.trim().is_empty() && !line.starts_with('#'));
        let head = match separator.is_some_and(|line| line.starts_with("---")) {
            true => "---\n",
            false => "",
        };
        format!("{head}{}", Text::write(&self.after, self.before.as_ref()))
    }
}

/// The texts of the documents of a file, each with the separator before it.
fn documents(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut at, mut has_content) = (0, 0, false);
    for line in text.split_inclusive('\n') {
        let rest = line.strip_prefix("---");
        let separates =
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']));
        if separates && has_content {
            parts.extend(text.get(start..at));
            (start, has_content) = (at, false);
        }
        at += line.len();
        let line = line.trim();
        has_content |= separates || !(line.is_empty() || line.starts_with(['#', '%']));
    }
    parts.extend(text.get(start..));
    parts
}

fn json_text(mut all: Vec<Document<'_>>) -> String {
    all.retain(|document| !document.after.is_null());
    let mut objects: Vec<Value> = all.into_iter().map(|document| document.after).collect();
    let value = match objects.len() {
        1 => objects.remove(0),
        _ => json!({"apiVersion": "v1", "kind": "List", "items": objects}),
    };
    format!("{value:#}\n")
}

struct Run<'a> {
    args: &'a Inject,
    settings: Settings,
    notes: Vec<String>,
    refused: bool,
    patches: String,
}

impl Run<'_> {
    fn document(&mut self, document: &mut Document<'_>) {
        let before = document.after.clone();
        match document
            .after
            .get_mut("items")
            .and_then(Value::as_array_mut)
        {
            Some(items) if before.get("kind").is_some_and(|kind| kind == "List") => {
                for item in items {
                    self.object(item);
                }
            }
            Some(_) | None => self.object(&mut document.after),
        }
        document.is_changed = document.after != before;
    }

    fn object(&mut self, object: &mut Value) {
        let Some(workload) = Workload::of(object) else {
            return;
        };
        let name = workload.to_string();
        let pod = workload.pod(object);
        let namespace = match workload.owner.namespace.as_str() {
            "" => self.args.namespace.as_str(),
            namespace => namespace,
        };
        let labels = self.args.namespace_labels.as_deref();
        if let (Way::Webhook, Some(labels)) = (self.args.path, labels) {
            let revision = self.settings.values.text("revision");
            if let Err(why) = webhook::selects(labels, &pod, &revision) {
                self.notes.push(format!("info: {name} not injected: {why}"));
                return;
            }
        }
        if let Decision::Skip(rule) = decide(&pod, namespace, &self.settings.values) {
            self.notes
                .push(format!("info: {name} not injected: {rule}"));
            return;
        }
        let place = Place {
            owner: &workload.owner,
            namespace,
            variables: &BTreeMap::new(),
        };
        match inject(&self.settings, place, &pod) {
            Ok(after) => {
                let before = object.clone();
                workload.put(object, after);
                let difference = patch(&before, object);
                if !difference.is_empty() {
                    self.patches.push_str(&format!("{}\n", json!(difference)));
                }
            }
            Err(refusal) => {
                self.refused = true;
                let file = self.args.filename.display();
                let code = refusal.code;
                self.notes
                    .push(format!("error[{code}]: {name} {refusal} ({file})"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_keep_every_byte() {
        let text = "# a\n---\na: 1\n--- # b\nb: |\n  ---\n---\n\n---\nc: 1";
        let parts = documents(text);
        assert_eq!(parts.concat(), text);
        assert_eq!(
            parts,
            [
                "# a\n---\na: 1\n",
                "--- # b\nb: |\n  ---\n",
                "---\n\n",
                "---\nc: 1"
            ]
        );
    }
}
