//! A peer that proves its identity as it should, and then says whatever it is told to: an implementation of the transport
//! beside the one under test, for a wire that loses nothing.

use std::sync::Arc;

use meshcore::types::Address;
use meshcore::wire::packet::{Header, Kind, expand_number};
use meshcore::wire::reader::Reader;
use meshcore::wire::segment::{Segment, emit_ack};
use meshcore::wire::varint;
use rustls::client::AlwaysResolvesClientRawPublicKeys;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::quic::{ClientConnection, KeyChange, Keys, Version};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

/// Payload of one packet, at the most.
const PIECE: usize = 1000;

/// A packet number space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Space {
    Initial,
    Handshake,
    Data,
}

#[derive(Default)]
struct State {
    keys: Option<Keys>,
    next_number: u64,
    /// Largest number received, and whether that is to be acknowledged.
    largest: Option<u64>,
    owes_ack: bool,
    crypto_sent: u64,
    crypto_received: u64,
}

/// The client's side of a connection.
pub(crate) struct Rogue {
    session: ClientConnection,
    spaces: [State; 3],
    level: Space,
    /// Chosen here; chosen by the server.
    local: u64,
    remote: u64,
    /// Packets to send.
    pub(crate) outgoing: Vec<Vec<u8>>,
}

impl Rogue {
    /// A client with this key, which announces these transport parameters beside its connection id.
    pub(crate) fn new(key: &[u8], params: &[(u64, u64)]) -> Self {
        let (local, original) = (7, 77);
        let session = ClientConnection::new(
            Arc::new(config(key)),
            Version::V1,
            ServerName::try_from("rogue.invalid").expect("a name"),
            emit_params(local, params),
        )
        .expect("a session");
        let mut spaces: [State; 3] = Default::default();
        let suite = cipher_suite::TLS13_AES_128_GCM_SHA256.tls13().and_then(|suite| suite.quic_suite());
        let suite = suite.expect("a suite for QUIC");
        spaces[0].keys = Some(suite.keys(&u64::to_be_bytes(original), rustls::Side::Client, Version::V1));
        let mut rogue =
            Self { session, spaces, level: Space::Initial, local, remote: original, outgoing: Vec::new() };
        rogue.write_handshake();
        rogue
    }

    /// Protects a payload and queues the packet; without keys for it nothing happens.
    pub(crate) fn send(&mut self, space: Space, mut plain: Vec<u8>) {
        let source = self.local;
        let kind = match space {
            Space::Initial => Kind::Initial { source, token: None },
            Space::Handshake => Kind::Handshake { source },
            Space::Data => Kind::Data { phase: false },
        };
        let state = &mut self.spaces[space as usize];
        let Some(keys) = &state.keys else { return };
        let number = state.next_number;
        state.next_number += 1;
        let mut packet = Vec::new();
        Header { kind, destination: self.remote, number: number as u32 }.emit(&mut packet);
        let Ok(tag) = keys.local.packet.encrypt_in_place(number, &packet, &mut plain) else { return };
        packet.extend(plain);
        packet.extend_from_slice(tag.as_ref());
        self.outgoing.push(packet);
    }

    /// The number of the last packet received in a space.
    pub(crate) fn largest(&self, space: Space) -> u64 {
        self.spaces[space as usize].largest.unwrap_or(0)
    }

    /// Takes a packet of the server: of it, what the handshake needs.
    pub(crate) fn handle_packet(&mut self, packet: &mut [u8]) {
        let Ok((header, body)) = Header::parse(packet) else { return };
        let space = match header.kind {
            Kind::Initial { source, .. } => {
                self.remote = source;
                Space::Initial
            }
            Kind::Handshake { .. } => Space::Handshake,
            Kind::Data { .. } => Space::Data,
        };
        let state = &mut self.spaces[space as usize];
        let number = expand_number(header.number, state.largest.map_or(0, |largest| largest + 1));
        let Some(keys) = &state.keys else { return };
        let (head, body) = packet.split_at_mut(body);
        // After a key update this peer is deaf.
        let Ok(plain) = keys.remote.packet.decrypt_in_place(number, head, body) else { return };
        state.largest = state.largest.max(Some(number));
        let plain = plain.to_vec();
        let mut reader = Reader::new(&plain);
        while !reader.is_empty() {
            let segment = Segment::parse(&mut reader).expect("the server's segments are well formed");
            self.spaces[space as usize].owes_ack |= segment.is_ack_eliciting();
            if let Segment::Crypto { offset, data } = segment {
                self.on_crypto(space, offset, data);
            }
        }
    }

