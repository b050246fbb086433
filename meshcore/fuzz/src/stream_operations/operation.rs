//! What can be done, and how bytes stand for it.

use std::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};
use meshcore::stream::{Config, MIN_MTU};

use crate::wire::{Link, Tampering};

/// Something that one end does, or that happens to the wire.
#[derive(Debug, Clone)]
pub(crate) enum Operation {
    Open,
    /// With one of the streams that the end knows of.
    Stream(u8, Act),
    Datagram(usize),
    ReadDatagrams,
    Ping,
    Close,
    Wait(Duration),
    Tamper(usize, Tampering),
    Link(Link),
    /// The wire carries packets of another size. This end knows at once, the other not yet.
    Mtu(usize),
    /// Another route of another length, as this end hears.
    PathChange(Duration),
}

/// Something that an application does with a stream. `true`: without a copy.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    Write(usize, bool),
    Finish,
    Reset,
    Stop,
    Read(usize, bool),
    Priority(u8),
}

impl<'a> Arbitrary<'a> for Operation {
    fn arbitrary(input: &mut Unstructured<'a>) -> Result<Self> {
        Ok(match input.int_in_range(0..=31)? {
            0..=2 => Self::Open,
            3..=19 => Self::Stream(input.arbitrary()?, input.arbitrary()?),
            20 => Self::Datagram(usize::from(input.arbitrary::<u16>()?) % 1500),
            21 => Self::ReadDatagrams,
            22 => Self::Ping,
            23 if input.ratio(1, 4)? => Self::Close,
            23..=26 => Self::Wait(Duration::from_micros(u64::from(input.arbitrary::<u16>()?) * 5)),
            27 | 28 => Self::Tamper(input.arbitrary::<u8>()?.into(), tampering(input)?),
            29 => Self::Link(link(input, 40)?),
            30 => Self::Mtu(input.int_in_range(MIN_MTU..=3000)?),
            _ => Self::PathChange(Duration::from_micros(input.int_in_range(0..=40_000)?)),
        })
    }
}

impl<'a> Arbitrary<'a> for Act {
    fn arbitrary(input: &mut Unstructured<'a>) -> Result<Self> {
        let len = |input: &mut Unstructured<'a>| Ok(usize::from(input.arbitrary::<u16>()?) % 20_000);
        Ok(match input.int_in_range(0..=16)? {
            0..=5 => Self::Write(len(input)?, input.arbitrary()?),
            6 | 7 => Self::Finish,
            8 => Self::Reset,
            9 => Self::Stop,
            10..=15 => Self::Read(len(input)?, input.arbitrary()?),
            _ => Self::Priority(input.int_in_range(0..=9)?),
        })
    }
}

fn tampering(input: &mut Unstructured<'_>) -> Result<Tampering> {
    Ok(match input.int_in_range(0..=4)? {
        0 => Tampering::Lose,
        1 => Tampering::Duplicate,
        2 => Tampering::Delay(Duration::from_micros(input.arbitrary::<u16>()?.into())),
        3 => Tampering::Truncate(input.arbitrary::<u8>()?.into()),
        _ => Tampering::Flip(input.arbitrary::<u16>()?.into()),
    })
}

pub(crate) fn link(input: &mut Unstructured<'_>, worst_loss: u32) -> Result<Link> {
    Ok(Link {
        loss: input.int_in_range(0..=worst_loss)?,
        duplication: input.int_in_range(0..=30)?,
        corruption: input.int_in_range(0..=20)?,
        delay: Duration::from_micros(input.int_in_range(0..=20_000)?),
        jitter: Duration::from_micros(input.int_in_range(0..=20_000)?),
    })
}

/// Limits of one end, small enough to be met.
pub(crate) fn config(input: &mut Unstructured<'_>) -> Result<Config> {
    let stream_window = 1 << input.int_in_range(4..=15)?;
    let connection_window = 1 << input.int_in_range(4..=15)?;
    let send_buffer = 1 << input.int_in_range(3..=15)?;
    let growth = input.int_in_range(0..=2)?;
    Ok(Config {
        stream_window,
        max_stream_window: stream_window << growth,
        connection_window,
        max_connection_window: connection_window << growth,
        window_budget: input.arbitrary::<u16>()?.into(),
        send_buffer,
        max_send_buffer: send_buffer << growth,
        max_streams: input.int_in_range(1..=8)?,
        datagram_buffer: *input.choose(&[0, 2000, 1 << 20])?,
        keep_alive: *input.choose(&[None, Some(Duration::from_secs(1))])?,
        key_update_packets: 1 << input.int_in_range(0..=6)?,
        idle_timeout: Duration::ZERO,
        handshake_timeout: super::world::HOUR,
        ..Config::default()
    })
}
