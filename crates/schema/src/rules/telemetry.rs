//! Telemetry, except for its attachment.

use super::shared::{DURATION, ONE_ATTACHMENT};
use crate::constraint::{Row, Says::*};

pub(super) const RULES: &[Row] = &[
    ("Telemetry", ONE_ATTACHMENT),
    ("Telemetry.targetRefs", MaxItems(16)),
    ("ProviderRef", Required(&["name"])),
    ("ProviderRef.name", MinLength(1)),
    ("AccessLogging.disabled", Nullable),
    ("MetricsOverrides.disabled", Nullable),
    ("MetricSelector", AtMostOne(&["metric", "customMetric"])),
    ("MetricSelector.customMetric", MinLength(1)),
    (
        "TagOverride",
        Cel(
            "!has(self.operation) || self.operation != 'UPSERT' || self.value != ''",
            "a tag that is set needs a value",
        ),
    ),
    (
        "TagOverride",
        Cel(
            "!(has(self.operation) && self.operation == 'REMOVE' && has(self.value))",
            "a tag that is removed has no value",
        ),
    ),
    ("Metrics.reportingInterval", DURATION),
    (
        "CustomTag",
        AtMostOne(&["literal", "environment", "header", "formatter"]),
    ),
    ("LiteralTag", Required(&["value"])),
    ("LiteralTag.value", MinLength(1)),
    ("EnvironmentTag", Required(&["name"])),
    ("EnvironmentTag.name", MinLength(1)),
    ("HeaderTag", Required(&["name"])),
    ("HeaderTag.name", MinLength(1)),
    ("FormatterTag", Required(&["value"])),
    ("FormatterTag.value", MinLength(1)),
    ("Tracing.disableContextPropagation", Nullable),
    ("Tracing.disableSpanReporting", Nullable),
    ("Tracing.enableIstioTags", Nullable),
    ("Tracing.useRequestIdForTraceSampling", Nullable),
    ("Tracing.randomSamplingPercentage", Minimum(0)),
    ("Tracing.randomSamplingPercentage", Maximum(100)),
    ("Tracing.randomSamplingPercentage", Nullable),
];
