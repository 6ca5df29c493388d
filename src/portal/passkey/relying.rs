//! Who passkeys are made for: the relying party (WebAuthn §4), which is the portal as browsers reach it.

use std::fmt;

use webauthn_rs::prelude::Url;
use webauthn_rs::{Webauthn, WebauthnBuilder};

/// Why there are no passkeys at a portal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Off {
    /// Browsers know passkeys over HTTPS alone, and at localhost.
    Plain,
    /// A passkey is for a name; an address is none (WebAuthn §5.1.2).
    Address,
}

impl Off {
    /// For whoever reads a check of the configuration.
    #[must_use]
    pub fn why(self) -> &'static str {
        match self {
            Off::Plain => "public-url is no https:// (http:// will do at localhost alone)",
            Off::Address => "public-url names an address, and passkeys are for names",
        }
    }
}

impl fmt::Display for Off {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.why())
    }
}

/// The relying party at `public_url` (scheme, host and port): its identifier is the host, its only origin the whole.
pub fn relying(public_url: &str) -> Result<Webauthn, Off> {
    let origin = Url::parse(public_url).map_err(|_| Off::Address)?;
    let host = origin.domain().ok_or(Off::Address)?;
    let local = host == "localhost" || host.ends_with(".localhost");
    if origin.scheme() != "https" && !(origin.scheme() == "http" && local) {
        return Err(Off::Plain);
    }
    WebauthnBuilder::new(host, &origin).and_then(WebauthnBuilder::build).map_err(|_| Off::Address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passkeys_are_for_names_reached_by_https_and_for_localhost() {
        for fine in [
            "https://mfa.example.com",
            "https://mfa.example.com:8443",
            "http://localhost:8443",
            "https://localhost",
            "http://mfa.localhost:80",
        ] {
            let party = relying(fine).unwrap();
            assert_eq!(party.get_allowed_origins().len(), 1, "{fine}");
        }
        let off = |url| relying(url).err();
        assert_eq!(off("http://mfa.example.com"), Some(Off::Plain));
        assert_eq!(off("http://localhost.example.com"), Some(Off::Plain));
        for address in ["https://192.0.2.1", "http://127.0.0.1:8443", "https://[2001:db8::1]:443"] {
            assert_eq!(off(address), Some(Off::Address), "{address}");
        }
        assert!(off("").is_some() && off("mfa.example.com").is_some());
    }
}
