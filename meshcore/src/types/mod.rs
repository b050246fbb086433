//! Leaf types: names, addresses and times. They import nothing of this crate.

mod address_map;
mod bucket;
mod file;
mod id;
mod invisible;
mod link;
mod nickname;
mod room;
mod status;
mod time;
mod trust;
mod v1;

pub(crate) use address_map::{AddressMap, HashKey};
pub(crate) use bucket::TokenBucket;
pub use file::{FileInfo, FileReason, FileState};
pub use id::{Address, FileId, MessageId, NodeId, ParseIdError, RoomId};
pub(crate) use invisible::is_invisible;
pub use link::{Destination, LargerFrames, LinkAddr, LinkId};
pub use nickname::{Nickname, NicknameError};
pub use room::{RoomChange, RoomInfo, RoomStanding};
pub use status::Status;
pub use time::{Instant, Now, UnixTime};
pub use trust::Trust;
pub use v1::{ParseV1AddressError, V1Address};
