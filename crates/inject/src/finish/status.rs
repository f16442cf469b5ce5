//! The annotation that says what was injected. Tools and the CNI plugin know an injected pod by
//! it, and a second injection knows what is not the user's.

use super::Work;
use crate::annotations::STATUS;
use crate::pod;
use serde_json::{Value, json};

/// Writes the annotation, and those that the injector's settings ask for.
pub(super) fn annotate(work: &mut Work<'_>) {
    let names = |(list, names): (&str, &[String])| {
        let value = match names {
            [] => Value::Null,
            names => json!(names),
        };
        format!("\"{list}\":{value},")
    };
    let revision = work.settings.revision();
    let revision = match revision.as_str() {
        "" => "default",
        revision => revision,
    };
    let lists: String = work.added.lists().map(names).collect();
    let status = format!("{{{lists}\"revision\":{}}}", Value::from(revision));
    let path = "sidecarInjectorWebhook.injectedAnnotations";
    let configured = work.settings.values.at(path).and_then(Value::as_object);
    let annotations = pod::annotations_mut(&mut work.pod);
    annotations.insert(STATUS.to_owned(), status.into());
    for (key, value) in configured.into_iter().flatten() {
        annotations.insert(key.clone(), crate::values::scalar(value).into());
    }
}

/// The names that an earlier injection put into a list of the pod.
pub(crate) fn before(pod: &Value, list: &str) -> Vec<String> {
    let status = pod::annotation(pod, STATUS).unwrap_or("{}");
    let status: Value = serde_json::from_str(status).unwrap_or_default();
    let names = status.get(list).and_then(Value::as_array);
    let names = names.into_iter().flatten();
    names
        .filter_map(|name| Some(name.as_str()?.to_owned()))
        .collect()
}
