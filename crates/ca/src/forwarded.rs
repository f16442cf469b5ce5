//! A signing request that somebody else is to sign, as it is (platform.md 4.9): whoever signs it will
//! believe it, so it must ask for exactly what its sender has proved. And what comes back: trusted as
//! little as the request was.

use crate::authority::{certificates, parse};
use crate::error::Error;
use crate::issue::{Issued, Serial};
use crate::path::{between, is_signed, may_sign, pem_of};
use crate::request::{BadRequest, Request, only_block};
use crate::validity::{Validity, unix};
use meltemi_types::SpiffeId;
use rustls::pki_types::CertificateDer;
use std::time::SystemTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;

/// What a certificate from somebody else is called in errors.
const ANSWER: &str = "status.certificate";
const ROOTS: &str = "caCertificates";

/// A request that asks for one identity and nothing else.
#[derive(Clone, Debug)]
pub struct Forwarded {
    request: Request,
    id: SpiffeId,
    /// Encoded again: nothing around the request is forwarded.
    pem: String,
}

/// Why what was signed is of no use.
#[derive(Debug, thiserror::Error)]
pub enum BadAnswer {
    /// It cannot be read, or nobody vouches for it.
    #[error(transparent)]
    Path(#[from] Error),
    /// There is no root to tell proxies of.
    #[error(
        "no root is known for it; give the root of this signer in MeshConfig.caCertificates, with \
         the signer's name in certSigners"
    )]
    NoRoot,
    /// It is for another key.
    #[error("the certificate is for another key than the one that was asked for")]
    Key,
    /// It is for somebody else, or for more than one.
    #[error("the certificate is not for {0} alone")]
    Identity(SpiffeId),
    /// Who has it could sign others.
    #[error("the certificate may sign others")]
    Authority,
    /// It does not count now.
    #[error("the certificate counts from {from} to {until} only (seconds since 1970)")]
    NotNow {
        /// The first second.
        from: u64,
        /// The last second.
        until: u64,
    },
}

impl Forwarded {
    /// Reads a request whose sender has proved to be `id`.
    ///
    /// # Errors
    /// As [`Request::read`], or it asks for anything but this identity.
    pub fn read(text: &str, id: &SpiffeId) -> Result<Self, BadRequest> {
        let request = Request::read(text)?;
        let der = only_block(text)?;
        let parsed = X509CertificationRequest::from_der(&der);
        let (_, parsed) = parsed.map_err(|why| BadRequest::Unreadable(why.to_string()))?;
        let other = |what: String| Err(BadRequest::NotOwn(what, id.clone()));
        let subject = &parsed.certification_request_info.subject;
        if !subject
            .iter_attributes()
            .all(|part| part.as_slice().is_empty())
        {
            return other(format!("the subject {subject}"));
        }
        let names = names(&parsed)?;
        match names == [id.to_string()] {
            true => Ok(Self {
                request,
                id: id.clone(),
                pem: pem::encode(&pem::Pem::new("CERTIFICATE REQUEST", der.clone())),
            }),
            false => other(format!("the names {names:?}")),
        }
    }

    /// What is to be signed, in PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// What was signed in answer, when it is what was asked for and counts now. `roots` is PEM; where
    /// it is empty, the answer must end with its root.
    ///
    /// # Errors
    /// It is not that.
    pub fn accept(
        &self,
        (answer, roots): (&str, &str),
        now: SystemTime,
    ) -> Result<Issued, BadAnswer> {
        let mut chain = certificates(ANSWER, answer)?;
        let mut trusted = certificates(ROOTS, roots)?;
        if trusted.is_empty() {
            let last = chain.pop().filter(|_| !chain.is_empty());
            let last = last.ok_or(BadAnswer::NoRoot)?;
            if !is_root(&last)? {
                return Err(BadAnswer::NoRoot);
            }
            trusted.push(last);
        }
        let [first, rest @ ..] = &chain[..] else {
            return Err(BadAnswer::NoRoot);
        };
        let leaf = parse(ANSWER, first)?;
        self.is_asked_for(&leaf)?;
        let (path, _) = between(first, rest.to_vec(), &trusted)?;
        let validity = crate::path::validity(&leaf, &path)?;
        if !validity.holds(now) {
            let (from, until) = (unix(validity.from), unix(validity.until));
            return Err(BadAnswer::NotNow { from, until });
        }
        let mut shown: Vec<String> = vec![pem_of(first)];
        shown.extend(path.iter().map(pem_of));
        shown.push(trusted.iter().map(pem_of).collect());
        Ok(Issued {
            serial: Serial::of(leaf.raw_serial()),
            validity: Validity::of(&leaf).within(validity),
            leaf: first.clone(),
            chain: shown,
        })
    }

    fn is_asked_for(&self, leaf: &X509Certificate<'_>) -> Result<(), BadAnswer> {
        if *leaf.public_key().raw != *self.request.spki {
            return Err(BadAnswer::Key);
        }
        if may_sign(leaf) {
            return Err(BadAnswer::Authority);
        }
        let names = leaf.subject_alternative_name().ok().flatten();
        let names = names.map_or(&[][..], |names| &names.value.general_names[..]);
        match names {
            [GeneralName::URI(uri)] if *uri == self.id.to_string() => Ok(()),
            _ => Err(BadAnswer::Identity(self.id.clone())),
        }
    }
}

/// The identities that a request asks for, when it asks for nothing else.
fn names(request: &X509CertificationRequest<'_>) -> Result<Vec<String>, BadRequest> {
    // Of several lists of extensions, a signer might read another one than we do.
    if request.certification_request_info.iter_attributes().count() > 1 {
        return Err(BadRequest::More);
    }
    let mut names = Vec::new();
    for extension in request.requested_extensions().into_iter().flatten() {
        let ParsedExtension::SubjectAlternativeName(asked) = extension else {
            return Err(BadRequest::More);
        };
        for name in &asked.general_names {
            let GeneralName::URI(uri) = name else {
                return Err(BadRequest::More);
            };
            names.push((*uri).to_owned());
        }
    }
    Ok(names)
}

fn is_root(certificate: &CertificateDer<'_>) -> Result<bool, Error> {
    let parsed = parse(ANSWER, certificate)?;
    Ok(may_sign(&parsed) && is_signed(&parsed, certificate)?)
}

#[cfg(test)]
mod tests;
