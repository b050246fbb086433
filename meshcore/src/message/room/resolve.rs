//! The room that somebody means.

use crate::types::{RoomInfo, RoomStanding};

/// Fewer digits of an id are taken for a name only.
const MIN_PREFIX: usize = 5;

/// Why a text means no room.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveRoomError {
    /// No room has this name or id.
    #[error("no room '{query}' is known; list the rooms to see their names and ids")]
    Unknown {
        /// What was asked for.
        query: String,
    },
    /// Several have.
    #[error("'{query}' fits several rooms; give one of their ids: {ids}")]
    Ambiguous {
        /// What was asked for.
        query: String,
        /// The ids of those that it fits.
        ids: String,
    },
}

/// The room that an id, a unique prefix of one, or a name means. Rooms that are over count only when no other one fits.
pub fn resolve(rooms: impl Iterator<Item = RoomInfo>, query: &str) -> Result<RoomInfo, ResolveRoomError> {
    let lower = query.to_ascii_lowercase();
    let is_prefix = lower.len() >= MIN_PREFIX && lower.bytes().all(|digit| digit.is_ascii_hexdigit());
    let fits = |room: &RoomInfo| {
        room.name.as_str() == query || (is_prefix && room.id.to_string().starts_with(&lower))
    };
    let (live, over): (Vec<_>, Vec<_>) = rooms.filter(fits).partition(|room| {
        matches!(room.standing, RoomStanding::Invited | RoomStanding::Joining | RoomStanding::Member)
    });
    let mut fitting = if live.is_empty() { over } else { live };
    let query = query.to_owned();
    match fitting.len() {
        0 => Err(ResolveRoomError::Unknown { query }),
        1 => Ok(fitting.remove(0)),
        _ => {
            let ids = fitting.iter().map(|room| room.id.to_string()).collect::<Vec<_>>().join(", ");
            Err(ResolveRoomError::Ambiguous { query, ids })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{NodeId, RoomId};

    fn room(byte: u8, name: &str, standing: RoomStanding) -> RoomInfo {
        RoomInfo {
            id: RoomId([byte; 16]),
            name: name.parse().unwrap(),
            owner: NodeId([1; 32]),
            standing,
            members: vec![],
            invited: vec![],
            version: 1,
        }
    }

    #[test]
    fn rooms_are_found_by_name_and_id() {
        let rooms = [
            room(0xaa, "hikers", RoomStanding::Member),
            room(0xab, "hikers", RoomStanding::Closed),
            room(0xba, "cooks", RoomStanding::Invited),
            room(0xbb, "cooks", RoomStanding::Member),
            room(0xcc, "bbbbb", RoomStanding::Left),
        ];
        let found = |query: &str| resolve(rooms.iter().cloned(), query).map(|room| room.id.0[0]);
        assert_eq!(found("hikers"), Ok(0xaa));
        assert_eq!(found("ABABAB"), Ok(0xab));
        assert_eq!(found(&"ba".repeat(16)), Ok(0xba));
        assert_eq!(found("bbbbb"), Ok(0xbb), "a room that is over gives way");
        assert!(
            matches!(found("cooks"), Err(ResolveRoomError::Ambiguous { ids, .. }) if ids.contains("bababa"))
        );
        for unknown in ["", "aaaa", "hiker"] {
            assert!(matches!(found(unknown), Err(ResolveRoomError::Unknown { .. })), "{unknown}");
        }
    }
}
