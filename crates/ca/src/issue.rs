//! Certificates of workloads: an X.509-SVID (SPIFFE) with exactly one URI, the caller's identity as
//! it was proved, on the key of its request (platform.md 4.4).
//!
//! Nothing comes from the request but the key, so a certificate has the same extensions whoever
//! asks. Randomness comes from the cryptographic library; the time is an argument.

use crate::authority::{Authority, parameters};
use crate::error::Error;
use crate::request::Request;
use crate::validity::{Validity, unix};
use meltemi_types::SpiffeId;
use rcgen::{ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType, SerialNumber};
use rustls::pki_types::CertificateDer;
use std::fmt;
use std::time::{Duration, SystemTime};

/// How long certificates of workloads count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// For who asks for no time: `DEFAULT_WORKLOAD_CERT_TTL`, a day.
    pub default: Duration,
    /// The longest; who asks for more is refused: `MAX_WORKLOAD_CERT_TTL`, 90 days.
    pub max: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        Self {
            default: DAY,
            max: 90 * DAY,
        }
    }
}

impl Lifetimes {
    /// The lifetime for who wishes so many seconds; none or less means the default.
    ///
    /// # Errors
    /// It is more than the longest.
    pub fn grant(&self, wish: i64) -> Result<Duration, Refused> {
        let Some(wish) = u64::try_from(wish).ok().filter(|wish| *wish > 0) else {
            return Ok(self.default.min(self.max));
        };
        let wished = Duration::from_secs(wish);
        match wished <= self.max {
            true => Ok(wished),
            false => Err(Refused::TooLong {
                wish,
                max: self.max.as_secs(),
            }),
        }
    }
}

/// Why a good request gets no certificate.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It asks for too long a life.
    #[error(
        "a certificate for {wish} s is asked for; the longest is {max} s (MAX_WORKLOAD_CERT_TTL)"
    )]
    TooLong {
        /// What is asked for, in seconds.
        wish: u64,
        /// The longest, in seconds.
        max: u64,
    },
    /// It wants the authority's own key signed.
    #[error("the key of the signing request is the authority's own; make a new one")]
    AuthorityKey,
    /// What signs ends too soon.
    #[error(
        "the authority's certificate ends at {until} (seconds since 1970), too soon to sign; replace it"
    )]
    Ending {
        /// Its last second.
        until: u64,
    },
    /// Signing failed.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl Refused {
    /// True when the caller can do something about it.
    #[must_use]
    pub fn is_callers(&self) -> bool {
        match self {
            Self::TooLong { .. } | Self::AuthorityKey => true,
            Self::Ending { .. } | Self::Failed(_) => false,
        }
    }
}

/// The number of a certificate: 128 random bits, of which the first is never set.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Serial([u8; 16]);

impl Serial {
    /// The number of a certificate that somebody else has signed; its last 16 bytes.
    pub(crate) fn of(number: &[u8]) -> Self {
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().rev().zip(number.iter().rev()) {
            *to = *from;
        }
        Self(bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('0');
        let digits = self
            .0
            .iter()
            .flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]);
        f.pad(&digits.collect::<String>())
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A certificate of a workload.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate.
    pub leaf: CertificateDer<'static>,
    /// It and what is between it and the roots in PEM, one each, then all roots in one.
    pub chain: Vec<String>,
    /// Its number, for the audit.
    pub serial: Serial,
    /// When it counts.
    pub validity: Validity,
}

impl Authority {
    /// Signs the key of a request for an identity that the caller has proved. It counts from a
    /// little before `now` for `lifetime`, and never longer than the authority.
    ///
    /// # Errors
    /// The key is the authority's, the authority is about to end, or signing fails.
    pub fn issue(
        &self,
        (request, id): (&Request, &SpiffeId),
        (now, lifetime): (SystemTime, Duration),
    ) -> Result<Issued, Refused> {
        if request.spki == self.public_key() {
            return Err(Refused::AuthorityKey);
        }
        let validity = Validity::starting(now, lifetime).within(self.validity());
        if !self.validity().holds(now + LAST_HOUR) {
            let until = unix(self.validity().until);
            return Err(Refused::Ending { until });
        }
        let serial = serial()?;
        let mut params = parameters(validity);
        let uri = id.to_string();
        let uri = rcgen::string::Ia5String::try_from(uri.as_str());
        let uri = uri.map_err(|_| Error::BadName(id.to_string()))?;
        params.subject_alt_names = vec![SanType::URI(uri)];
        params.is_ca = IsCa::ExplicitNoCa;
        params.serial_number = Some(SerialNumber::from_slice(&serial.0));
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
        ];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.use_authority_key_identifier_extension = true;
        let signed = params.signed_by(&request.key, self.issuer());
        let signed = signed.map_err(Error::from)?;
        let mut chain = vec![signed.pem()];
        chain.extend(self.intermediates().iter().cloned());
        chain.push(self.pem().roots.clone());
        Ok(Issued {
            leaf: signed.der().clone(),
            chain,
            serial,
            validity,
        })
    }
}

/// An authority with less than this left does not sign.
const LAST_HOUR: Duration = Duration::from_secs(3600);

/// A new number.
///
/// # Errors
/// There is no randomness.
pub(crate) fn serial() -> Result<Serial, Error> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let mut bytes = [0; 16];
    let filled = provider.secure_random.fill(&mut bytes);
    filled.map_err(|_| Error::Tls(rustls::Error::FailedToGetRandomBytes))?;
    // A positive number (RFC 5280 4.1.2.2).
    if let Some(first) = bytes.first_mut() {
        *first &= 0x7f;
    }
    Ok(Serial(bytes))
}

#[cfg(test)]
mod tests;
