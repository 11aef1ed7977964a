//! A TCP port of 127.0.0.1 that stays one service's own, also while the service is down.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use anyhow::Context as _;

/// Below the range from which Linux takes ports for outgoing connections, so that none sits on a port of a service that
/// is about to start again.
const FIRST: u16 = 10_000;
const COUNT: u16 = 20_000;

/// A leased port, given back when dropped.
///
/// The lease is the UDP socket of the same number: no service here speaks UDP, two processes cannot both hold it, and it
/// ends with the process.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    _lease: UdpSocket,
}

impl Port {
    /// Leases a port that nobody listens on.
    pub(crate) fn lease() -> anyhow::Result<Self> {
        // Two processes begin at different places and so seldom try the same.
        let start = std::process::id().wrapping_mul(97) % u32::from(COUNT);
        (0..COUNT)
            .map(|step| FIRST + (u16::try_from(start).expect("below COUNT") + step) % COUNT)
            .find_map(|number| Self::lease_exactly(number).ok())
            .context("no free port on 127.0.0.1")
    }

    /// Leases the port of this number, if nobody has or listens on it.
    pub(crate) fn lease_exactly(number: u16) -> anyhow::Result<Self> {
        let taken = || format!("port {number} of 127.0.0.1 is taken");
        let lease = UdpSocket::bind((Ipv4Addr::LOCALHOST, number)).with_context(taken)?;
        // Dropped at once: it only shows that the port is free.
        drop(TcpListener::bind((Ipv4Addr::LOCALHOST, number)).with_context(taken)?);
        Ok(Self { number, _lease: lease })
    }

    /// The number.
    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    /// With 127.0.0.1.
    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}

#[cfg(test)]
mod tests {
    use super::Port;

    #[test]
    fn a_leased_port_is_nobody_elses_until_it_is_given_back() {
        let port = Port::lease().unwrap();
        let number = port.number();
        assert_ne!(Port::lease().unwrap().number(), number);
        assert!(Port::lease_exactly(number).is_err());
        drop(port);
        assert_eq!(Port::lease_exactly(number).unwrap().number(), number);
    }
}
