//! Addresses of static peers: literal at once, names in the background, again and again.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::lookup_host;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::spec::Peer;

/// How long the answer for a name is used, and how soon a failure is tried again.
const AGAIN: (Duration, Duration) = (Duration::from_secs(300), Duration::from_secs(5));

#[derive(Debug)]
pub(super) struct Resolver {
    literal: Vec<SocketAddr>,
    named: Vec<Named>,
}

#[derive(Debug)]
struct Named {
    address: Arc<Mutex<Option<SocketAddr>>>,
    task: JoinHandle<()>,
}

async fn resolve(peer: Peer, address: Arc<Mutex<Option<SocketAddr>>>) {
    loop {
        let again = match lookup_host((peer.host.as_str(), peer.port)).await {
            Ok(mut found) => {
                *address.lock() = found.next();
                AGAIN.0
            }
            Err(error) => {
                tracing::warn!(%error, %peer, "the name of a static peer cannot be resolved");
                AGAIN.1
            }
        };
        sleep(again).await;
    }
}

impl Resolver {
    pub(super) fn start(peers: &[Peer]) -> Self {
        let mut resolver = Self { literal: Vec::new(), named: Vec::new() };
        for peer in peers {
            if let Ok(ip) = peer.host.parse::<IpAddr>() {
                resolver.literal.push(SocketAddr::new(ip, peer.port));
            } else {
                let address = Arc::new(Mutex::new(None));
                let task = tokio::spawn(resolve(peer.clone(), Arc::clone(&address)));
                resolver.named.push(Named { address, task });
            }
        }
        resolver
    }

    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        let named = self.named.iter().filter_map(|named| *named.address.lock());
        self.literal.iter().copied().chain(named).collect()
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        for named in &self.named {
            named.task.abort();
        }
    }
}
