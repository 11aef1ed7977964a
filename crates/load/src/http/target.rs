//! The site's URL, and the requests' head that follows from it.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

/// The root of a site, over plain HTTP. Displays as it was given, without a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    host: String,
    port: u16,
    authority: String,
    path_prefix: String,
}

impl Target {
    /// The first address of the host. Asks the resolver, so it may block; to be called once, before a run.
    pub(crate) fn resolve(&self) -> io::Result<SocketAddr> {
        let mut addresses = (self.host.as_str(), self.port).to_socket_addrs()?;
        addresses.next().ok_or_else(|| io::Error::other(format!("{} has no address", self.host)))
    }

    /// The start of a request, up to and with the `Host` header's line. `path` starts with a slash.
    pub(crate) fn head(&self, method: &str, path: &str) -> String {
        format!("{method} {}{path} HTTP/1.1\r\nHost: {}\r\n", self.path_prefix, self.authority)
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A `Uri` takes any UTF-8 in a path; a request's first line does not.
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("expected a URL in plain ASCII, percent-encoded where it must be".to_owned());
        }
        let uri: http::Uri = text.parse().map_err(|error| format!("not a URL: {error}"))?;
        if uri.scheme_str() != Some("http") {
            return Err("expected a URL that starts with http://".to_owned());
        }
        let authority = uri.authority().ok_or("expected a host")?;
        if authority.as_str().contains('@') || uri.query().is_some() {
            return Err("expected a URL without user and query".to_owned());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err("expected a host".to_owned());
        }
        let port_text = authority.as_str().len() > authority.host().len();
        let port = match authority.port_u16() {
            Some(port) => port,
            None if port_text => return Err("expected a port from 0 to 65535".to_owned()),
            None => 80,
        };
        Ok(Self {
            host: host.to_owned(),
            port,
            authority: authority.as_str().to_owned(),
            path_prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "http://{}{}", self.authority, self.path_prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_url_becomes_its_address_and_its_head() {
        let target: Target = "http://[::1]:8080/shop/".parse().unwrap();
        assert_eq!(target.resolve().unwrap(), "[::1]:8080".parse().unwrap());
        assert_eq!(target.head("POST", "/x"), "POST /shop/x HTTP/1.1\r\nHost: [::1]:8080\r\n");
        assert_eq!(target.to_string(), "http://[::1]:8080/shop");
        assert_eq!("http://127.0.0.1".parse::<Target>().unwrap().resolve().unwrap().port(), 80);
    }

    #[test]
    fn what_it_cannot_speak_to_is_refused() {
        for text in [
            "",
            "127.0.0.1:80",
            "https://a",
            "http://",
            "http://a:b@c",
            "http://a?b",
            "http://a/ü",
            "http://a/ b",
            "http://a:99999",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_or_breaks_the_head(text in "(http://)?.*") {
            if let Ok(target) = text.parse::<Target>() {
                prop_assert_eq!(target.head("POST", "/x").matches("\r\n").count(), 2);
                prop_assert!(target.head("POST", "/x").is_ascii());
            }
        }
    }
}
