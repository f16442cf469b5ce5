//! When failing endpoints are left out for a while.

use crate::duration::Duration;
use crate::message::message;

message! {
    /// When failing endpoints are left out for a while.
    pub struct OutlierDetection {
        /// Deprecated: use `consecutive5xxErrors`.
        pub consecutive_errors: Option<i64>,
        /// Whether errors of connecting are counted apart. Default false.
        pub split_external_local_origin_errors: Option<bool>,
        /// Failures to connect in a row that eject; needs the split. Default 5.
        pub consecutive_local_origin_failures: Option<u32>,
        /// Answers 502, 503 and 504 in a row that eject; 0 turns it off. Default off.
        pub consecutive_gateway_errors: Option<u32>,
        /// Answers 5xx in a row that eject; 0 turns it off. Default 5.
        #[serde(rename = "consecutive5xxErrors")]
        pub consecutive_5xx_errors: Option<u32>,
        /// Time between two looks at the endpoints; at least 1ms. Default 10s.
        pub interval: Option<Duration>,
        /// The shortest ejection, multiplied by the number of ejections; at least 1ms. Default
        /// 30s.
        pub base_ejection_time: Option<Duration>,
        /// The share of endpoints that may be ejected, 0 to 100. Default 10.
        pub max_ejection_percent: Option<i64>,
        /// Below this share of healthy endpoints all of them are used, 0 to 100. Default 0.
        pub min_health_percent: Option<i64>,
        /// HTTP statuses that count as errors, 100 to 599. Default: 5xx.
        pub outlier_detection_http_error_codes: Vec<u32>,
    }
}
