//! Which of the engine's inputs have news.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;

/// Inputs of the engine that tell when they have news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    Commands,
    Answers,
    Handles,
    Links,
}

impl Input {
    const ALL: [Self; 4] = [Self::Commands, Self::Answers, Self::Handles, Self::Links];

    fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// Gives every input a waker of its own, so that a turn of the engine asks those alone that have something, and the others are
/// not asked in vain: with small frames that takes longer than all else that the engine does.
#[derive(Debug)]
pub(super) struct Signals {
    wakers: [Waker; Input::ALL.len()],
    shared: Arc<Shared>,
    /// Inputs that are to be asked: they were woken, or had something when they were asked last.
    due: u32,
}

#[derive(Debug)]
struct Shared {
    woken: AtomicU32,
    engine: Mutex<Option<Waker>>,
}

struct InputWaker {
    input: Input,
    shared: Arc<Shared>,
}

impl Wake for InputWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Who finds others awake need not wake the engine once more.
        if self.shared.woken.fetch_or(self.input.bit(), Ordering::AcqRel) == 0 {
            let engine = self.shared.engine.lock().take();
            engine.into_iter().for_each(Waker::wake);
        }
    }
}

impl Signals {
    pub(super) fn new() -> Self {
        let shared = Arc::new(Shared { woken: AtomicU32::new(0), engine: Mutex::new(None) });
        let waker = |input| Waker::from(Arc::new(InputWaker { input, shared: Arc::clone(&shared) }));
        let wakers = Input::ALL.map(waker);
        Self { wakers, shared, due: Input::ALL.into_iter().map(Input::bit).sum() }
    }

    /// Begins a turn: from here on news wake the engine again.
    pub(super) fn begin(&mut self, cx: &Context<'_>) {
        let mut engine = self.shared.engine.lock();
        if !engine.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *engine = Some(cx.waker().clone());
        }
        drop(engine);
        self.due |= self.shared.woken.swap(0, Ordering::AcqRel);
    }

    /// Has an input asked that may have something to say about what was done to it.
    pub(super) fn raise(&mut self, input: Input) {
        self.due |= input.bit();
    }

    /// Asks an input if it is due.
    pub(super) fn ask<T>(&mut self, input: Input, poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        if self.due & input.bit() == 0 {
            return Poll::Pending;
        }
        let answer = poll(&mut Context::from_waker(&self.wakers[input as usize]));
        if answer.is_pending() {
            self.due &= !input.bit();
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_asked_when_they_have_news_and_until_they_have_none() {
        let mut signals = Signals::new();
        let asked = |signals: &mut Signals, answer: Poll<()>| {
            signals.begin(&Context::from_waker(Waker::noop()));
            let mut wakers = Vec::new();
            for input in Input::ALL {
                let _ = signals.ask(input, |cx| {
                    wakers.push((input, cx.waker().clone()));
                    answer
                });
            }
            wakers
        };
        assert_eq!(asked(&mut signals, Poll::Ready(())).len(), Input::ALL.len());
        let wakers = asked(&mut signals, Poll::Pending);
        assert_eq!(wakers.len(), Input::ALL.len());
        assert!(asked(&mut signals, Poll::Pending).is_empty());
        for (input, waker) in wakers {
            waker.wake_by_ref();
            waker.wake();
            let only = asked(&mut signals, Poll::Pending);
            assert!(only.len() == 1 && only[0].0 == input);
        }
        signals.raise(Input::Links);
        assert_eq!(asked(&mut signals, Poll::Pending).len(), 1);
    }

    #[test]
    fn the_first_news_of_a_turn_wakes_the_engine() {
        struct Count(AtomicU32);
        impl Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let count = Arc::new(Count(AtomicU32::new(0)));
        let engine = Waker::from(Arc::clone(&count));
        let mut signals = Signals::new();
        for turn in 1..4 {
            signals.begin(&Context::from_waker(&engine));
            signals.wakers.iter().for_each(Waker::wake_by_ref);
            assert_eq!(count.0.load(Ordering::Relaxed), turn);
        }
    }
}
