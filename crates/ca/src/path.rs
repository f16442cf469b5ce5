//! From an authority's certificate to a root: whether somebody whom everybody trusts vouches for it
//! through the certificates of `cert-chain.pem` (RFC 5280 section 6), and what proxies must show
//! besides their own certificate for others to see that.
//!
//! Istio's plugged-in chain repeats the authority's certificate and often ends with the root; both
//! are fine, and so is a chain in another order: the path is found by who has signed whom.

use crate::authority::parse;
use crate::error::Error;
use crate::validity::Validity;
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;

const CHAIN: &str = "cert-chain.pem";
const ROOTS: &str = "root-cert.pem";

/// Whom one trusts with a root: its name and its key. A root that is renewed with its key is no
/// other one.
pub(crate) type Anchor = (Vec<u8>, Vec<u8>);

/// Whom one trusts with this root.
///
/// # Errors
/// It cannot be read.
pub(crate) fn anchor(root: &CertificateDer<'_>) -> Result<Anchor, Error> {
    let root = parse(ROOTS, root)?;
    let key = root.public_key().raw.to_vec();
    Ok((root.subject().as_raw().to_vec(), key))
}

/// The certificates between `first` and one of `roots`, each signed by the next, and that root; none
/// when a root has signed it, or when it is one.
///
/// # Errors
/// There is no path, or one of the certificates cannot be read.
pub(crate) fn between(
    first: &CertificateDer<'static>,
    mut chain: Vec<CertificateDer<'static>>,
    roots: &[CertificateDer<'static>],
) -> Result<(Vec<CertificateDer<'static>>, Anchor), Error> {
    chain.retain(|one| one != first && !roots.contains(one));
    let mut path = Vec::new();
    let mut last = first.clone();
    loop {
        let certificate = parse(CHAIN, &last)?;
        for root in roots {
            if is_signed(&certificate, root)? {
                return Ok((path, anchor(root)?));
            }
        }
        let mut next = None;
        for (at, candidate) in chain.iter().enumerate() {
            if is_signed(&certificate, candidate)? && may_sign(&parse(CHAIN, candidate)?) {
                next = Some(at);
                break;
            }
        }
        // Each is taken once, so this ends.
        last = chain.remove(next.ok_or(Error::NoRoot)?);
        path.push(last.clone());
    }
}

/// When all of them count.
pub(crate) fn validity(
    first: &X509Certificate<'_>,
    between: &[CertificateDer<'_>],
) -> Result<Validity, Error> {
    let own = Validity::of(first);
    between.iter().try_fold(own, |validity, one| {
        Ok(validity.within(Validity::of(&parse(CHAIN, one)?)))
    })
}

/// What is shown behind a certificate that `first` has signed, in PEM: all up to the root, which
/// everybody has.
pub(crate) fn shown(
    first: &CertificateDer<'_>,
    between: &[CertificateDer<'_>],
    roots: &[CertificateDer<'_>],
) -> Vec<String> {
    let own = std::iter::once(first).filter(|first| !roots.contains(first));
    let all = own.chain(between);
    all.map(|one| pem_of(one)).collect()
}

/// A certificate in PEM.
pub(crate) fn pem_of(der: &CertificateDer<'_>) -> String {
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&pem::Pem::new("CERTIFICATE", der.as_ref()), config)
}

/// True when the owner of `by` has signed `certificate`; a root signs itself.
///
/// # Errors
/// `by` cannot be read.
pub(crate) fn is_signed(
    certificate: &X509Certificate<'_>,
    by: &CertificateDer<'_>,
) -> Result<bool, Error> {
    let by = parse(ROOTS, by)?;
    let key = Some(by.public_key());
    Ok(by.subject() == certificate.issuer() && certificate.verify_signature(key).is_ok())
}

/// True when a certificate may sign others.
pub(crate) fn may_sign(certificate: &X509Certificate<'_>) -> bool {
    let usage = match certificate.key_usage() {
        Ok(Some(usage)) => usage.value.key_cert_sign(),
        Ok(None) => true,
        Err(_) => false,
    };
    usage && certificate.is_ca()
}
