//! Three nodes in a row, without any stack above their meshes.

use std::time::Duration;

use meshcore::mesh::{Config, Identity, LinkInfo, Mesh, MeshEvent, Signatures};
use meshcore::types::{Address, Instant, LinkAddr, LinkId};

/// Accepts everything: signatures are not what is measured.
#[derive(Debug)]
struct Unsigned;

impl Signatures for Unsigned {
    fn sign(&self, _: &[u8]) -> [u8; 64] {
        [0; 64]
    }

    fn verify(&self, _: &[u8; 32], _: &[u8], _: &[u8; 64]) -> bool {
        true
    }
}

pub(crate) fn node(number: u8) -> Address {
    Address([number; 16])
}

pub(crate) fn station(number: u8) -> LinkAddr {
    LinkAddr::new(&[number]).expect("a short address")
}

/// Nodes 1, 2 and 3 in a row: 1 and 2 share link 1, 2 and 3 share link 2.
pub(crate) struct Chain {
    pub(crate) now: Instant,
    pub(crate) meshes: Vec<Mesh>,
}

impl Chain {
    pub(crate) fn new() -> Self {
        let now = Instant::from_micros(1_000_000);
        let mesh = |number: u8| {
            let mut mesh =
                Mesh::new(Config::default(), node(number), number.into(), Box::new(Unsigned), [number; 32]);
            let record = [number; 100].into();
            mesh.set_own_identity(now, Identity { number: 1, subkey: [number; 32], record });
            mesh
        };
        let mut chain = Self { now, meshes: (1..=3).map(mesh).collect() };
        for (index, link) in [(0, 1), (1, 1), (1, 2), (2, 2)] {
            chain.meshes[index].add_link(now, LinkId(link), LinkInfo::new(1500, true));
        }
        chain
    }

    /// Carries every control frame to whoever shares its link.
    fn exchange(&mut self) {
        for from in 0..3 {
            let mut frame = Vec::new();
            while let Some(event) = self.meshes[from].poll_event() {
                if let MeshEvent::IdentityReceived { node, record } = event {
                    let identity = Identity { number: 1, subkey: [record[0]; 32], record: record.into() };
                    self.meshes[from].identity_known(self.now, node, identity);
                }
            }
            while let Some((link, _)) = self.meshes[from].poll_transmit(self.now, &mut frame) {
                let other = if link == LinkId(1) { 1 - from.min(1) } else { 3 - from };
                let mut copy = std::mem::take(&mut frame);
                let _ = self.meshes[other].handle_frame(self.now, link, station(from as u8), &mut copy);
            }
        }
    }

    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += Duration::from_millis(1);
            self.meshes.iter_mut().for_each(|mesh| mesh.handle_timeout(self.now));
            self.exchange();
        }
    }
}
