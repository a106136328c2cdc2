//! HTTP to object stores: one client, TLS with ring, and roots also where an image brings none.

use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// A connection has to stand within this time.
const DIAL: Duration = Duration::from_secs(10);
/// A store that says nothing for this long is given up for this time.
const SILENCE: Duration = Duration::from_secs(30);

/// Makes a client. It trusts Mozilla's roots, and those of the machine where it has some (`SSL_CERT_FILE`).
pub(super) fn client() -> io::Result<reqwest::Client> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .connect_timeout(DIAL)
        .read_timeout(SILENCE)
        // A signed URL is for this address and no other.
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(io::Error::other)
}

/// An error with what is behind it, and without the address: that of a signed URL is a key.
pub(super) fn said(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
