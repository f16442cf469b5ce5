//! What is wrong with the TLS settings of a server: certificates that are missing for the mode,
//! or have no place in it.

use crate::check::{Findings, value::is_label};
use crate::networking::server_tls::{
    ServerTlsMode, ServerTlsSettings, TlsCertificate, TlsProtocol,
};
use meltemi_types::FieldPath;
use std::collections::BTreeSet;

/// Reports what is wrong with the settings at `at`.
pub(super) fn check(tls: &ServerTlsSettings, at: &FieldPath, out: &mut Findings) {
    ciphers(tls, at, out);
    hashes(tls, at, out);
    versions(tls, at, out);
    exclusive(tls, at, out);
    match tls.mode.unwrap_or_default() {
        ServerTlsMode::Passthrough | ServerTlsMode::AutoPassthrough => unused(tls, at, out),
        ServerTlsMode::IstioMutual => istio_mutual(tls, at, out),
        ServerTlsMode::Simple => certificates(tls, "SIMPLE", at, out),
        ServerTlsMode::Mutual => mutual(tls, "MUTUAL", at, out),
        ServerTlsMode::OptionalMutual => mutual(tls, "OPTIONAL_MUTUAL", at, out),
    }
}

fn set(text: &Option<String>) -> bool {
    text.as_deref().is_some_and(|text| !text.is_empty())
}

fn by_secret(tls: &ServerTlsSettings) -> bool {
    set(&tls.credential_name) || !tls.credential_names.is_empty()
}

fn ciphers(tls: &ServerTlsSettings, at: &FieldPath, out: &mut Findings) {
    let mut seen = BTreeSet::new();
    for (index, name) in tls.cipher_suites.iter().enumerate() {
        let at = at.field("cipherSuites").index(index);
        if !ServerTlsSettings::is_cipher(name) {
            let message = format!("{name:?} is no cipher suite that Envoy knows");
            out.ignored(&at, message, "use OpenSSL's names, or remove it");
        } else if !seen.insert(name) {
            out.ignored(&at, format!("{name:?} is there twice"), "remove one");
        }
    }
}

fn hashes(tls: &ServerTlsSettings, at: &FieldPath, out: &mut Findings) {
    for (index, hash) in tls.verify_certificate_hash.iter().enumerate() {
        let digits: String = hash.chars().filter(|c| *c != ':').collect();
        if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            let at = at.field("verifyCertificateHash").index(index);
            let message = format!("{hash:?} is no SHA-256 hash in hexadecimal");
            out.invalid(&at, message, "use 64 hexadecimal digits");
        }
    }
    for (index, hash) in tls.verify_certificate_spki.iter().enumerate() {
        let base64 = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
        if hash.len() != 44 || !hash.bytes().all(base64) || !hash.ends_with('=') {
            let at = at.field("verifyCertificateSpki").index(index);
            let message = format!("{hash:?} is no SHA-256 hash in base64");
            out.invalid(&at, message, "use the base64 form of the 32 bytes");
        }
    }
}

fn versions(tls: &ServerTlsSettings, at: &FieldPath, out: &mut Findings) {
    let version = |v: Option<TlsProtocol>| v.filter(|v| *v != TlsProtocol::Auto);
    let range = version(tls.min_protocol_version).zip(version(tls.max_protocol_version));
    if range.is_some_and(|(min, max)| min > max) {
        out.ignored(
            &at.field("maxProtocolVersion"),
            "no TLS version lies between minimum and maximum",
            "raise maxProtocolVersion, or lower minProtocolVersion",
        );
    }
}

/// One source of certificates.
fn exclusive(tls: &ServerTlsSettings, at: &FieldPath, out: &mut Findings) {
    let sources = [
        ("credentialName", set(&tls.credential_name)),
        ("credentialNames", !tls.credential_names.is_empty()),
        ("tlsCertificates", !tls.tls_certificates.is_empty()),
    ];
    let used: Vec<&str> = sources.iter().filter(|s| s.1).map(|s| s.0).collect();
    if let [first, second, ..] = used.as_slice() {
        out.conflict(
            &at.field(second),
            format!("{first} and {second} exclude each other"),
            "use one of them",
        );
    }
}

fn unused(tls: &ServerTlsSettings, at: &FieldPath, out: &mut Findings) {
    for (field, used) in [
        ("serverCertificate", set(&tls.server_certificate)),
        ("privateKey", set(&tls.private_key)),
        ("caCertificates", set(&tls.ca_certificates)),
        ("caCrl", set(&tls.ca_crl)),
        ("credentialName", set(&tls.credential_name)),
        ("credentialNames", !tls.credential_names.is_empty()),
        ("tlsCertificates", !tls.tls_certificates.is_empty()),
    ] {
        if used {
            out.ignored(
                &at.field(field),
                "PASSTHROUGH mode does not use certificates",
                "set mode to SIMPLE or MUTUAL, or remove it",
            );
        }
    }
}

