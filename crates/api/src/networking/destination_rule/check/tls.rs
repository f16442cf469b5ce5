//! TLS towards a host.

use super::super::{ClientTlsSettings, TlsMode};
use crate::check::{Check, Findings};
use meltemi_types::FieldPath;

impl Check for ClientTlsSettings {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            mode,
            client_certificate,
            private_key,
            ca_certificates,
            credential_name,
            subject_alt_names,
            sni: _,
            insecure_skip_verify,
            ca_crl,
        } = self;
        let set = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
        let files = [
            ("clientCertificate", client_certificate),
            ("privateKey", private_key),
            ("caCertificates", ca_certificates),
            ("caCrl", ca_crl),
        ];
        let mode = mode.unwrap_or_default();
        if set(credential_name) && matches!(mode, TlsMode::Simple | TlsMode::Mutual) {
            for (field, file) in files {
                if set(file) {
                    out.conflict(
                        &at.field(field),
                        format!("{field} stands beside credentialName"),
                        "keep one of them",
                    );
                }
            }
        } else if mode == TlsMode::Mutual {
            for (field, file) in files.into_iter().take(2) {
                if !set(file) {
                    out.required(&at.field(field), "the file for mutual TLS");
                }
            }
        }
        if *insecure_skip_verify == Some(true) {
            for (field, set) in [
                ("caCertificates", set(ca_certificates)),
                ("subjectAltNames", !subject_alt_names.is_empty()),
            ] {
                if set {
                    out.conflict(
                        &at.field(field),
                        format!("{field} stands beside insecureSkipVerify"),
                        "verify the server, or do not",
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::table;

    #[test]
    fn client_tls() {
        table::<ClientTlsSettings>(&[
            ("{mode: SIMPLE, sni: a}", ""),
            ("{mode: ISTIO_MUTUAL}", ""),
            ("{mode: MUTUAL, clientCertificate: a, privateKey: b}", ""),
            ("{mode: MUTUAL, credentialName: a}", ""),
            ("{mode: SIMPLE, insecureSkipVerify: true}", ""),
            (
                "{mode: MUTUAL, clientCertificate: a}",
                "Required spec.privateKey",
            ),
            (
                "{mode: SIMPLE, credentialName: a, caCertificates: b, privateKey: c}",
                "Conflict spec.privateKey|Conflict spec.caCertificates",
            ),
            (
                "{mode: SIMPLE, insecureSkipVerify: true, caCertificates: a, subjectAltNames: [b]}",
                "Conflict spec.caCertificates|Conflict spec.subjectAltNames",
            ),
        ]);
    }
}
