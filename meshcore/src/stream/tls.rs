//! TLS 1.3 with RSA raw public keys (RFC 7250) on both sides, through rustls.
//!
//! Who a peer is rests on this file alone: the verifiers accept nothing but an RSA key whose hash is the expected id.

use std::sync::Arc;
use std::time::Duration;

use rsa::RsaPublicKey;
use rsa::pkcs8::DecodePublicKey;
use rsa::traits::PublicKeyParts;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::quic::{Connection, Keys, Version};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::time_provider::TimeProvider;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, PeerMisbehaved,
    ServerConfig, SignatureAlgorithm, SignatureScheme,
};

use super::error::{CloseReason, CredentialsError};
use super::{Purpose, Side};
use crate::types::{Address, NodeId};

impl Purpose {
    const ALL: [Self; 3] = [Self::Node, Self::Application, Self::Files];

    /// The name of the application protocol (RFC 7301), with the version of the whole transport.
    fn alpn(self) -> Vec<u8> {
        match self {
            Self::Node => b"alexstream/2".to_vec(),
            Self::Application => b"alexstream/2 application".to_vec(),
            Self::Files => b"alexstream/2 files".to_vec(),
        }
    }
}

/// Accepted RSA moduli in bits.
const KEY_BITS: std::ops::RangeInclusive<u32> = 2048..=4096;

const SCHEMES: [SignatureScheme; 3] =
    [SignatureScheme::RSA_PSS_SHA256, SignatureScheme::RSA_PSS_SHA384, SignatureScheme::RSA_PSS_SHA512];

/// The RSA key with which this node proves its id in handshakes.
#[derive(Debug, Clone)]
pub struct Credentials {
    key: Arc<CertifiedKey>,
    node_id: NodeId,
}

impl Credentials {
    /// Takes an RSA private key in PKCS#8 DER form.
    pub fn from_pkcs8(private_key_der: &[u8]) -> Result<Self, CredentialsError> {
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(private_key_der));
        let key = aws_lc_rs::sign::RsaSigningKey::new(&der).map_err(CredentialsError::Malformed)?;
        let spki = key.public_key().ok_or(CredentialsError::Unsuitable)?.to_vec();
        let node_id = node_id_of(&spki).ok_or(CredentialsError::Unsuitable)?;
        debug_assert_eq!(key.algorithm(), SignatureAlgorithm::RSA);
        let key = Arc::new(CertifiedKey::new(vec![CertificateDer::from(spki)], Arc::new(key)));
        Ok(Self { key, node_id })
    }

    /// The id that the key certifies.
    pub fn node_id(&self) -> NodeId {
        self.node_id
    }
}

/// The id of a DER SubjectPublicKeyInfo, if that is an RSA key of an accepted size.
fn node_id_of(spki: &[u8]) -> Option<NodeId> {
    let key = RsaPublicKey::from_public_key_der(spki).ok()?;
    KEY_BITS.contains(&key.n().bits()).then(|| NodeId::of_public_key(spki))
}

/// Raw public keys know no validity and tickets are off, so TLS needs no clock; this one keeps it from asking the system.
#[derive(Debug)]
struct NoClock;

impl TimeProvider for NoClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::ZERO))
    }
}

/// Makes TLS sessions for one endpoint.
#[derive(Debug)]
pub(super) struct Tls {
    provider: Arc<CryptoProvider>,
    credentials: Credentials,
}

impl Tls {
    pub(super) fn new(credentials: Credentials) -> Self {
        let provider = CryptoProvider {
            cipher_suites: vec![
                cipher_suite::TLS13_AES_256_GCM_SHA384,
                cipher_suite::TLS13_AES_128_GCM_SHA256,
                cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            ],
            // The hybrid alone: without a choice there is no downgrade to a session that a quantum computer opens.
            kx_groups: vec![kx_group::X25519MLKEM768],
            ..aws_lc_rs::default_provider()
        };
        Self { provider: Arc::new(provider), credentials }
    }

    pub(super) fn node_id(&self) -> NodeId {
        self.credentials.node_id
    }

    fn verifier(&self, expected: Expected) -> Arc<Verifier> {
        Arc::new(Verifier { expected, algorithms: self.provider.signature_verification_algorithms })
    }

