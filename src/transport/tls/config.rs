//! From material to what connections are made with.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::server::NoServerSessionStorage;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;

use crate::transport::tls::Identity;
use crate::transport::tls::Material;
use crate::transport::tls::Session;
use crate::transport::tls::TlsError;
use crate::transport::tls::provider::provider;
use crate::transport::tls::unverified::Unverified;

const AUTHORITIES: &str = "bundle of authorities";
const CERTIFICATE: &str = "certificate";
const KEY: &str = "key";

/// Makes sessions that verify a server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Connector(Arc<ClientConfig>);

/// Makes sessions that prove a server's identity. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Acceptor(Arc<ServerConfig>);

impl Connector {
    /// A connector that trusts the authorities of `material`, or those of the system. With `is_insecure`
    /// it trusts anybody.
    ///
    /// # Errors
    /// [`TlsError`]: what of the material cannot be used. A key that does not belong to its
    /// certificate is among that.
    pub fn new(material: &Material, is_insecure: bool) -> Result<Self, TlsError> {
        let provider = Arc::new(provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::unusable("TLS provider")(error.to_string()))?;
        let verified = if is_insecure {
            let anybody = Arc::new(Unverified::new(&provider));
            builder.dangerous().with_custom_certificate_verifier(anybody)
        } else {
            builder.with_root_certificates(roots(material.authorities.as_deref())?)
        };
        let mut config = match &material.identity {
            Some(identity) => {
                let (chain, key) = checked(identity, &provider)?;
                verified
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| TlsError::unusable(CERTIFICATE)(error.to_string()))?
            }
            None => verified.with_no_client_auth(),
        };
        // A resumed session does not look at the certificate again.
        config.resumption = Resumption::disabled();
        Ok(Self(Arc::new(config)))
    }

    /// A session with the server of that name or address.
    ///
    /// # Errors
    /// [`TlsError::ServerName`].
    pub fn start(&self, server_name: &str) -> Result<Session, TlsError> {
        let name = ServerName::try_from(server_name.to_owned())
            .map_err(|_| TlsError::ServerName(server_name.to_owned()))?;
        let connection = rustls::ClientConnection::new(self.0.clone(), name)
            .map_err(|error| TlsError::unusable("TLS session")(error.to_string()))?;
        Ok(Session::new(connection.into()))
    }
}

impl Acceptor {
    /// An acceptor with the identity of `material`. Where that names authorities, clients must have
    /// a certificate of theirs.
    ///
    /// # Errors
    /// As [`Connector::new`]; an identity is needed.
    pub fn new(material: &Material) -> Result<Self, TlsError> {
        let provider = Arc::new(provider());
        let Some(identity) = &material.identity else {
            return Err(TlsError::unusable(CERTIFICATE)("a server needs one".to_owned()));
        };
        let (chain, key) = checked(identity, &provider)?;
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::unusable("TLS provider")(error.to_string()))?;
        let builder = match &material.authorities {
            Some(bundle) => {
                let roots = Arc::new(roots(Some(bundle))?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider)
                    .build()
                    .map_err(|error| TlsError::unusable(AUTHORITIES)(error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
            None => builder.with_no_client_auth(),
        };
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|error| TlsError::unusable(CERTIFICATE)(error.to_string()))?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self(Arc::new(config)))
    }

    /// A session with a client that has just connected.
    ///
    /// # Errors
    /// [`TlsError::Unusable`].
    pub fn start(&self) -> Result<Session, TlsError> {
        let connection = rustls::ServerConnection::new(self.0.clone())
            .map_err(|error| TlsError::unusable("TLS session")(error.to_string()))?;
        Ok(Session::new(connection.into()))
    }
}

fn roots(bundle: Option<&[u8]>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    match bundle {
        Some(bundle) => {
            for authority in certificates(bundle, AUTHORITIES)? {
                roots
                    .add(authority)
                    .map_err(|error| TlsError::unusable(AUTHORITIES)(error.to_string()))?;
            }
        }
        None => {
            // Those that cannot be read are of no use; that there is none at all is what matters.
            let (_usable, _unusable) =
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(TlsError::NoSystemRoots);
            }
        }
    }
    Ok(roots)
}

fn certificates(pem: &[u8], what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| TlsError::unusable(what)(error.to_string()))?;
    if found.is_empty() {
        return Err(TlsError::unusable(what)("there is no certificate in it".to_owned()));
    }
    Ok(found)
}

/// The chain and its key, which belong together.
fn checked(
    identity: &Identity,
    provider: &CryptoProvider,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let chain = certificates(&identity.certificates, CERTIFICATE)?;
    // The error may not be repeated: it could hold a part of the file.
    let key = PrivateKeyDer::from_pem_slice(&identity.key).map_err(|_| {
        TlsError::unusable(KEY)("there is no PKCS#8, PKCS#1 or SEC1 key in it".to_owned())
    })?;
    CertifiedKey::from_der(chain.clone(), key.clone_key(), provider)
        .map_err(|error| TlsError::unusable(KEY)(error.to_string()))?;
    Ok((chain, key))
}
