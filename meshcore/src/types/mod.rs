//! Leaf types: names, addresses and times. They import nothing of this crate.

mod id;
mod link;
mod nickname;
mod status;
mod time;

pub use id::{Address, MessageId, NodeId, ParseIdError};
pub use link::{Destination, LinkAddr, LinkId};
pub use nickname::{Nickname, NicknameError};
pub use status::Status;
pub use time::{Instant, UnixTime};
