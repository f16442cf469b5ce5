//! The table of codes. A code is never reused and never changes its meaning; `meltemi
//! explain-code` and docs/codes.md print it.

use serde::Serialize;
use std::fmt;
use std::str::FromStr;

/// What there is to say about a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeInfo {
    /// The code.
    pub code: Code,
    /// A name in words, for headings.
    pub title: &'static str,
    /// What it means, what the mesh does meanwhile, and what to do. A few sentences.
    pub text: &'static str,
}

macro_rules! codes {
    ($($name:ident = $number:literal, $title:literal, $text:literal;)*) => {
        /// A stable diagnostic code, printed as `MLT0001`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $title] $name = $number,)*
        }

        /// Every code, by number.
        pub const CODES: &[CodeInfo] = &[
            $(CodeInfo { code: Code::$name, title: $title, text: $text },)*
        ];
    };
}

codes! {
    NotYaml = 1, "The file is not YAML",
        "A file of the configuration directory, or a document in it, cannot be parsed as YAML. The objects it held before stay in force. Fix the syntax at the line and column that are named.";
    UnknownKind = 2, "Unknown kind",
        "The document's apiVersion and kind name nothing that Meltemi reads. It is left out; everything else in the file is used. Check the spelling of both fields.";
    WrongType = 3, "A value of the wrong type",
        "A field holds a value of a type that its schema does not allow, for example a text where a number belongs. The object keeps its last good version.";
    UnknownField = 4, "Unknown field",
        "A field of the object is not in its schema: usually a spelling mistake, or wrong indentation. An API server would drop it silently. The object keeps its last good version.";
    DuplicateObject = 5, "The same object twice",
        "Two documents have the same kind, namespace and name. The first one (by file name, then position) is used. Remove or rename the other.";
    UnreadableFile = 6, "The file cannot be read",
        "A file of the configuration directory cannot be opened or read. Its objects stay in force as they were last read.";
    MissingIdentity = 7, "apiVersion, kind or name is missing",
        "Every document needs apiVersion, kind and metadata.name.";
    UnknownEnumValue = 8, "Unknown value of an enumeration",
        "A field holds a word that is not among the allowed ones. The object keeps its last good version.";
    InvalidRegex = 101, "A regular expression that Envoy refuses",
        "Envoy uses RE2 syntax: no look-around, no back-references, no possessive quantifiers, and a bound on size. A proxy would reject the whole route table, so the object keeps its last good version.";
    OutOfRange = 102, "A number out of range",
        "A number lies outside of what the field allows. The object keeps its last good version.";
    InvalidDuration = 103, "Not a duration",
        "Durations are Go's: numbers with a unit, as in 1h3m2.5s or 100ms, at least 1ms where a zero makes no sense.";
    InvalidHost = 104, "Not a host",
        "A host is a DNS name, '*.' and a suffix, or '*'.";
    Conflict = 105, "Fields that exclude each other",
        "Only one of the named fields may be set. The object keeps its last good version.";
    Required = 106, "A required field is missing",
        "The field must be set for the object to mean anything. The object keeps its last good version.";
    InvalidValue = 107, "A value that is not allowed here",
        "The value has the right type but cannot be used in this place. The object keeps its last good version.";
    InvalidHeader = 108, "A header that cannot be set or matched",
        "Header names are tokens of RFC 9110; pseudo headers other than :authority cannot be changed.";
    IgnoredField = 109, "A field without effect",
        "The field is understood, but has no effect on stock Envoy or in this place.";
    UnknownSubset = 201, "A subset that no DestinationRule defines",
        "A route sends traffic to a subset that is not defined for the host. The last good version of the VirtualService stays in force; if there is none, requests to that destination fail with 503. Define the subset in a DestinationRule, or fix the name.";
    UnknownHost = 202, "A destination that is not in the registry",
        "A route sends traffic to a host for which there is no Service. Requests to it fail with 503.";
    UnknownPort = 203, "A destination port that the service does not have",
        "A route sends traffic to a port that its destination does not declare. Requests to it fail with 503.";
    AmbiguousPort = 204, "A destination needs a port",
        "The destination has several ports and the route names none; the port of the listener is used.";
    ConflictingVirtualService = 205, "Two VirtualServices for one host",
        "Several VirtualServices claim the same host on sidecars. The oldest one is used; the others have no effect on that host.";
    ConflictingListener = 206, "Two services want the same listener",
        "Two services or Sidecar listeners ask for the same address and port in ways that cannot be merged. The older one is served.";
    PolicyNotUnderstood = 207, "A security policy that is not translated yet",
        "The workload's inbound traffic is denied, because an AuthorizationPolicy, a RequestAuthentication or a STRICT PeerAuthentication selects it and Meltemi does not translate that kind yet. Failing open would be worse. Remove the object, or run the workload without it.";
    DuplicateDomain = 208, "The same domain in two virtual hosts",
        "Envoy refuses a route table in which a domain appears twice. The first virtual host keeps the domain.";
    ShadowedRoute = 209, "A route that can never match",
        "A route above matches everything, so this one has no effect.";
    SubsetWithoutEndpoints = 210, "A subset that selects no endpoint",
        "The labels of the subset match no endpoint of the host.";
    DuplicateSidecar = 211, "Two Sidecars for one workload",
        "Several Sidecars select the same workload; the oldest is used.";
    NotSupportedYet = 212, "Not supported yet",
        "The field or kind is recognised but has no effect yet.";
    StructurallyInvalid = 301, "A generated resource that Envoy would refuse",
        "A check before sending found that Envoy would reject the resource. It is held back; the last good version stays in force. The message says which rule is broken; the objects named are the ones it was made from.";
    Rejected = 302, "A proxy rejected a resource",
        "Envoy answered with a NACK. The resource is kept at its last good version for that proxy. The message is Envoy's.";
    InternalError = 303, "A bug in Meltemi",
        "Translation of one object failed unexpectedly; the last good version stays in force. Please report it.";
    MeshConfigInvalid = 401, "Mesh configuration that cannot be used",
        "The mesh configuration does not parse or holds values that make no sense. The last good one stays in force, or the defaults.";
    MeshRoots = 402, "Roots of the mesh configuration that cannot be used",
        "An entry of caCertificates holds what is no certificate of an authority in PEM, a name that is no trust domain, or an address whose SPIFFE bundle cannot be read. Nobody is believed by what cannot be used; of a bundle what was read last counts, and everything else is in force. Correct the entry, or publish a bundle at its address.";
    SourceDenied = 501, "The API server does not let the control plane read a kind",
        "The control plane may not list or watch a kind of objects. What was read before stays in force; a control plane that never read the kind is not ready, because it would serve a mesh without these objects. Give its ClusterRole the verbs list and watch on the kind.";
    SourceAway = 502, "The API server cannot be reached",
        "The control plane cannot reach the API server. What was read last stays in force, and proxies are served; changes arrive once the API server answers again.";
    KindGone = 503, "A security kind is no longer served",
        "The API server has served a security kind and no longer knows it, as when its CustomResourceDefinition is deleted. The objects that were read last stay in force: without them traffic would be allowed that was denied. Install the definition again, or delete the objects first.";
    RemoteCluster = 504, "A remote cluster, which is not read",
        "A Secret with the label istio/multiCluster=true names another cluster by a kubeconfig. Remote clusters are not supported yet: the kubeconfig is not read, nobody connects to the server in it, and no program of it is run. Everything else is served. Remove the label or the Secret to end the warning.";
    CredentialMissing = 601, "A credential that is not there",
        "A Gateway or a DestinationRule names a Secret or ConfigMap that does not exist in the namespace of the proxy, or that the control plane may not read. TLS connections there are reset until it comes; everything else is served. Create it in the namespace of the gateway's pods, or correct credentialName.";
    CredentialInvalid = 602, "A credential that cannot be used",
        "A Secret or ConfigMap holds no certificate and key, text that is not PEM, a key that does not fit its certificate, or a certificate that does not count at this time. The last good one stays in force where there is one; what can be used of a bundle of authorities is used.";
    CredentialDenied = 603, "A credential that a proxy may not have",
        "A proxy asks for a Secret of another namespace, or its service account may not list Secrets in its own namespace. It gets nothing. Give the service account a Role with the verb list on secrets, as the gateway chart does, or move the Secret into the namespace of the proxy.";
    InjectionAnnotation = 701, "An annotation that injection cannot use",
        "An annotation of a pod, or of a workload's template, has a value that the injector cannot act on. The pod is refused, because without what the annotation asks for its traffic would go elsewhere than its owner wants. Correct or remove the annotation that is named.";
    InjectionSettings = 702, "Settings of the injector that cannot be used",
        "A template or a value of the injector cannot be used: a template with Go actions, one of an unknown name, a value of the wrong form. Pods that need it are refused. Correct the values of the charts, or write the template as plain YAML.";
}

