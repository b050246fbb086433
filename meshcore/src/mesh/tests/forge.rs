//! Keys, identities and frames that a test makes itself, and a neighbour that says what it is told to say.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::sim::{Sim, ms};
use crate::mesh::{DropReason, Identity, Signatures};
use crate::types::{Address, LinkAddr, LinkId};
use crate::wire::frame::{FrameHeader, FrameType, ONE_HOP, TrafficClass};
use crate::wire::hello::{Heard, Hello};
use crate::wire::update::{Advert, Seqno, Update};

pub(super) fn address(index: usize) -> Address {
    let mut bytes = [0x11; 16];
    bytes[..8].copy_from_slice(&(index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    Address(bytes)
}

pub(super) fn station(number: usize) -> LinkAddr {
    LinkAddr::new(&(number as u64).to_be_bytes()).unwrap()
}

/// Signatures that anybody could forge who knows how; nobody in the tests does unless it is told to.
#[derive(Debug)]
pub(super) struct Keys(pub(super) [u8; 32]);

impl Signatures for Keys {
    fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&Sha256::digest([&self.0, message].concat()));
        signature
    }

    fn verify(&self, subkey: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
        Keys(*subkey).sign(message) == *signature
    }
}

pub(super) fn subkey(node: Address) -> [u8; 32] {
    Sha256::digest(node.as_bytes()).into()
}

pub(super) fn signature(node: Address, seqno: Seqno) -> [u8; 64] {
    Keys(subkey(node)).sign(&seqno.signed_message(node))
}

/// The record says whose it is and its number.
pub(super) fn identity(node: Address, number: u64) -> Identity {
    let record: Arc<[u8]> = [&number.to_be_bytes()[..], node.as_bytes(), &[1; 900]].concat().into();
    Identity { number, subkey: subkey(node), record }
}

pub(super) fn frame(kind: FrameType, source: Address, destination: Address, payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader { kind, hop_limit: ONE_HOP, class: TrafficClass::Control, source, destination };
    let mut frame = header.emit(payload.len() as u16).to_vec();
    frame.extend(payload);
    frame
}

/// What `host` is told about itself: that its latest hello on the link was heard.
pub(super) fn heard(sim: &Sim, host: usize, link: u32) -> Heard {
    let mesh = &sim.hosts[host].mesh;
    let seqno = mesh.links[&LinkId(link)].seqno;
    Heard { node: address(host), seqno, rxcost: 256, instance: mesh.instance as u32 }
}

/// A group hello.
pub(super) fn hello(source: Address, instance: u64, interval: u16, heard: &[Heard]) -> Vec<u8> {
    let mut payload = Vec::new();
    let hello = Hello { seqno: 1, interval, instance, version: 0, total: heard.len() as u16 };
    hello.emit(heard.iter().copied(), &mut payload);
    frame(FrameType::Hello, source, Address::EVERYONE, &payload)
}

/// What a node says of a destination.
pub(super) fn advert(destination: usize, seqno: Seqno, metric: u16) -> Advert {
    let destination = address(destination);
    let signature = signature(destination, seqno);
    Advert { destination, seqno, metric, mtu: 1400, hops: u8::from(metric > 0), signature }
}

pub(super) fn seqno(record: u64, count: u32) -> Seqno {
    Seqno { record, count }
}

pub(super) fn update_frame(source: Address, update: Update, adverts: &[Advert]) -> Vec<u8> {
    let mut payload = Vec::new();
    update.emit(&mut payload);
    adverts.iter().for_each(|advert| advert.emit(&mut payload));
    frame(FrameType::Update, source, Address::EVERYONE, &payload)
}

/// A neighbour of host 0 on segment 0 that the test plays.
pub(super) struct Puppet {
    pub(super) node: usize,
    pub(super) instance: u64,
    pub(super) seqno: u16,
    /// Version that its hellos tell.
    pub(super) version: u64,
}

impl Puppet {
    /// Joins, verified, with a table that holds itself alone, as version 1.
    pub(super) fn join(sim: &mut Sim, node: usize) -> Self {
        let mut puppet = Self { node, instance: 1000 + node as u64, seqno: 0, version: 0 };
        puppet.hello(sim);
        puppet.update(sim, 0, 1, &[advert(node, seqno(1, 0), 0)]).unwrap();
        let now = sim.now;
        sim.hosts[0].mesh.identity_known(now, address(node), identity(address(node), 1));
        sim.drain(0);
        puppet.update(sim, 0, 1, &[advert(node, seqno(1, 0), 0)]).unwrap();
        assert!(sim.reaches(0, node));
        puppet
    }

    pub(super) fn hello(&mut self, sim: &mut Sim) {
        self.seqno = self.seqno.wrapping_add(1);
        let Self { seqno, instance, version, .. } = *self;
        let mut payload = Vec::new();
        let hello = Hello { seqno, interval: 400, instance, version, total: 1 };
        hello.emit([heard(sim, 0, 0)], &mut payload);
        self.say(sim, FrameType::Hello, Address::EVERYONE, &payload).unwrap();
    }

    pub(super) fn say(
        &self,
        sim: &mut Sim,
        kind: FrameType,
        to: Address,
        payload: &[u8],
    ) -> Result<(), DropReason> {
        sim.give(0, 0, self.node, &frame(kind, address(self.node), to, payload))
    }

    pub(super) fn update(
        &mut self,
        sim: &mut Sim,
        from: u64,
        to: u64,
        adverts: &[Advert],
    ) -> Result<(), DropReason> {
        self.version = self.version.max(to);
        let update = Update { instance: self.instance, floor: 0, from, to };
        sim.give(0, 0, self.node, &update_frame(address(self.node), update, adverts))
    }

    /// Hellos go on for so long.
    pub(super) fn stay(&mut self, sim: &mut Sim, seconds: u64) {
        for _ in 0..seconds {
            self.hello(sim);
            sim.run(ms(1000));
        }
    }
}
