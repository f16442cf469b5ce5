//! Requests made by another library (rcgen), with what may be wrong in them.

use super::*;
use rcgen::{
    BasicConstraints, CertificateParams, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, SignatureAlgorithm,
};

fn signed_by(algorithm: &'static SignatureAlgorithm) -> String {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let params = CertificateParams::default();
    params.serialize_request(&key).unwrap().pem().unwrap()
}

/// The bytes of a request, to be broken.
fn der(pem: &str) -> Vec<u8> {
    only_block(pem).unwrap()
}

fn pem(label: &str, der: &[u8]) -> String {
    ::pem::encode(&::pem::Pem::new(label, der))
}

#[test]
fn the_usual_keys_are_read() {
    for (algorithm, kind) in [
        (&PKCS_ECDSA_P256_SHA256, KeyKind::P256),
        (&PKCS_ECDSA_P384_SHA384, KeyKind::P384),
        (&PKCS_ED25519, KeyKind::Ed25519),
        (&PKCS_RSA_SHA256, KeyKind::Rsa),
    ] {
        let request = Request::read(&signed_by(algorithm)).unwrap();
        assert_eq!(request.kind(), kind);
        assert_eq!(format!("{request:?}"), format!("Request({kind})"));
    }
}

#[test]
fn older_tools_write_another_label() {
    let request = signed_by(&PKCS_ECDSA_P256_SHA256);
    let other = pem("NEW CERTIFICATE REQUEST", &der(&request));
    assert_eq!(Request::read(&other), Request::read(&request));
}

#[test]
fn a_request_signed_by_another_key_proves_nothing() {
    let request = signed_by(&PKCS_ECDSA_P256_SHA256);
    let mut bytes = der(&request);
    // The last byte is of the signature.
    *bytes.last_mut().unwrap() ^= 1;
    let broken = pem(LABELS[0], &bytes);
    assert_eq!(Request::read(&broken), Err(BadRequest::NotProved));
}

#[test]
fn what_is_no_request_is_refused() {
    let request = signed_by(&PKCS_ECDSA_P256_SHA256);
    let mut longer = der(&request);
    longer.push(0);
    let certificate = {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.self_signed(&key).unwrap().pem()
    };
    for (text, why) in [
        (String::new(), "no PEM block"),
        ("junk".to_owned(), "no PEM block"),
        (format!("{request}{request}"), "more than one"),
        (certificate, "CERTIFICATE"),
        (pem(LABELS[0], &longer), "behind it"),
        (pem(LABELS[0], &der(&request)[..20]), "cannot be read"),
        (pem(LABELS[0], &[]), "cannot be read"),
        (request.repeat(60), "at most"),
    ] {
        let error = Request::read(&text).unwrap_err().to_string();
        assert!(error.contains(why), "{error:?} lacks {why:?}");
    }
}

#[test]
fn rsa_keys_are_neither_short_nor_careless() {
    let modulus = |bytes: usize| {
        let mut modulus = vec![0xff; bytes];
        modulus.insert(0, 0);
        modulus
    };
    for (bytes, exponent, good) in [
        (256, &[1, 0, 1][..], true),
        (512, &[1, 0, 1], true),
        (255, &[1, 0, 1], false),
        (513, &[1, 0, 1], false),
        (128, &[1, 0, 1], false),
        (256, &[3], false),
        (256, &[1], false),
        (256, &[1, 0, 0], false),
        (256, &[1, 0, 0, 0, 0, 0, 0, 0, 1], false),
    ] {
        let modulus = modulus(bytes);
        let key = RSAPublicKey {
            modulus: &modulus,
            exponent,
        };
        assert_eq!(rsa_kind(&key).is_ok(), good, "{bytes} {exponent:?}");
    }
}

/// Made by other libraries, their keys thrown away: Go 1.26 (`x509.CreateCertificateRequest`) and
/// the keytool of Java 17 (`-certreq`), each with names, which do not count; Java's with the
/// identifier of the key too, and in the older label.
#[test]
fn requests_of_go_and_java_are_read() {
    for (text, kind) in [
        (
            include_str!("../../testdata/requests/go-p256.pem"),
            KeyKind::P256,
        ),
        (
            include_str!("../../testdata/requests/go-rsa.pem"),
            KeyKind::Rsa,
        ),
        (
            include_str!("../../testdata/requests/java-p256.pem"),
            KeyKind::P256,
        ),
        (
            include_str!("../../testdata/requests/java-rsa.pem"),
            KeyKind::Rsa,
        ),
    ] {
        let request = Request::read(text).unwrap();
        assert_eq!(request.kind(), kind);
        // A tool may end lines as Windows does.
        let other = text.replace("\r\n", "\n").replace('\n', "\r\n");
        assert_eq!(Request::read(&other), Ok(request));
    }
}
