//! Who the workload is: a key and a certificate, from a certificate authority or from files, renewed
//! before they end.

use meltemi_types::Secret;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::watch;

/// What proves who the workload is.
#[derive(Debug)]
pub(crate) struct Material {
    /// The certificate and those between it and a root, PEM.
    pub(crate) chain: Vec<u8>,
    /// Its key, PEM.
    pub(crate) key: Secret<Vec<u8>>,
    /// The roots that peers are held to, PEM.
    pub(crate) roots: Vec<u8>,
    /// The serial number of the certificate, in hexadecimal.
    pub(crate) serial: String,
    /// When the certificate ends.
    pub(crate) not_after: SystemTime,
}

/// The newest material; `None` until there is any.
pub(crate) type Held = watch::Receiver<Option<Arc<Material>>>;
