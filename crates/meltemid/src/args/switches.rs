//! What is done or left, by istiod's names (platform.md 6.1).

use super::identity::switch;

/// The environment.
#[derive(Debug, clap::Args)]
pub(super) struct SwitchArgs {
    /// Gateways select proxies of their own namespace only.
    #[arg(
        long,
        env = "PILOT_SCOPE_GATEWAY_TO_NAMESPACE",
        hide = true,
        default_value = "false"
    )]
    scope_gateways: String,
    /// The addresses that ServiceEntries are given are written into their status.
    #[arg(
        long,
        env = "PILOT_ENABLE_IP_AUTOALLOCATE",
        hide = true,
        default_value = "true"
    )]
    ip_autoallocate: String,
}

/// What is done or left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Switches {
    /// Gateways select proxies of their own namespace only. Default false.
    pub(crate) scoped_gateways: bool,
    /// The addresses that ServiceEntries are given are written into their status. Default true.
    pub(crate) allocates: bool,
}

impl SwitchArgs {
    /// Reads them.
    pub(super) fn read(self) -> Result<Switches, String> {
        let Self {
            scope_gateways,
            ip_autoallocate,
        } = self;
        Ok(Switches {
            scoped_gateways: switch("PILOT_SCOPE_GATEWAY_TO_NAMESPACE", &scope_gateways)?,
            allocates: switch("PILOT_ENABLE_IP_AUTOALLOCATE", &ip_autoallocate)?,
        })
    }
}
