//! The manager's address.

use super::ConnectOptions;

impl ConnectOptions {
    /// Sets the manager's host name or IP address. The default is `localhost`.
    ///
    /// See the example of [`ConnectOptions`].
    #[must_use]
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.host = host.into();
        self
    }

    /// Sets the manager's address: `HOST`, `HOST:PORT` or `[IPv6]:PORT`. Without a port, the port
    /// stays as it is. Returns `None` if the address has another form.
    ///
    /// ```
    /// # use labwire_device::ConnectOptions;
    /// let options = ConnectOptions::new().manager("lab-pc:8326").expect("it has this form");
    /// assert_eq!(options.address(), "lab-pc:8326");
    /// assert!(ConnectOptions::new().manager("lab-pc:many").is_none());
    /// ```
    #[must_use]
    pub fn manager(self, address: &str) -> Option<Self> {
        let (host, port) = split_address(address)?;
        let options = self.host(host);
        Some(match port {
            Some(port) => options.port(port),
            None => options,
        })
    }

    /// Sets the manager's port. The default is 1875.
    ///
    /// ```
    /// # use labwire_device::ConnectOptions;
    /// assert_eq!(ConnectOptions::new().port(8326).address(), "localhost:8326");
    /// ```
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Returns the manager's address, as `HOST:PORT`.
    ///
    /// ```
    /// # use labwire_device::ConnectOptions;
    /// assert_eq!(ConnectOptions::new().host("::1").address(), "[::1]:1875");
    /// ```
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Returns the manager's host and port.
    ///
    /// ```
    /// # use labwire_device::ConnectOptions;
    /// assert_eq!(ConnectOptions::new().host_and_port(), ("localhost", 1875));
    /// ```
    pub fn host_and_port(&self) -> (&str, u16) {
        (&self.host, self.port)
    }
}

/// Splits an address into the host, and the port if there is one.
fn split_address(address: &str) -> Option<(&str, Option<u16>)> {
    // A URL, or what was typed by mistake.
    let is_host = |character: char| {
        !character.is_whitespace() && !character.is_control() && !"/\\@?#\"'".contains(character)
    };
    if address.is_empty() || !address.chars().all(is_host) {
        return None;
    }
    if let Some(rest) = address.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        if !is_ipv6(host) {
            return None;
        }
        return match rest {
            "" => Some((host, None)),
            rest => Some((host, Some(rest.strip_prefix(':')?.parse().ok()?))),
        };
    }
    match address.split_once(':') {
        None => Some((address, None)),
        // More than one colon is an IPv6 address without brackets, and without a port.
        Some((_, rest)) if rest.contains(':') => is_ipv6(address).then_some((address, None)),
        Some((host, port)) if !host.is_empty() => Some((host, Some(port.parse().ok()?))),
        Some(_) => None,
    }
}

/// Whether a text is an IPv6 address, perhaps with a zone as in `fe80::1%eth0`.
fn is_ipv6(text: &str) -> bool {
    let address = text.split_once('%').map_or(text, |(address, _)| address);
    address.parse::<std::net::Ipv6Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_perhaps_with_a_port() {
        for (address, expected) in [
            ("lab-pc", Some("lab-pc:1875")),
            ("lab-pc:8326", Some("lab-pc:8326")),
            ("192.0.2.1:1", Some("192.0.2.1:1")),
            ("::1", Some("[::1]:1875")),
            ("[::1]:7", Some("[::1]:7")),
            ("fe80::1%eth0", Some("[fe80::1%eth0]:1875")),
            ("http://lab-pc:1875", None),
            ("http://lab-pc", None),
            ("lab-pc:1875/", None),
            ("lab pc", None),
            ("ada@lab-pc", None),
            ("a:b:c", None),
            ("[lab-pc]:1", None),
            ("lab-pc:", None),
            ("", None),
        ] {
            let options = ConnectOptions::new().manager(address);
            assert_eq!(
                options.map(|options| options.address()).as_deref(),
                expected,
                "{address}"
            );
        }
    }
}
