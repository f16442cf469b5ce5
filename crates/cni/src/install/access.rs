//! The way to the API server for the plugin, which runs outside of any pod: a kubeconfig with this
//! pod's own token, written again when the token is replaced.

use super::args::Args;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

/// What the kubeconfig is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Credentials {
    server: String,
    token: String,
    authority: Vec<u8>,
}

impl Credentials {
    /// Reads what this pod was given.
    pub(super) fn read(args: &Args) -> Result<Self, String> {
        let file = |name: &str| {
            let path = args.account_dir.join(name);
            let read = std::fs::read(&path);
            read.map_err(|e| {
                format!(
                    "{}: {e}; mount the token of a ServiceAccount",
                    path.display()
                )
            })
        };
        let token = String::from_utf8(file("token")?);
        let token = token.map_err(|_| "the token of the ServiceAccount is no text".to_owned())?;
        Ok(Self {
            server: server(args)?,
            token: token.trim().to_owned(),
            authority: file("ca.crt")?,
        })
    }

    /// The text of the kubeconfig; JSON, which is YAML.
    pub(super) fn kubeconfig(&self) -> String {
        let authority = STANDARD.encode(&self.authority);
        let name = super::NAME;
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": name,
            "clusters": [{"name": name, "cluster": {
                "server": self.server, "certificate-authority-data": authority,
            }}],
            "users": [{"name": name, "user": {"token": self.token}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        });
        format!("{config}\n")
    }
}

fn server(args: &Args) -> Result<String, String> {
    if !args.api_server.is_empty() {
        return Ok(args.api_server.clone());
    }
    let variable = |name: &str| {
        let value = std::env::var(name).ok().filter(|value| !value.is_empty());
        value.ok_or_else(|| format!("{name} is not set; run in a pod, or give --api-server"))
    };
    let (host, port) = (
        variable("KUBERNETES_SERVICE_HOST")?,
        variable("KUBERNETES_SERVICE_PORT")?,
    );
    Ok(match host.contains(':') {
        true => format!("https://[{host}]:{port}"),
        false => format!("https://{host}:{port}"),
    })
}
