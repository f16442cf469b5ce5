//! RequestAuthentication: which JSON web tokens are accepted.

use crate::duration::Duration;
use crate::message::message;
use crate::selector::{PolicyTargetReference, WorkloadSelector};

message! {
    /// Which JSON web tokens are accepted. Requests without one pass.
    pub struct RequestAuthentication {
        /// The workloads meant. Default: the namespace, or the mesh in the root namespace.
        pub selector: Option<WorkloadSelector>,
        /// Deprecated: the target. Use `targetRefs`.
        pub target_ref: Option<PolicyTargetReference>,
        /// The Gateways or Services that the policy is attached to. Excludes `selector`.
        pub target_refs: Vec<PolicyTargetReference>,
        /// The tokens accepted; each issuer once.
        pub jwt_rules: Vec<JwtRule>,
    }
}

message! {
    /// One kind of token.
    pub struct JwtRule {
        /// Who issued it (`iss`). Required.
        pub issuer: String,
        /// Audiences (`aud`) of which it must name one. Default: any.
        pub audiences: Vec<String>,
        /// Where the issuer's keys are fetched, http or https. Default: discovered.
        #[serde(alias = "jwks_uri")]
        pub jwks_uri: Option<String>,
        /// The issuer's keys themselves, as JSON. Excludes `jwksUri`.
        pub jwks: Option<String>,
        /// Headers that may hold it. Default: `Authorization: Bearer`.
        pub from_headers: Vec<JwtHeader>,
        /// Query parameters that may hold it. Default: `access_token`.
        pub from_params: Vec<String>,
        /// Cookies that may hold it.
        pub from_cookies: Vec<String>,
        /// Header that gets the payload, in base64url.
        pub output_payload_to_header: Option<String>,
        /// Whether the token is forwarded. Default false.
        pub forward_original_token: Option<bool>,
        /// Headers that get single claims.
        pub output_claim_to_headers: Vec<ClaimToHeader>,
        /// How long fetching the keys may take; at least 1ms. Default 5s.
        pub timeout: Option<Duration>,
        /// Claims whose text is a list separated by spaces, besides `scope` and `permission`.
        pub space_delimited_claims: Vec<String>,
    }
}

message! {
    /// A header that may hold a token.
    pub struct JwtHeader {
        /// Its name. Required.
        pub name: String,
        /// What stands before the token, for example `Bearer `.
        pub prefix: Option<String>,
    }
}

message! {
    /// A header that gets a claim.
    pub struct ClaimToHeader {
        /// The header. Required.
        pub header: String,
        /// The claim; `.` goes into objects. Required.
        pub claim: String,
    }
}
