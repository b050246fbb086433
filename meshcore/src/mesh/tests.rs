//! The mesh piece by piece, and small meshes under a seeded simulation.

mod discovery;
mod forge;
mod forward;
mod hostile;
mod largest;
mod lives;
mod look;
mod requests;
mod routes;
mod sim;
mod stations;
mod steps;

use super::MeshEvent;

fn is_restarted(event: &MeshEvent) -> bool {
    matches!(event, MeshEvent::Restarted { .. })
}

fn is_unreachable(event: &MeshEvent) -> bool {
    matches!(event, MeshEvent::Unreachable { .. })
}

fn is_record(event: &MeshEvent) -> bool {
    matches!(event, MeshEvent::IdentityReceived { .. })
}
