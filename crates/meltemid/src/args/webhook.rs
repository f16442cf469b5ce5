//! Where webhooks are served, and whether they are, by istiod's names (platform.md 1.12, 5.3, 6.1).

use super::address;
use std::net::SocketAddr;

/// The flag and the environment.
#[derive(Debug, clap::Args)]
pub(super) struct WebhookArgs {
    /// Where to serve the injection webhook over TLS [default: :15017 in a pod that reads its
    /// cluster, else nowhere].
    #[arg(long = "httpsAddr", alias = "https-addr", value_name = "ADDR")]
    https_addr: Option<String>,
    /// Whether pods are injected.
    #[arg(long, env = "INJECT_ENABLED", hide = true, default_value = "true")]
    inject_enabled: String,
    /// Empty: the API server is not told our roots.
    #[arg(
        long,
        env = "INJECTION_WEBHOOK_CONFIG_NAME",
        hide = true,
        default_value = "istio-sidecar-injector"
    )]
    injection_webhook_config_name: String,
}

/// The injection webhook of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Injection {
    /// Where it is served.
    pub(crate) address: SocketAddr,
    /// Whether the API server is told our roots.
    pub(crate) tells: bool,
}

impl WebhookArgs {
    /// Reads them: what is served, and what is said when there is no certificate for it.
    pub(super) fn read(
        self,
        in_pod: bool,
        secure: Option<SocketAddr>,
    ) -> Result<(Option<Injection>, Option<String>), String> {
        let Self {
            https_addr,
            inject_enabled,
            injection_webhook_config_name,
        } = self;
        let or = if in_pod { ":15017" } else { "" };
        let address = address("--httpsAddr", https_addr.as_deref().unwrap_or(or))?;
        let enabled = !matches!(inject_enabled.as_str(), "false" | "0");
        let Some(address) = address.filter(|_| enabled) else {
            return Ok((None, None));
        };
        if secure.is_none() {
            let why = "without --secureGRPCAddr there is no certificate";
            return Ok((
                None,
                Some(format!("--httpsAddr {address} is not used: {why}")),
            ));
        }
        let tells = !injection_webhook_config_name.is_empty();
        Ok((Some(Injection { address, tells }), None))
    }
}
