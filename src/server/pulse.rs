//! Whether every worker still gets round to its tasks, asked from another thread.
//!
//! Owns one question and one answer a worker: a task of its own on each, which runs only while it is asked.

use tokio::sync::{mpsc, oneshot};

use super::worker::Threads;

/// Asks the workers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pulse(Vec<mpsc::UnboundedSender<Question>>);

type Question = oneshot::Sender<()>;

/// A worker has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended;

impl Pulse {
    pub(super) fn new(workers: impl IntoIterator<Item = mpsc::UnboundedSender<Question>>) -> Self {
        Self(workers.into_iter().collect())
    }

    /// Waits until every worker has answered, for as long as one of them hangs.
    ///
    /// # Errors
    /// [`Ended`] if one of them is no more.
    pub async fn felt(&self) -> Result<(), Ended> {
        let ask = |worker: &mpsc::UnboundedSender<Question>| {
            let (answer, answered) = oneshot::channel();
            worker.send(answer).map(|()| answered).map_err(|_| Ended)
        };
        let answers: Vec<_> = self.0.iter().map(ask).collect::<Result<_, _>>()?;
        for answered in answers {
            answered.await.map_err(|_| Ended)?;
        }
        Ok(())
    }
}

impl Threads {
    /// Asks these workers how they are.
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }
}

/// Answers on a worker's own thread.
pub(super) async fn answer(mut questions: mpsc::UnboundedReceiver<Question>) {
    while let Some(question) = questions.recv().await {
        // Who asked may not want to know any more.
        let _ = question.send(());
    }
}
