//! Load balancers.

use super::super::{ConsistentHashLb, HttpCookie, LoadBalancerSettings, WarmupConfiguration};
use crate::check::value::{duration, duration_or_zero};
use crate::check::{Check, Findings, header};
use meltemi_types::FieldPath;
use std::collections::BTreeSet;

/// The largest ring that Envoy takes.
const MAX_RING: u64 = 8_388_608;
/// The largest Maglev table that Envoy takes.
const MAX_TABLE: u64 = 5_000_011;

impl Check for LoadBalancerSettings {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            simple,
            consistent_hash,
            locality_lb_setting,
            zone_aware_lb_setting,
            warmup_duration_secs,
            warmup,
        } = self;
        if simple.is_some() && consistent_hash.is_some() {
            out.conflict(
                &at.field("consistentHash"),
                "simple and consistentHash are both set",
                "keep one of them",
            );
        }
        consistent_hash.check(&at.field("consistentHash"), out);
        if locality_lb_setting.is_some() && zone_aware_lb_setting.is_some() {
            out.conflict(
                &at.field("zoneAwareLbSetting"),
                "localityLbSetting and zoneAwareLbSetting are both set",
                "keep one of them",
            );
        }
        locality_lb_setting.check(&at.field("localityLbSetting"), out);
        zone_aware_lb_setting.check(&at.field("zoneAwareLbSetting"), out);
        duration(&at.field("warmupDurationSecs"), *warmup_duration_secs, out);
        warmup.check(&at.field("warmup"), out);
    }
}

impl Check for WarmupConfiguration {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            duration: length,
            minimum_percent,
            aggression,
        } = self;
        if length.is_none() {
            out.required(&at.field("duration"), "the duration");
        }
        duration(&at.field("duration"), *length, out);
        if let Some(percent) = minimum_percent
            && !percent.is_percentage()
        {
            out.out_of_range(
                &at.field("minimumPercent"),
                format!("{percent} percent"),
                "use 0 to 100",
            );
        }
        if let Some(aggression) = aggression
            && aggression.millionths() <= 0
        {
            out.out_of_range(
                &at.field("aggression"),
                format!("{aggression} is not above 0"),
                "use 1 for a linear growth, or more",
            );
        }
    }
}

impl Check for ConsistentHashLb {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            http_header_name,
            http_cookie,
            use_source_ip,
            http_query_parameter_name,
            ring_hash,
            maglev,
            minimum_ring_size,
        } = self;
        keys(self, at, out);
        if let Some(name) = http_header_name {
            header::matched_name(&at.field("httpHeaderName"), name, out);
        }
        http_cookie.check(&at.field("httpCookie"), out);
        if *use_source_ip == Some(false) {
            out.ignored(
                &at.field("useSourceIp"),
                "useSourceIp: false hashes nothing",
                "remove it, or set it to true",
            );
        }
        if http_query_parameter_name.as_deref() == Some("") {
            out.required(&at.field("httpQueryParameterName"), "the parameter's name");
        }
        if ring_hash.is_some() && maglev.is_some() {
            out.conflict(
                &at.field("maglev"),
                "ringHash and maglev are both set",
                "keep one of them",
            );
        }
        if minimum_ring_size.is_some_and(|size| size > 0) {
            let at = at.field("minimumRingSize");
            if ring_hash.is_some() || maglev.is_some() {
                out.conflict(
                    &at,
                    "minimumRingSize stands beside an algorithm",
                    "use ringHash.minimumRingSize alone",
                );
            } else {
                out.ignored(
                    &at,
                    "minimumRingSize is deprecated",
                    "use ringHash.minimumRingSize",
                );
            }
        }
        ring(&at.field("minimumRingSize"), *minimum_ring_size, out);
        if let Some(ring_hash) = ring_hash {
            let at = at.field("ringHash").field("minimumRingSize");
            ring(&at, ring_hash.minimum_ring_size, out);
        }
        if let Some(size) = maglev.as_ref().and_then(|maglev| maglev.table_size) {
            table_size(&at.field("maglev").field("tableSize"), size, out);
        }
    }
}

/// Exactly one key.
fn keys(hash: &ConsistentHashLb, at: &FieldPath, out: &mut Findings) {
    let count = [
        hash.http_header_name.is_some(),
        hash.http_cookie.is_some(),
        hash.use_source_ip.is_some(),
        hash.http_query_parameter_name.is_some(),
    ]
    .into_iter()
    .filter(|set| *set)
    .count();
    let names = "httpHeaderName, httpCookie, useSourceIp or httpQueryParameterName";
    if count == 0 {
        out.required(at, &format!("the key ({names})"));
    } else if count > 1 {
        out.conflict(
            at,
            format!("{count} keys are set"),
            &format!("keep one of {names}"),
        );
    }
}

