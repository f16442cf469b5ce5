//! AuthorizationPolicy: who may do what.

use crate::message::{choice, message};
use crate::selector::{PolicyTargetReference, WorkloadSelector};

message! {
    /// Who may do what. A request is judged by the rules; which way, the action says.
    pub struct AuthorizationPolicy {
        /// The workloads meant. Default: the namespace, or the mesh in the root namespace.
        pub selector: Option<WorkloadSelector>,
        /// Deprecated: the target. Use `targetRefs`.
        pub target_ref: Option<PolicyTargetReference>,
        /// The Gateways or Services that the policy is attached to. Excludes `selector`.
        pub target_refs: Vec<PolicyTargetReference>,
        /// Rules of which one must match. None at all never matches.
        pub rules: Vec<Rule>,
        /// What a match means. Default `ALLOW`.
        pub action: Option<Action>,
        /// Who decides, for `CUSTOM`.
        pub provider: Option<ExtensionProviderRef>,
    }
}

choice! {
    /// What a match means.
    pub enum Action {
        /// The request is allowed, unless something denies it.
        Allow,
        /// The request is denied.
        Deny,
        /// The request is marked for auditing.
        Audit,
        /// The provider decides.
        Custom,
    }
}

message! {
    /// An extension provider of mesh config, by name.
    pub struct ExtensionProviderRef {
        /// The provider's name.
        pub name: Option<String>,
    }
}

message! {
    /// Conditions that must hold together. An empty rule matches everything.
    pub struct Rule {
        /// Who asks: one of these. Default: anyone.
        pub from: Vec<From>,
        /// What is asked: one of these. Default: anything.
        pub to: Vec<To>,
        /// Further conditions, all of them.
        pub when: Vec<Condition>,
    }
}

message! {
    /// Who asks.
    pub struct From {
        /// The properties of the client.
        pub source: Option<Source>,
    }
}

message! {
    /// What is asked.
    pub struct To {
        /// The properties of the request.
        pub operation: Option<Operation>,
    }
}

message! {
    /// Properties of a client; all that are set must hold. Values may be exact, `abc*`, `*abc`
    /// or `*` (present), unless said otherwise.
    pub struct Source {
        /// Identities of its certificate: `TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT`.
        pub principals: Vec<String>,
        /// Identities that it must not have.
        pub not_principals: Vec<String>,
        /// Identities of its JSON web token: `ISSUER/SUBJECT`.
        pub request_principals: Vec<String>,
        /// Token identities that it must not have.
        pub not_request_principals: Vec<String>,
        /// Namespaces of its certificate.
        pub namespaces: Vec<String>,
        /// Namespaces that it must not be in.
        pub not_namespaces: Vec<String>,
        /// Addresses of the connection, single or as CIDR.
        pub ip_blocks: Vec<String>,
        /// Addresses that the connection must not come from.
        pub not_ip_blocks: Vec<String>,
        /// Addresses of the original client, single or as CIDR.
        pub remote_ip_blocks: Vec<String>,
        /// Addresses that the original client must not have.
        pub not_remote_ip_blocks: Vec<String>,
        /// Service accounts of its certificate: `NAMESPACE/NAME` or `NAME`, exact.
        pub service_accounts: Vec<String>,
        /// Service accounts that it must not have.
        pub not_service_accounts: Vec<String>,
        /// Trust domains of its certificate.
        pub trust_domains: Vec<String>,
        /// Trust domains that it must not be of.
        pub not_trust_domains: Vec<String>,
    }
}

message! {
    /// Properties of a request; all that are set must hold. Values may be exact, `abc*`, `*abc`
    /// or `*` (present), unless said otherwise.
    pub struct Operation {
        /// Hosts asked for, in any case.
        pub hosts: Vec<String>,
        /// Hosts not to be asked for.
        pub not_hosts: Vec<String>,
        /// Ports asked for, as numbers.
        pub ports: Vec<String>,
        /// Ports not to be asked for.
        pub not_ports: Vec<String>,
        /// HTTP methods.
        pub methods: Vec<String>,
        /// HTTP methods not to be used.
        pub not_methods: Vec<String>,
        /// Paths, also templates with `{*}` and `{**}`.
        pub paths: Vec<String>,
        /// Paths not to be asked for.
        pub not_paths: Vec<String>,
    }
}

message! {
    /// A condition on an attribute.
    pub struct Condition {
        /// The attribute, for example `request.headers[x-user]`. Required.
        pub key: String,
        /// Values of which one must match.
        pub values: Vec<String>,
        /// Values of which none may match.
        pub not_values: Vec<String>,
    }
}
