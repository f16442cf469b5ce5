//! The addresses of the pod and where things listen.
//!
//! A pod has its ports to itself, so doors listen on every address and the admin interface on
//! loopback. `MELTEMI_LISTEN_ADDRESS` puts all of it on one address, for several agents on one
//! machine.

use crate::env::Env;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Names the address that everything listens on.
pub(crate) const LISTEN: &str = "MELTEMI_LISTEN_ADDRESS";

/// The addresses of the pod, the first one first.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    pub(crate) own: Vec<IpAddr>,
    listen: Option<IpAddr>,
}

impl Network {
    /// By `INSTANCE_IP`, else the address that packets leave from.
    pub(crate) fn of(env: &Env) -> Result<Self, String> {
        let address = |name: &str, text: &str| {
            let parsed = text.trim().parse::<IpAddr>();
            parsed.map_err(|_| format!("{name}={text:?}: use IP addresses"))
        };
        let listen = env.text(LISTEN).map(|text| address(LISTEN, text));
        let own = match env.text("INSTANCE_IP") {
            Some(list) => {
                let all = list.split(',').map(|text| address("INSTANCE_IP", text));
                all.collect::<Result<_, _>>()?
            }
            None => vec![leaving().ok_or(
                "INSTANCE_IP is not set and this machine has no address to be reached at; set it \
                 to the address of the pod (fieldRef status.podIP)",
            )?],
        };
        Ok(Self {
            own,
            listen: listen.transpose()?,
        })
    }

    /// True when the pod has addresses of IPv6 only.
    pub(crate) fn is_v6_only(&self) -> bool {
        self.own.iter().all(IpAddr::is_ipv6)
    }

    /// What Envoy and the agent reach each other at.
    pub(crate) fn local(&self) -> String {
        self.local_ip().to_string()
    }

    /// As [`Network::local`].
    pub(crate) fn local_ip(&self) -> IpAddr {
        match (self.listen, self.is_v6_only()) {
            (Some(address), _) => address,
            (None, true) => Ipv6Addr::LOCALHOST.into(),
            (None, false) => Ipv4Addr::LOCALHOST.into(),
        }
    }

    /// Where processes of the pod find what listens on loopback, in the families of `servers`.
    pub(crate) fn loopback(&self, servers: &[SocketAddr]) -> Vec<IpAddr> {
        if let Some(address) = self.listen {
            return vec![address];
        }
        let v4 = servers.iter().any(SocketAddr::is_ipv4);
        let v4 = v4.then_some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let v6 = servers.iter().any(SocketAddr::is_ipv6);
        let v6 = v6.then_some(IpAddr::V6(Ipv6Addr::LOCALHOST));
        let found: Vec<_> = v4.into_iter().chain(v6).collect();
        match found.is_empty() {
            true => vec![self.local_ip()],
            false => found,
        }
    }

    /// What Envoy's doors listen on.
    pub(crate) fn everywhere(&self) -> Vec<String> {
        if let Some(address) = self.listen {
            return vec![address.to_string()];
        }
        let v4 = self.own.iter().any(IpAddr::is_ipv4).then_some("0.0.0.0");
        let v6 = self.own.iter().any(IpAddr::is_ipv6).then_some("::");
        v4.into_iter().chain(v6).map(str::to_owned).collect()
    }

    /// What the agent's own door listens on: `::` takes both families.
    pub(crate) fn door(&self, port: u16) -> SocketAddr {
        let any_v6 = self.own.iter().any(IpAddr::is_ipv6);
        let address = match (self.listen, any_v6) {
            (Some(address), _) => address,
            (None, true) => Ipv6Addr::UNSPECIFIED.into(),
            (None, false) => Ipv4Addr::UNSPECIFIED.into(),
        };
        SocketAddr::new(address, port)
    }
}

/// The address that packets to elsewhere leave from; nothing is sent to learn it.
fn leaving() -> Option<IpAddr> {
    let v4 = ("0.0.0.0:0", "192.0.2.1:9");
    let v6 = ("[::]:0", "[2001:db8::1]:9");
    let found = [v4, v6].into_iter().find_map(|(from, to)| {
        let socket = UdpSocket::bind(from).ok()?;
        socket.connect(to).ok()?;
        Some(socket.local_addr().ok()?.ip())
    });
    found.filter(|address| !address.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doors_follow_the_families_of_the_pod() {
        let of = |text: &str| Network::of(&Env::from([("INSTANCE_IP", text)])).unwrap();
        assert_eq!(of("10.0.0.1").everywhere(), ["0.0.0.0"]);
        assert_eq!(of("10.0.0.1, fd00::1").everywhere(), ["0.0.0.0", "::"]);
        let v6 = of("fd00::1");
        assert!(v6.is_v6_only());
        assert_eq!(
            (v6.local(), v6.door(1).to_string()),
            ("::1".into(), "[::]:1".into())
        );
    }

    #[test]
    fn one_address_takes_everything() {
        let env = Env::from([("INSTANCE_IP", "127.0.1.9"), (LISTEN, "127.0.1.9")]);
        let network = Network::of(&env).unwrap();
        assert_eq!(network.everywhere(), ["127.0.1.9"]);
        assert_eq!(network.local(), "127.0.1.9");
        let wrong = Network::of(&Env::from([("INSTANCE_IP", "here")])).unwrap_err();
        assert_eq!(wrong, "INSTANCE_IP=\"here\": use IP addresses");
    }
}