fn istio_mutual(tls: &ServerTlsSettings, at: &FieldPath, out: &mut Findings) {
    for (field, used, what) in [
        (
            "serverCertificate",
            set(&tls.server_certificate),
            "server certificate",
        ),
        ("privateKey", set(&tls.private_key), "private key"),
        ("caCertificates", set(&tls.ca_certificates), "CA bundle"),
        ("caCrl", set(&tls.ca_crl), "CRL"),
        (
            "credentialName",
            set(&tls.credential_name),
            "credentialName",
        ),
        (
            "credentialNames",
            !tls.credential_names.is_empty(),
            "credentialNames",
        ),
        (
            "tlsCertificates",
            !tls.tls_certificates.is_empty(),
            "tlsCertificates",
        ),
    ] {
        if used {
            out.invalid(
                &at.field(field),
                format!("ISTIO_MUTUAL TLS cannot have an associated {what}"),
                "remove it; the mesh's own certificates are used",
            );
        }
    }
}

fn certificates(tls: &ServerTlsSettings, mode: &str, at: &FieldPath, out: &mut Findings) {
    if by_secret(tls) {
        return;
    }
    if tls.tls_certificates.is_empty() {
        pair((&tls.server_certificate, &tls.private_key), mode, at, out);
        return;
    }
    if set(&tls.server_certificate) || set(&tls.private_key) {
        out.conflict(
            &at.field("tlsCertificates"),
            "serverCertificate and tlsCertificates exclude each other",
            "use one of them",
        );
    }
    let at = at.field("tlsCertificates");
    if tls.tls_certificates.len() > 2 {
        let message = format!("{mode} TLS can support up to 2 server certificates");
        out.ignored(&at, message, "keep one RSA and one ECDSA certificate");
    }
    for (index, certificate) in tls.tls_certificates.iter().enumerate() {
        let TlsCertificate {
            server_certificate,
            private_key,
            ca_certificates: _,
        } = certificate;
        pair(
            (server_certificate, private_key),
            mode,
            &at.index(index),
            out,
        );
    }
}

fn pair(
    (certificate, key): (&Option<String>, &Option<String>),
    mode: &str,
    at: &FieldPath,
    out: &mut Findings,
) {
    if !set(certificate) {
        let what = format!("{mode} TLS requires a server certificate, which");
        out.required(&at.field("serverCertificate"), &what);
    }
    if !set(key) {
        let what = format!("{mode} TLS requires a private key, which");
        out.required(&at.field("privateKey"), &what);
    }
}

fn mutual(tls: &ServerTlsSettings, mode: &str, at: &FieldPath, out: &mut Findings) {
    certificates(tls, mode, at, out);
    if let Some(name) = tls.ca_cert_credential_name.as_deref()
        && !name.is_empty()
        && !name.contains("://")
        && !name.split('.').all(is_label)
    {
        let message = format!("{name:?} is not the name of a secret");
        out.invalid(&at.field("caCertCredentialName"), message, "use its name");
    }
    if !by_secret(tls) && !set(&tls.ca_certificates) && !set(&tls.ca_cert_credential_name) {
        let what = format!("{mode} TLS requires a client CA bundle, which");
        out.required(&at.field("caCertificates"), &what);
    }
}

#[cfg(test)]
mod tests {
    use crate::check::tests::table;
    use crate::networking::gateway::Gateway;

    #[test]
    fn certificates_fit_the_mode() {
        for (tls, wanted) in [
            ("", ""),
            ("mode: SIMPLE, credentialName: a", ""),
            ("mode: SIMPLE, credentialNames: [a, b]", ""),
            (
                "mode: SIMPLE",
                "Required .serverCertificate|Required .privateKey",
            ),
            ("mode: SIMPLE, serverCertificate: /a, privateKey: /b", ""),
            (
                "mode: MUTUAL, serverCertificate: /a, privateKey: /b",
                "Required .caCertificates",
            ),
            (
                "mode: MUTUAL, caCertificates: /c, tlsCertificates: [{privateKey: /b}]",
                "Required .tlsCertificates[0].serverCertificate",
            ),
            ("mode: ISTIO_MUTUAL", ""),
            (
                "mode: ISTIO_MUTUAL, privateKey: /b",
                "InvalidValue .privateKey",
            ),
            ("credentialName: a", "ignoredfield .credentialName"),
            (
                "mode: SIMPLE, credentialName: a, cipherSuites: [x, AES128-SHA, AES128-SHA]",
                "ignoredfield .cipherSuites[0]|ignoredfield .cipherSuites[2]",
            ),
            (
                "mode: SIMPLE, credentialName: a, credentialNames: [b]",
                "Conflict .credentialNames",
            ),
            (
                "mode: MUTUAL, credentialName: a, verifyCertificateHash: [zz]",
                "InvalidValue .verifyCertificateHash[0]",
            ),
        ] {
            let yaml = format!(
                "servers: [{{port: {{number: 443, protocol: HTTPS, name: a}}, hosts: ['*'], \
                 tls: {{{tls}}}}}]"
            );
            let wanted = wanted.replace(" .", " spec.servers[0].tls.");
            table::<Gateway>(&[(&yaml, &wanted)]);
        }
    }
}
