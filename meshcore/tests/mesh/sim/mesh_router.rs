//! The mesh under test, as the simulator drives it: what `meshcore::node` does, with identities that cost nothing.

use std::sync::Arc;

use meshcore::mesh::{Config, Handled, Identity, LinkInfo, Mesh, MeshEvent, Signatures, Sizes};
use meshcore::types::{Address, Destination, Instant, LinkAddr, LinkId};
use meshcore::wire::frame::{DEFAULT_HOP_LIMIT, FrameHeader, FrameType, TrafficClass};

use super::router::{Acquaintance, Birth, Notice, Received, Router};
use super::signatures::{Certificate, Signer, Subkey};

/// As the documentation of [`Sizes`] states them.
const BOUNDS: Sizes = Sizes {
    neighbours: 2048,
    destinations: 4096,
    routes: 4096 * 64,
    identities: 8192,
    pending: 128 * 64,
    feasibility: 8192,
    requests: 1024,
    queued: 1024,
};

impl Signatures for Signer {
    fn sign(&self, message: &[u8]) -> [u8; 64] {
        Self::sign(self, message)
    }

    fn verify(&self, subkey: &Subkey, message: &[u8], signature: &[u8; 64]) -> bool {
        Self::verify(self, subkey, message, signature)
    }
}

fn identity(certificate: &Certificate) -> Identity {
    Identity {
        number: certificate.number,
        subkey: certificate.subkey,
        record: Arc::clone(&certificate.record),
    }
}

/// A mesh with what the layer above it knows.
#[derive(Debug)]
pub(crate) struct Node {
    pub mesh: Mesh,
    own: Certificate,
}

impl Node {
    /// Answers what the mesh asks of the layer above.
    fn answer(&mut self, now: Instant, event: &MeshEvent, known: &mut Acquaintance<'_>) {
        match event {
            MeshEvent::IdentityWanted { node, number } => {
                if let Some(recalled) = known.recall(*node).filter(|recalled| recalled.number >= *number) {
                    self.mesh.identity_known(now, *node, identity(&recalled));
                }
            }
            MeshEvent::IdentityReceived { node, record } => match known.verify(*node, record) {
                Some(read) if *node == self.own.address && read.number > self.own.number => {
                    // The clock or the disk has forgotten a life.
                    self.own = known.registry.issue(*node, read.number + 1);
                    known.disk.number = Some(self.own.number);
                    self.mesh.set_own_identity(now, identity(&self.own));
                }
                Some(read) => self.mesh.identity_known(now, *node, identity(&read)),
                None => self.mesh.identity_refused(now, *node),
            },
            _ => {}
        }
    }
}

impl Router for Node {
    fn start(now: Instant, birth: Birth) -> Self {
        let Birth { identity: own, instance, seed, work } = birth;
        let signer = Box::new(Signer { subkey: own.subkey, work });
        let mut mesh = Mesh::new(Config::default(), own.address, instance, signer, seed);
        mesh.set_own_identity(now, identity(&own));
        Self { mesh, own }
    }

    fn add_link(&mut self, now: Instant, link: LinkId, mtu: usize, wired: bool) {
        self.mesh.add_link(now, link, LinkInfo::new(mtu, wired));
    }

    fn remove_link(&mut self, now: Instant, link: LinkId) {
        self.mesh.remove_link(now, link);
    }

    fn handle_frame<'a>(
        &mut self,
        now: Instant,
        link: LinkId,
        from: LinkAddr,
        frame: &'a mut [u8],
    ) -> Received<'a> {
        match self.mesh.handle_frame(now, link, from, frame) {
            Ok(Handled::Deliver(delivery)) => {
                Received::Deliver { source: delivery.source, payload: delivery.payload }
            }
            Ok(Handled::Forward { hop, frame }) => Received::Forward { link: hop.link, to: hop.to, frame },
            Ok(Handled::Done) | Err(_) => Received::Taken,
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.mesh.handle_timeout(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.mesh.poll_timeout()
    }

    fn poll_notice(&mut self, now: Instant, known: &mut Acquaintance<'_>) -> Option<Notice> {
        let event = self.mesh.poll_event()?;
        self.answer(now, &event, known);
        Some(match event {
            MeshEvent::Reachable { node }
            | MeshEvent::Unreachable { node }
            | MeshEvent::RouteChanged { node }
            | MeshEvent::Restarted { node } => Notice::Route(node),
            MeshEvent::AddressConflict => Notice::Conflict,
            MeshEvent::Echo { from, arrived, .. } => Notice::Echo { from, arrived },
            _ => Notice::Other,
        })
    }

    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<(LinkId, Destination)> {
        self.mesh.poll_transmit(now, out)
    }

    fn next_hop(&self, destination: Address) -> Option<(LinkId, Address)> {
        self.mesh.route(destination).map(|route| (route.link, route.next_hop))
    }

    fn own_frame(
        &mut self,
        now: Instant,
        destination: Address,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<(LinkId, LinkAddr)> {
        let hop = self.mesh.next_hop(now, destination)?;
        let length = payload.len() as u16;
        out.extend(self.mesh.unicast_header(destination, FrameType::Stream, TrafficClass::Bulk, length));
        out.extend(payload);
        Some((hop.link, hop.to))
    }

    fn stray_frame(source: Address, destination: Address) -> Vec<u8> {
        let (kind, class) = (FrameType::Stream, TrafficClass::Bulk);
        let header = FrameHeader { kind, hop_limit: DEFAULT_HOP_LIMIT, class, source, destination };
        header.emit(0).to_vec()
    }

    fn is_for(frame: &[u8], destination: Address) -> bool {
        FrameHeader::parse(frame).is_ok_and(|(header, _)| header.destination == destination)
    }

    fn confirm_path(&mut self, _now: Instant, node: Address) {
        self.mesh.confirm_path(node);
    }

    fn leave(&mut self, now: Instant) {
        self.mesh.leave(now);
    }

    fn excess(&self) -> Option<String> {
        let sizes = self.mesh.sizes();
        let within = sizes.neighbours <= BOUNDS.neighbours
            && sizes.destinations <= BOUNDS.destinations
            && sizes.routes <= BOUNDS.routes
            && sizes.identities <= BOUNDS.identities
            && sizes.pending <= BOUNDS.pending
            && sizes.feasibility <= BOUNDS.feasibility
            && sizes.requests <= BOUNDS.requests
            && sizes.queued <= BOUNDS.queued;
        (!within).then(|| format!("{sizes:?}"))
    }
}