    fn on_crypto(&mut self, space: Space, offset: u64, data: &[u8]) {
        let state = &mut self.spaces[space as usize];
        // Nothing is lost on this wire; what comes again is old.
        let end = offset + data.len() as u64;
        if offset > state.crypto_received || end <= state.crypto_received {
            return;
        }
        let new = &data[(state.crypto_received - offset) as usize..];
        state.crypto_received = end;
        if self.session.read_hs(new).is_ok() {
            self.write_handshake();
        }
    }

    fn write_handshake(&mut self) {
        loop {
            let mut data = Vec::new();
            let change = self.session.write_hs(&mut data);
            let is_over = data.is_empty() && change.is_none();
            self.send_crypto(&data);
            match change {
                Some(KeyChange::Handshake { keys }) => self.advance(Space::Handshake, keys),
                Some(KeyChange::OneRtt { keys, .. }) => self.advance(Space::Data, keys),
                None if is_over => return,
                None => {}
            }
        }
    }

    fn advance(&mut self, space: Space, keys: Keys) {
        self.level = space;
        self.spaces[space as usize].keys = Some(keys);
    }

    fn send_crypto(&mut self, data: &[u8]) {
        for data in data.chunks(PIECE) {
            let offset = self.spaces[self.level as usize].crypto_sent;
            self.spaces[self.level as usize].crypto_sent += data.len() as u64;
            let mut plain = Vec::new();
            Segment::Crypto { offset, data }.emit(&mut plain);
            self.send(self.level, plain);
        }
    }

    /// Acknowledges whatever the server may have sent so far, as an honest client on this wire would.
    pub(crate) fn acknowledge(&mut self) {
        for space in [Space::Initial, Space::Handshake, Space::Data] {
            let state = &mut self.spaces[space as usize];
            if let (true, Some(largest)) = (std::mem::take(&mut state.owes_ack), state.largest) {
                let mut plain = Vec::new();
                emit_ack(0, [largest..=largest].into_iter(), PIECE, &mut plain);
                self.send(space, plain);
            }
        }
    }
}

fn emit_params(local: u64, params: &[(u64, u64)]) -> Vec<u8> {
    const INITIAL_SOURCE: u64 = 0x0f;
    let mut out = Vec::new();
    let mut emit = |id, value: &[u8]| {
        varint::emit(id, &mut out);
        varint::emit(value.len() as u64, &mut out);
        out.extend_from_slice(value);
    };
    emit(INITIAL_SOURCE, &local.to_be_bytes());
    for (id, value) in params {
        let mut bytes = Vec::new();
        varint::emit(*value, &mut bytes);
        emit(*id, &bytes);
    }
    out
}

fn config(key: &[u8]) -> ClientConfig {
    let provider = Arc::new(CryptoProvider {
        kx_groups: vec![kx_group::X25519MLKEM768],
        ..aws_lc_rs::default_provider()
    });
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key));
    let key = aws_lc_rs::sign::RsaSigningKey::new(&der).expect("a test key");
    let spki = key.public_key().expect("a public key").to_vec();
    let key = Arc::new(CertifiedKey::new(vec![CertificateDer::from(spki)], Arc::new(key)));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(key)));
    config.alpn_protocols = vec![b"alexstream/2 application".to_vec()];
    config.enable_sni = false;
    config
}

/// Takes any server.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _key: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 alone".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(
            message,
            &SubjectPublicKeyInfoDer::from(key.as_ref()),
            signature,
            &algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// Its address, which its key proves.
pub(crate) fn address(key: &[u8]) -> Address {
    meshcore::stream::Credentials::from_pkcs8(key).expect("a test key").node_id().address()
}
