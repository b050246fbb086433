//! Flow control windows (RFC 9000 §4), of one stream or of the whole connection.

use crate::wire::varint;

/// What this side lets the peer send.
#[derive(Debug)]
pub(super) struct ReceiveWindow {
    size: u64,
    consumed: u64,
    limit: u64,
}

impl ReceiveWindow {
    pub(super) fn new(size: u64) -> Self {
        Self { size, consumed: 0, limit: size }
    }

    /// The limit that the peer was told or is about to be told.
    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// The application took `len` bytes. Returns whether the peer should be told of a higher limit: that is when half
    /// of the window is used up.
    pub(super) fn consume(&mut self, len: u64) -> bool {
        self.consumed += len;
        let wanted = (self.consumed + self.size).min(varint::MAX);
        let update = wanted - self.limit >= self.size.div_ceil(2);
        if update {
            self.limit = wanted;
        }
        update
    }
}

/// What the peer lets this side send.
#[derive(Debug, Default)]
pub(super) struct SendWindow {
    limit: u64,
    used: u64,
    /// The limit that the peer was told to be too low.
    told: Option<u64>,
}

impl SendWindow {
    /// The peer's limits never shrink (RFC 9000 §4.1). Returns whether it grew.
    pub(super) fn raise(&mut self, limit: u64) -> bool {
        let grows = limit > self.limit;
        self.limit = self.limit.max(limit);
        grows
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    pub(super) fn left(&self) -> u64 {
        self.limit - self.used
    }

    pub(super) fn consume(&mut self, len: u64) {
        self.used = self.limit.min(self.used + len);
    }

    /// The limit to complain about, once for each.
    pub(super) fn complaint(&mut self) -> Option<u64> {
        (self.told != Some(self.limit)).then(|| {
            self.told = Some(self.limit);
            self.limit
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_come_at_half_of_the_window() {
        let mut window = ReceiveWindow::new(100);
        assert!(!window.consume(49));
        assert_eq!(window.limit(), 100);
        assert!(window.consume(1));
        assert_eq!(window.limit(), 150);
        assert!(!window.consume(49) && window.consume(60));
        assert_eq!(window.limit(), 259);
    }

    #[test]
    fn limits_never_shrink() {
        let mut window = SendWindow::default();
        assert_eq!(window.complaint(), Some(0));
        assert_eq!(window.complaint(), None);
        assert!(window.raise(10) && !window.raise(5));
        window.consume(4);
        assert_eq!((window.left(), window.limit()), (6, 10));
        assert_eq!(window.complaint(), Some(10));
    }
}
