//! TLS with a certificate of the hub's own, which its clients are given beforehand.

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::io;
use std::sync::Arc;

/// The name in every hub's certificate; addresses change, this does not.
pub const SERVER_NAME: &str = "tidegate-hub";

/// A hub's certificate and private key, in PEM.
#[derive(Clone)]
pub struct Identity {
    /// The certificate: given to everybody who is to trust this hub.
    pub certificate: String,
    /// The private key: the hub's alone.
    pub key: String,
}

impl Identity {
    /// Makes a new one.
    pub fn generate() -> io::Result<Self> {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed([SERVER_NAME.to_owned()]).map_err(io::Error::other)?;
        Ok(Self { certificate: cert.pem(), key: signing_key.serialize_pem() })
    }

    /// Returns what a server needs.
    pub(super) fn server_config(&self) -> io::Result<Arc<ServerConfig>> {
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).map_err(io::Error::other)?;
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate(&self.certificate)?], key)
            .map_err(io::Error::other)?;
        Ok(Arc::new(config))
    }
}

/// Returns what a client needs that trusts this one certificate (PEM) and no other.
pub fn client_config(pem: &str) -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate(pem)?).map_err(io::Error::other)?;
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn certificate(pem: &str) -> io::Result<CertificateDer<'static>> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(io::Error::other)
}
