//! What was counted on the way.

/// Of one node.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Frames of the protocol itself.
    pub control_frames: u64,
    /// Their bytes with an Ethernet header each.
    pub control_bytes: u64,
    /// Probe frames, own ones and forwarded ones.
    pub data_frames: u64,
}

/// Of all flows.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) struct Delivery {
    /// Probe frames of nodes whose destination had a path.
    pub sent: u64,
    /// Of these, those that arrived.
    pub arrived: u64,
    /// Of these, how many would have arrived by the best way.
    pub possible: f64,
    /// Probe frames that had no path to go, and were not counted as sent.
    pub hopeless: u64,
}

impl Delivery {
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            sent: self.sent - earlier.sent,
            arrived: self.arrived - earlier.arrived,
            possible: self.possible - earlier.possible,
            hopeless: self.hopeless - earlier.hopeless,
        }
    }

    /// Share of frames that arrived.
    pub(crate) fn ratio(&self) -> f64 {
        if self.sent == 0 { 1.0 } else { self.arrived as f64 / self.sent as f64 }
    }

    /// Share of frames that would have arrived by the best way.
    pub(crate) fn best_ratio(&self) -> f64 {
        if self.sent == 0 { 1.0 } else { self.possible / self.sent as f64 }
    }
}
