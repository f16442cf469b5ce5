//! The status of objects, as far as the mesh reads it: the condition `Healthy` of WorkloadEntries,
//! the addresses allocated for ServiceEntries, and what load balancers gave to Services.
//!
//! Follows <https://istio.io/latest/docs/reference/config/meta/v1alpha1/istio-status/>. Istio
//! writes it; what does not fit in here is left out without a word, since it is no user's mistake.

use crate::message::message;

message! {
    /// What Istio, or we, found out about an object.
    pub struct Status {
        /// What is so at the moment.
        pub conditions: Vec<Condition>,
        /// Addresses allocated for the hosts of a ServiceEntry.
        pub addresses: Vec<AllocatedAddress>,
        /// What a load balancer gave to a Service.
        pub load_balancer: Option<LoadBalancer>,
    }
}

message! {
    /// One thing that is so, or not.
    pub struct Condition {
        /// What: `Healthy`, for example.
        #[serde(rename = "type")]
        pub kind: String,
        /// `True`, `False` or `Unknown`.
        pub status: String,
        /// Why, in one word.
        pub reason: Option<String>,
        /// Why, for people.
        pub message: Option<String>,
        /// When it was last looked at, RFC 3339.
        pub last_probe_time: Option<String>,
        /// When it last changed, RFC 3339.
        pub last_transition_time: Option<String>,
    }
}

message! {
    /// An address allocated for a host.
    pub struct AllocatedAddress {
        /// The IP address.
        pub value: String,
        /// The host; empty means every host of the object.
        pub host: String,
    }
}

message! {
    /// Where a load balancer listens for a Service.
    pub struct LoadBalancer {
        /// Its addresses.
        pub ingress: Vec<LoadBalancerIngress>,
    }
}

message! {
    /// One address of a load balancer.
    pub struct LoadBalancerIngress {
        /// The IP address.
        pub ip: Option<String>,
        /// The DNS name, where it has one instead.
        pub hostname: Option<String>,
    }
}

impl Status {
    /// What a condition says; `None` when there is none of this type, or it is unknown.
    #[must_use]
    pub fn condition(&self, kind: &str) -> Option<bool> {
        let found = self.conditions.iter().find(|c| c.kind == kind)?;
        match found.status.as_str() {
            "True" => Some(true),
            "False" => Some(false),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_true_false_or_unknown() {
        let status: Status = serde_yaml::from_str(
            "conditions: [{type: Healthy, status: 'False'}, {type: Odd, status: Unknown}]",
        )
        .unwrap();
        assert_eq!(status.condition("Healthy"), Some(false));
        assert_eq!(status.condition("Odd"), None);
        assert_eq!(status.condition("Missing"), None);
    }
}
