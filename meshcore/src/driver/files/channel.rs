//! A stream as one exchange uses it: records in, records out.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use bytes::Bytes;

use crate::driver::Stream;
use crate::file::{FileRecord, Reader};

/// Bytes that are taken from the stream at a time.
const READ: usize = 64 * 1024;

/// Why an exchange is over before its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// The stream or its connection is gone.
    #[error(transparent)]
    Stream(#[from] io::Error),
    /// The peer has ended its direction.
    #[error("the peer has ended the exchange")]
    Ended,
    /// The peer broke the rules.
    #[error(transparent)]
    Violation(#[from] crate::file::Violation),
    /// The peer does not answer.
    #[error("the peer does not answer")]
    Silent,
    /// The peer sends nothing of the file, while others wait to send theirs.
    #[error("nothing of the file has come for a while, and others wait for their turn")]
    Stalled,
    /// Another exchange about the same file has begun.
    #[error("another exchange about this file has begun")]
    Replaced,
    /// The node stops.
    #[error("the node stops")]
    Stopping,
    /// The disk refuses.
    #[error("{0}")]
    Disk(String),
}

/// What comes first.
pub(super) enum Turn {
    /// A record has come.
    Came(FileRecord),
    /// What was to be written is written.
    Written,
}

#[derive(Debug)]
pub(super) struct Channel {
    stream: Stream,
    reader: Reader,
}

impl Channel {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, reader: Reader::default() }
    }

    /// Among the streams of its connection this one has time: what others say about their files goes first.
    pub(super) fn yield_to_others(&self) {
        self.stream.set_priority(7);
    }

    /// Sends a record; waits while there is no room.
    pub(super) async fn send(&mut self, record: FileRecord) -> Result<(), Broken> {
        Ok(self.stream.write_chunk(record.emit()).await?)
    }

    /// The next record. Nothing is lost when the future is dropped.
    pub(super) async fn recv(&mut self) -> Result<FileRecord, Broken> {
        match self.turn(None).await? {
            Turn::Came(record) => Ok(record),
            Turn::Written => Err(Broken::Ended),
        }
    }

    /// Writes `chunk`, if any, or gives the next record, whatever is possible first. Nothing is lost or written when the
    /// future is dropped.
    pub(super) async fn turn(&mut self, chunk: Option<&Bytes>) -> Result<Turn, Broken> {
        poll_fn(|cx| {
            loop {
                if let Some(record) = self.reader.next_record()? {
                    return Poll::Ready(Ok(Turn::Came(record)));
                }
                match self.stream.poll_read_chunk(cx, READ) {
                    Poll::Ready(Ok(data)) if data.is_empty() => return Poll::Ready(Err(Broken::Ended)),
                    Poll::Ready(Ok(data)) => self.reader.push(&data),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                    Poll::Pending => break,
                }
            }
            let Some(chunk) = chunk else { return Poll::Pending };
            self.stream.poll_write_chunk(cx, chunk).map(|written| Ok(written.map(|()| Turn::Written)?))
        })
        .await
    }
}
