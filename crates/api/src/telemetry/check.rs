//! What is wrong with a Telemetry by itself.

use super::{CustomTag, Metrics, MetricsOverrides, TagOperation, TagOverride, Telemetry, Tracing};
use crate::check::value::duration;
use crate::check::{Check, Findings};
use crate::security::check::Attachment;
use meltemi_types::FieldPath;

impl Check for Telemetry {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            selector,
            target_ref,
            target_refs,
            tracing,
            metrics,
            access_logging,
        } = self;
        let attachment = Attachment {
            selector: selector.as_ref(),
            target_ref: target_ref.as_ref(),
            target_refs,
        };
        attachment.check(at, out);
        let tracing_at = at.field("tracing");
        if tracing.len() > 1 {
            out.ignored(
                &tracing_at.index(1),
                "multiple tracing entries; the first one alone counts",
                "keep one entry",
            );
        }
        tracing.check(&tracing_at, out);
        metrics.check(&at.field("metrics"), out);
        for (index, logging) in access_logging.iter().enumerate() {
            let at = at.field("accessLogging").index(index);
            providers(&at, &logging.providers, out);
        }
    }
}

fn providers(at: &FieldPath, providers: &[super::ProviderRef], out: &mut Findings) {
    for (index, provider) in providers.iter().enumerate() {
        if provider.name.is_empty() {
            let at = at.field("providers").index(index).field("name");
            out.required(&at, "the name of the provider");
        }
    }
}

impl Check for Tracing {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            r#match: _,
            providers: to,
            random_sampling_percentage,
            disable_span_reporting: _,
            disable_context_propagation: _,
            custom_tags,
            use_request_id_for_trace_sampling: _,
            enable_istio_tags: _,
        } = self;
        providers(at, to, out);
        if to.len() > 1 {
            out.ignored(
                &at.field("providers").index(1),
                "multiple tracing providers; the first one alone counts",
                "keep one provider",
            );
        }
        if let Some(share) = random_sampling_percentage
            && !share.is_percentage()
        {
            out.out_of_range(
                &at.field("randomSamplingPercentage"),
                format!("{share} is not a percentage"),
                "use a number from 0 to 100",
            );
        }
        for (name, tag) in custom_tags {
            let at = at.field("customTags").field(name);
            if name.is_empty() {
                out.required(&at, "the name of the tag");
            }
            tag.check(&at, out);
        }
    }
}

impl Check for CustomTag {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            literal,
            environment,
            header,
            formatter,
        } = self;
        let fields = [
            literal.as_ref().map(|t| ("literal", "value", &t.value)),
            environment
                .as_ref()
                .map(|t| ("environment", "name", &t.name)),
            header.as_ref().map(|t| ("header", "name", &t.name)),
            formatter.as_ref().map(|t| ("formatter", "value", &t.value)),
        ];
        let mut set = fields.into_iter().flatten();
        match set.next() {
            None => out.required(at, "where the value of the tag comes from"),
            Some((kind, field, text)) if text.is_empty() => {
                out.required(&at.field(kind).field(field), "the text");
            }
            Some(_) => {}
        }
        if let Some((kind, _, _)) = set.next() {
            out.conflict(
                &at.field(kind),
                "a tag has one value",
                "keep one of literal, environment, header and formatter",
            );
        }
    }
}

impl Check for Metrics {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            providers: to,
            overrides,
            reporting_interval,
        } = self;
        providers(at, to, out);
        duration(&at.field("reportingInterval"), *reporting_interval, out);
        overrides.check(&at.field("overrides"), out);
    }
}

impl Check for MetricsOverrides {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            r#match,
            disabled: _,
            tag_overrides,
        } = self;
        if let Some(matched) = r#match
            && matched.metric.is_some()
            && matched.custom_metric.is_some()
        {
            out.conflict(
                &at.field("match").field("customMetric"),
                "metric and customMetric are both set",
                "keep one of them",
            );
        }
        for (name, change) in tag_overrides {
            let at = at.field("tagOverrides").field(name);
            if name.is_empty() {
                out.required(&at, "the name of the tag");
            }
            change.check(&at, out);
        }
    }
}

impl Check for TagOverride {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self { operation, value } = self;
        let value = value.as_deref().unwrap_or_default();
        match operation.unwrap_or_default() {
            TagOperation::Upsert if value.is_empty() => {
                out.required(&at.field("value"), "the value");
            }
            TagOperation::Remove if !value.is_empty() => out.conflict(
                &at.field("value"),
                "a tag that is removed has no value",
                "remove value, or use UPSERT",
            ),
            TagOperation::Upsert | TagOperation::Remove => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::table;

    #[test]
    fn tracing_and_metrics() {
        table::<Telemetry>(&[
            ("{}", ""),
            ("{tracing: [{}, {}]}", "ignoredfield spec.tracing[1]"),
            (
                "{tracing: [{randomSamplingPercentage: 101}]}",
                "OutOfRange spec.tracing[0].randomSamplingPercentage",
            ),
            (
                "{tracing: [{customTags: {a: {}}}]}",
                "Required spec.tracing[0].customTags.a",
            ),
            (
                "{tracing: [{customTags: {a: {literal: {value: x}, header: {name: x}}}}]}",
                "Conflict spec.tracing[0].customTags.a.header",
            ),
            (
                "{metrics: [{overrides: [{tagOverrides: {a: {operation: REMOVE, value: x}}}]}]}",
                "Conflict spec.metrics[0].overrides[0].tagOverrides.a.value",
            ),
            (
                "{accessLogging: [{providers: [{name: ''}]}]}",
                "Required spec.accessLogging[0].providers[0].name",
            ),
        ]);
    }
}