fn ring(at: &FieldPath, size: Option<u64>, out: &mut Findings) {
    if let Some(size) = size
        && size > MAX_RING
    {
        out.out_of_range(
            at,
            format!("a ring of {size} is too large"),
            "use at most 8388608",
        );
    }
}

fn table_size(at: &FieldPath, size: u64, out: &mut Findings) {
    if size > MAX_TABLE {
        out.out_of_range(
            at,
            format!("a table of {size} is too large"),
            "use a prime number of at most 5000011",
        );
    } else if !is_prime(size) {
        out.invalid(
            at,
            format!("{size} is not a prime number"),
            "use a prime number such as 65537",
        );
    }
}

fn is_prime(number: u64) -> bool {
    number >= 2
        && (2..)
            .take_while(|divisor| divisor * divisor <= number)
            .all(|divisor| !number.is_multiple_of(divisor))
}

impl Check for HttpCookie {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            name,
            path: _,
            ttl,
            attributes,
        } = self;
        if name.is_empty() {
            out.required(&at.field("name"), "the cookie's name");
        }
        duration_or_zero(&at.field("ttl"), *ttl, out);
        let mut names = BTreeSet::new();
        for (index, attribute) in attributes.iter().enumerate() {
            let at = at.field("attributes").index(index).field("name");
            if attribute.name.is_empty() {
                out.required(&at, "the attribute's name");
            } else if !names.insert(&*attribute.name) {
                out.conflict(
                    &at,
                    format!("the attribute {:?} is there twice", attribute.name),
                    "keep one of them",
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::table;

    #[test]
    fn balancers() {
        table::<LoadBalancerSettings>(&[
            ("{simple: RANDOM}", ""),
            (
                "{consistentHash: {httpHeaderName: x-user, maglev: {tableSize: 65537}}}",
                "",
            ),
            (
                "{consistentHash: {httpCookie: {name: c, ttl: 0s}, ringHash: {minimumRingSize: 1}}}",
                "",
            ),
            (
                "{simple: RANDOM, consistentHash: {useSourceIp: true}}",
                "Conflict spec.consistentHash",
            ),
            ("{consistentHash: {}}", "Required spec.consistentHash"),
            (
                "{consistentHash: {useSourceIp: true, httpHeaderName: a}}",
                "Conflict spec.consistentHash",
            ),
            (
                "{consistentHash: {useSourceIp: true, ringHash: {minimumRingSize: 8388609}}}",
                "OutOfRange spec.consistentHash.ringHash.minimumRingSize",
            ),
            (
                "{consistentHash: {useSourceIp: true, minimumRingSize: 5, maglev: {}}}",
                "Conflict spec.consistentHash.minimumRingSize",
            ),
            (
                "{consistentHash: {useSourceIp: true, maglev: {tableSize: 65536}}}",
                "InvalidValue spec.consistentHash.maglev.tableSize",
            ),
            (
                "{consistentHash: {useSourceIp: true, maglev: {tableSize: 5000017}}}",
                "OutOfRange spec.consistentHash.maglev.tableSize",
            ),
            (
                "{consistentHash: {httpCookie: {ttl: -1s, attributes: [{name: a}, {name: a}, {}]}}}",
                "Required spec.consistentHash.httpCookie.name|\
                 InvalidDuration spec.consistentHash.httpCookie.ttl|\
                 Conflict spec.consistentHash.httpCookie.attributes[1].name|\
                 Required spec.consistentHash.httpCookie.attributes[2].name",
            ),
            (
                "{warmup: {minimumPercent: 101, aggression: 0}}",
                "Required spec.warmup.duration|OutOfRange spec.warmup.minimumPercent|\
                 OutOfRange spec.warmup.aggression",
            ),
            (
                "{localityLbSetting: {}, zoneAwareLbSetting: {}}",
                "Conflict spec.zoneAwareLbSetting",
            ),
        ]);
    }

    #[test]
    fn primes() {
        let primes: Vec<u64> = (0..30).filter(|number| is_prime(*number)).collect();
        assert_eq!(primes, [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]);
        assert!(is_prime(65537) && is_prime(5_000_011) && !is_prime(65536));
    }
}
