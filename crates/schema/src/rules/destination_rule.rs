//! DestinationRule, except for connection pools.

use super::shared::DURATION;
use crate::constraint::{Row, Says::*};

pub(super) const RULES: &[Row] = &[
    ("DestinationRule", Required(&["host"])),
    ("Subset", Required(&["name"])),
    (
        "LoadBalancerSettings",
        AtMostOne(&["simple", "consistentHash"]),
    ),
    ("LoadBalancerSettings.warmupDurationSecs", DURATION),
    (
        "ConsistentHashLb",
        AtMostOne(&[
            "httpHeaderName",
            "httpCookie",
            "useSourceIp",
            "httpQueryParameterName",
        ]),
    ),
    ("ConsistentHashLb", AtMostOne(&["ringHash", "maglev"])),
    ("HttpCookie", Required(&["name"])),
    ("CookieAttribute", Required(&["name"])),
    ("WarmupConfiguration", Required(&["duration"])),
    ("WarmupConfiguration.duration", DURATION),
    ("WarmupConfiguration.aggression", Minimum(0)),
    ("WarmupConfiguration.aggression", Nullable),
    ("WarmupConfiguration.minimumPercent", Minimum(0)),
    ("WarmupConfiguration.minimumPercent", Maximum(100)),
    ("WarmupConfiguration.minimumPercent", Nullable),
    ("LocalityLbSetting.enabled", Nullable),
    ("ZoneAwareLbSetting.enabled", Nullable),
    ("ZoneAwareLbSetting.minClusterSize", Minimum(1)),
    ("ZoneAwareLbSetting.minClusterSize", Nullable),
    ("OutlierDetection.consecutiveErrors", Format("int32")),
    ("OutlierDetection.maxEjectionPercent", Format("int32")),
    ("OutlierDetection.minHealthPercent", Format("int32")),
    ("OutlierDetection.interval", DURATION),
    ("OutlierDetection.baseEjectionTime", DURATION),
    ("OutlierDetection.consecutive5xxErrors", Nullable),
    ("OutlierDetection.consecutiveGatewayErrors", Nullable),
    ("OutlierDetection.consecutiveLocalOriginFailures", Nullable),
    (
        "OutlierDetection.outlierDetectionHttpErrorCodes[]",
        Minimum(100),
    ),
    (
        "OutlierDetection.outlierDetectionHttpErrorCodes[]",
        Maximum(599),
    ),
    ("TrafficPolicy.portLevelSettings", MaxItems(4096)),
    ("ClientTlsSettings.insecureSkipVerify", Nullable),
    ("RetryBudget.percent", Minimum(0)),
    ("RetryBudget.percent", Maximum(100)),
    ("RetryBudget.percent", Nullable),
    ("TunnelSettings", Required(&["targetHost", "targetPort"])),
];
