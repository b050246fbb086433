//! How handles on other threads tell the engine that a stream has something for it.

use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use super::StreamKey;

/// Rung by the handles of streams, answered by the engine. Ringing wakes the engine once, however often it happens before
/// the engine has looked.
#[derive(Debug, Default)]
pub(super) struct Bell {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rung: Vec<StreamKey>,
    waker: Option<Waker>,
}

impl Bell {
    /// A stream wants the engine to look at it.
    pub(super) fn ring(&self, key: StreamKey) {
        let waker = {
            let mut state = self.state.lock();
            state.rung.push(key);
            state.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    /// Takes the streams that rang into `rung`, which must be empty.
    pub(super) fn poll(&self, cx: &mut Context<'_>, rung: &mut Vec<StreamKey>) -> Poll<()> {
        let mut state = self.state.lock();
        if state.rung.is_empty() {
            if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                state.waker = Some(cx.waker().clone());
            }
            return Poll::Pending;
        }
        std::mem::swap(&mut state.rung, rung);
        Poll::Ready(())
    }
}
