//! Calls that wait in the core, driven by the thread of the event loop.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};

use meshcore::Error;
use parking_lot::Mutex;

use crate::answers::{Answer, Answers, Value};

type Call = Pin<Box<dyn Future<Output = Result<Value, Error>> + Send>>;

/// A call that waits. Being woken, by whatever thread, puts it into the queue of answers; whoever takes those drives it on.
pub(crate) struct Task {
    token: u64,
    call: Mutex<Option<Call>>,
    /// Weak, for the queue may hold the task.
    answers: Weak<Answers>,
}

/// Starts a call; it is answered under the number `token`.
pub(crate) fn ask(
    answers: &Arc<Answers>,
    token: u64,
    call: impl Future<Output = Result<Value, Error>> + Send + 'static,
) {
    let call = Mutex::new(Some(Box::pin(call) as Call));
    let task = Arc::new(Task { token, call, answers: Arc::downgrade(answers) });
    if let Some(answer) = task.run() {
        answers.push(answer);
    }
}

impl Task {
    /// Drives the call on; its answer, if that is there now.
    pub(crate) fn run(self: &Arc<Self>) -> Option<Answer> {
        let mut slot = self.call.lock();
        let call = slot.as_mut()?;
        let waker = Waker::from(Arc::clone(self));
        match call.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(result) => {
                *slot = None;
                Some((self.token, result))
            }
            Poll::Pending => None,
        }
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        if let Some(answers) = self.answers.upgrade() {
            answers.push_task(self);
        }
    }
}