    /// A client's session that will accept `peer` and nobody else.
    pub(super) fn connect(
        &self,
        peer: NodeId,
        purpose: Purpose,
        params: Vec<u8>,
    ) -> Result<Connection, Error> {
        let mut config = ClientConfig::builder_with_details(Arc::clone(&self.provider), Arc::new(NoClock))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(self.verifier(Expected::Node(peer)))
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(Arc::clone(
                &self.credentials.key,
            ))));
        config.alpn_protocols = vec![purpose.alpn()];
        // A resumed session would bypass the verifier.
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        // The name is required by the interface; it is neither sent nor checked.
        let name = ServerName::try_from("alexstream.invalid").map_err(|_| Error::General("name".into()))?;
        let session = rustls::quic::ClientConnection::new(Arc::new(config), Version::V1, name, params)?;
        Ok(Connection::Client(session))
    }

    /// A server's session that will accept a client whose key fits the address.
    pub(super) fn accept(&self, source: Address, params: Vec<u8>) -> Result<Connection, Error> {
        let mut config = ServerConfig::builder_with_details(Arc::clone(&self.provider), Arc::new(NoClock))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(self.verifier(Expected::Address(source)))
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(Arc::clone(
                &self.credentials.key,
            ))));
        config.alpn_protocols = Purpose::ALL.map(Purpose::alpn).to_vec();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        let session = rustls::quic::ServerConnection::new(Arc::new(config), Version::V1, params)?;
        Ok(Connection::Server(session))
    }
}

/// Keys of Initial packets (RFC 9001 §5.2). Everybody who sees the connection id can derive them.
pub(super) fn initial_keys(original: u64, side: Side) -> Option<Keys> {
    let suite = cipher_suite::TLS13_AES_128_GCM_SHA256.tls13()?.quic_suite()?;
    let side = match side {
        Side::Client => rustls::Side::Client,
        Side::Server => rustls::Side::Server,
    };
    Some(suite.keys(&original.to_be_bytes(), side, Version::V1))
}

/// The id that the peer of a session has proved.
pub(super) fn proved_id(session: &Connection) -> Option<NodeId> {
    let certificates = match session {
        Connection::Client(session) => session.peer_certificates(),
        Connection::Server(session) => session.peer_certificates(),
    };
    certificates?.first().and_then(|spki| node_id_of(spki))
}

/// What the client of a session wants it for.
pub(super) fn purpose(session: &Connection) -> Option<Purpose> {
    let alpn = match session {
        Connection::Client(session) => session.alpn_protocol(),
        Connection::Server(session) => session.alpn_protocol(),
    };
    Purpose::ALL.into_iter().find(|purpose| alpn == Some(&purpose.alpn()))
}

/// What an error of TLS means for the connection.
pub(super) fn close_reason(error: Error) -> CloseReason {
    match error {
        Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure) => {
            CloseReason::PeerIdentity
        }
        error => CloseReason::Tls(error),
    }
}

#[derive(Debug, Clone, Copy)]
enum Expected {
    Node(NodeId),
    Address(Address),
}

/// Accepts the raw public key of one node.
#[derive(Debug)]
struct Verifier {
    expected: Expected,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    fn check_key(&self, key: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Result<(), Error> {
        if !others.is_empty() {
            return Err(CertificateError::BadEncoding.into());
        }
        let proved = node_id_of(key).ok_or(CertificateError::BadEncoding)?;
        let expected = match self.expected {
            Expected::Node(node) => proved == node,
            Expected::Address(address) => proved.address() == address,
        };
        // Nothing else returns this error: it becomes CloseReason::PeerIdentity.
        if expected { Ok(()) } else { Err(CertificateError::ApplicationVerificationFailure.into()) }
    }

    fn check_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if !SCHEMES.contains(&signature.scheme) {
            return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
        }
        let spki = SubjectPublicKeyInfoDer::from(key.as_ref());
        verify_tls13_signature_with_raw_key(message, &spki, signature, &self.algorithms)
    }
}

/// TLS 1.2 is not compiled in; its callbacks refuse all the same.
fn no_tls12() -> Result<HandshakeSignatureValid, Error> {
    Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into())
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check_key(end_entity, intermediates)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _key: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, key, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check_key(end_entity, intermediates)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _key: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, key, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsa::RsaPrivateKey;
    use rsa::pkcs8::{DecodePrivateKey, EncodePublicKey};

    const ALICE: &[u8] = include_bytes!("../../tests/keys/alice.der");

    #[test]
    fn the_id_is_the_hash_of_the_standard_public_key() {
        let key = RsaPrivateKey::from_pkcs8_der(ALICE).unwrap();
        let spki = key.to_public_key().to_public_key_der().unwrap();
        let credentials = Credentials::from_pkcs8(ALICE).unwrap();
        assert_eq!(credentials.node_id(), NodeId::of_public_key(spki.as_bytes()));
    }

    #[test]
    fn other_keys_are_refused() {
        assert!(matches!(Credentials::from_pkcs8(b"nonsense"), Err(CredentialsError::Malformed(_))));
        // An Ed25519 key in PKCS#8 (RFC 8410 §10.3), and its SPKI.
        let ed25519 = hex::decode(
            "302e020100300506032b657004220420d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842",
        );
        assert!(Credentials::from_pkcs8(&ed25519.unwrap()).is_err());
        let spki = hex::decode(
            "302a300506032b657003210019bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1",
        );
        assert_eq!(node_id_of(&spki.unwrap()), None);
    }
}
