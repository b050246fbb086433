//! Answers that are on their way.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use super::Error;

/// An answer of the engine: `.await` it, or [`Pending::wait`] for it on a thread that may block. What was asked for
/// happens also when the answer is dropped.
#[must_use = "the answer says whether the call succeeded"]
#[derive(Debug)]
pub struct Pending<T> {
    answer: oneshot::Receiver<Result<T, Error>>,
}

impl<T> Pending<T> {
    /// The answer, and the function that gives it.
    pub(crate) fn new() -> (impl FnOnce(Result<T, Error>) + Send, Self)
    where
        T: Send,
    {
        let (sender, answer) = oneshot::channel();
        // Whoever asked may have lost interest.
        let resolve = move |result| drop(sender.send(result));
        (resolve, Self { answer })
    }

    /// Blocks until the answer is there. Inside a tokio runtime use `.await` instead: this panics there.
    pub fn wait(self) -> Result<T, Error> {
        self.answer.blocking_recv().unwrap_or_else(|_| Err(Error::stopped()))
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = Pin::new(&mut self.answer).poll(cx);
        answer.map(|received| received.unwrap_or_else(|_| Err(Error::stopped())))
    }
}
