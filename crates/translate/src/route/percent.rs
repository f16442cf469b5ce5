//! Shares of requests, as Envoy's fractions.

use meltemi_proto::envoy::config::core::v3::RuntimeFractionalPercent;
use meltemi_proto::envoy::r#type::v3::{FractionalPercent, fractional_percent::DenominatorType};

/// Everything, in millionths.
pub(super) const ALL: u32 = 1_000_000;

/// This many millionths, at most all.
pub(super) fn millionths(share: u32) -> FractionalPercent {
    FractionalPercent {
        numerator: share.min(ALL),
        denominator: DenominatorType::Million.into(),
    }
}

/// This many hundredths, at most all.
pub(super) fn hundredths(share: u32) -> FractionalPercent {
    FractionalPercent {
        numerator: share.min(100),
        denominator: DenominatorType::Hundred.into(),
    }
}

/// A fraction that no runtime key overrides.
pub(super) fn fixed(share: FractionalPercent) -> RuntimeFractionalPercent {
    RuntimeFractionalPercent {
        default_value: Some(share),
        runtime_key: String::new(),
    }
}