impl Code {
    /// The table row.
    #[must_use]
    pub fn info(self) -> &'static CodeInfo {
        static MISSING: CodeInfo = CodeInfo {
            code: Code::InternalError,
            title: "unknown",
            text: "unknown",
        };
        CODES
            .iter()
            .find(|info| info.code == self)
            .unwrap_or(&MISSING)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MLT{:04}", *self as u16)
    }
}

impl FromStr for Code {
    type Err = crate::Invalid;

    /// Reads `MLT0001`, in any case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        CODES
            .iter()
            .map(|info| info.code)
            .find(|code| code.to_string().eq_ignore_ascii_case(text))
            .ok_or_else(|| crate::Invalid::new("code", text, "codes look like MLT0001"))
    }
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClusterId, Diagnostic, FieldPath, Location, ObjectRef, Origin};
    use std::sync::Arc;

    #[test]
    fn codes_are_unique_and_read_back() {
        for info in CODES {
            assert_eq!(info.code.to_string().parse::<Code>().unwrap(), info.code);
            assert_eq!(info.code.info(), info);
            assert!(info.text.ends_with('.'), "{}", info.code);
        }
        assert!(CODES.is_sorted_by(|a, b| (a.code as u16) < (b.code as u16)));
    }

    #[test]
    fn a_diagnostic_is_one_line_of_the_fixed_form() {
        let object = ObjectRef {
            cluster: ClusterId::default(),
            kind: "VirtualService".into(),
            namespace: Some("shop".parse().unwrap()),
            name: "reviews".parse().unwrap(),
        };
        let location = Location {
            file: "a.yaml".into(),
            line: 7,
            column: 3,
        };
        let origin = Origin::object(Arc::new(object), Some(location)).at(FieldPath::spec());
        let text = Diagnostic::error(Code::UnknownField, origin, "no\nsuch field", "drop it");
        assert_eq!(
            text.to_string(),
            "error[MLT0004]: VirtualService shop/reviews spec: no such field; drop it (a.yaml:7:3)"
        );
    }
    #[test]
    fn a_text_without_objects_names_the_file() {
        let location = Location {
            file: "a.yaml".into(),
            line: 2,
            column: 1,
        };
        let text = Diagnostic::in_text(Code::NotYaml, location, "not YAML", "fix it");
        assert_eq!(
            text.to_string(),
            "error[MLT0001]: File a.yaml: not YAML; fix it (a.yaml:2:1)"
        );
    }
}
