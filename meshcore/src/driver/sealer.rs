//! Sealing and opening envelopes on a thread of its own: operations with the private key take milliseconds, in which the engine
//! would send nothing.

use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use tokio::sync::mpsc::UnboundedSender;

use super::engine::Answer;
use crate::message::Job;
use crate::message::identity::IdentityKey;

/// A job, and the identity record that it needs.
type Work = (Job, Option<Vec<u8>>);

/// The thread, once there was something to do. The messenger bounds how much waits for it, and puts what this node says itself in front.
#[derive(Debug)]
pub(super) struct Sealer {
    key: Arc<IdentityKey>,
    answers: UnboundedSender<Answer>,
    work: Option<mpsc::Sender<Work>>,
    thread: Option<JoinHandle<()>>,
}

impl Sealer {
    pub(super) fn new(key: Arc<IdentityKey>, answers: UnboundedSender<Answer>) -> Self {
        Self { key, answers, work: None, thread: None }
    }

    /// Does a job; outcomes come in the order of the jobs.
    pub(super) fn submit(&mut self, job: Job, record: Option<Vec<u8>>) {
        if self.work.is_none() {
            self.start();
        }
        if self.work.as_ref().is_none_or(|work| work.send((job, record)).is_err()) {
            tracing::error!("envelopes can be neither sealed nor opened: there is no thread for it");
        }
    }

    fn start(&mut self) {
        let (work, queue) = mpsc::channel::<Work>();
        let (key, answers) = (Arc::clone(&self.key), self.answers.clone());
        let body = move || {
            let mut rng = rand::rng();
            while let Ok((job, record)) = queue.recv() {
                let outcome = job.run(&key, record.as_deref(), &mut rng);
                if answers.send(Answer::Job(outcome)).is_err() {
                    return;
                }
            }
        };
        match thread::Builder::new().name("meshchat-seal".into()).spawn(body) {
            Ok(thread) => (self.work, self.thread) = (Some(work), Some(thread)),
            Err(error) => tracing::error!(%error, "no thread can be started"),
        }
    }
}

impl Drop for Sealer {
    fn drop(&mut self) {
        self.work = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
