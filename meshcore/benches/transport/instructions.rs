//! Instructions, counted by callgrind: this program runs itself in it, for each row with two lengths.

use std::process::Command;
use std::time::Duration;

use meshcore::mesh::Handled;
use meshcore::types::LinkId;
use meshcore::wire::frame::{FrameType, HEADER_LEN, TrafficClass};

use crate::chain::{Chain, node, station};
use crate::document;

const TABLE_BEGIN: &str = "<!-- instructions: written by make bench-instructions -->";
const TABLE_END: &str = "<!-- end of instructions -->";

/// What is counted, how the table calls it, bytes or frames of one unit, and how many units.
const ROWS: [(&str, &str, u64, u64); 4] = [
    ("bulk-1500", "a packet of 1,408 bytes, both ends", 1408, 8192),
    ("bulk-9000", "a packet of 8,908 bytes, both ends", 8908, 4096),
    ("small", "a write of 100 bytes, both ends", 100, 65_536),
    ("relay", "a frame of 1,500 bytes that a relay passes on", 1, 65_536),
];

/// Instructions that this program takes for so much of a row.
fn count(row: &str, total: u64) -> Option<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().ok()?)
        .args(["count", row, &total.to_string()])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    text.lines().find_map(|line| line.split("Collected :").nth(1)?.trim().parse().ok())
}

/// Counts all rows and writes them into the document. The slope between two lengths counts: handshake and start do not.
pub(crate) fn count_all() {
    let mut table = "| | instructions |\n|---|---:|\n".to_owned();
    for (row, name, unit, units) in ROWS {
        let total = unit * units;
        let (Some(one), Some(two)) = (count(row, total), count(row, 2 * total)) else {
            return eprintln!("{row}: not counted, valgrind does not run; the table stays as it is");
        };
        table += &format!("| {name} | {} |\n", two.saturating_sub(one) / units);
    }
    print!("{table}");
    document::write(TABLE_BEGIN, TABLE_END, &table);
}

/// Has the one in the middle of three pass on frames.
pub(crate) fn pass_on(frames: u64) {
    const PAYLOAD: usize = 1500 - HEADER_LEN;
    let mut chain = Chain::new();
    chain.run(Duration::from_secs(3));
    let header =
        chain.meshes[0].unicast_header(node(3), FrameType::Stream, TrafficClass::Bulk, PAYLOAD as u16);
    let frame = [&header[..], &[7; PAYLOAD]].concat();
    let mut buffer = frame.clone();
    for _ in 0..frames {
        // The hop limit is another afterwards.
        buffer[..HEADER_LEN].copy_from_slice(&frame[..HEADER_LEN]);
        let handled = chain.meshes[1].handle_frame(chain.now, LinkId(1), station(0), &mut buffer);
        assert!(matches!(handled, Ok(Handled::Forward { .. })));
    }
}
