//! Questions that come while others are being answered are asked together: a statement about thirty players costs little
//! more than one about one, and each process of PostgreSQL can work on one only.

use std::sync::Arc;

use matchpurse_domain::ids::SourceName;
use matchpurse_domain::offers::Eligibility;
use matchpurse_store::offers::{self, Question};
use matchpurse_store::{Error, Store, chain};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::failure::{Failure, Result};
use crate::metrics;

/// Statements at once. More would only divide the same work among more processes of the database.
const LANES: usize = 3;

/// Questions that may wait; beyond that it is better to say so.
const WAITING_MAX: usize = 8192;

/// Where a statement is full: questions, or ids.
const QUESTIONS_MAX: usize = 64;
const IDS_MAX: usize = 2000;

/// Where questions are asked.
pub(crate) struct Asker(mpsc::Sender<Asked>);

struct Asked {
    source: SourceName,
    question: Question,
    answer: oneshot::Sender<Result<Vec<Eligibility>>>,
}

impl Asker {
    /// The answers are fetched on the present runtime until this value is gone.
    pub(crate) fn new(store: &Store) -> Self {
        let (ask, asked) = mpsc::channel(WAITING_MAX);
        let asked = Arc::new(Mutex::new(asked));
        for _ in 0..LANES {
            tokio::spawn(lane(store.clone(), Arc::clone(&asked)));
        }
        Self(ask)
    }

    /// One answer an offer. The statement begins after this was called, so it sees whatever was committed before.
    pub(crate) async fn ask(&self, source: SourceName, question: Question) -> Result<Vec<Eligibility>> {
        let (answer, answered) = oneshot::channel();
        self.0.try_send(Asked { source, question, answer }).map_err(|error| match error {
            TrySendError::Full(_) => {
                Failure::unavailable("too many questions about offers wait already".to_owned())
            }
            TrySendError::Closed(_) => no_lane(),
        })?;
        answered.await.map_err(|_| no_lane())?
    }
}

fn no_lane() -> Failure {
    Failure::internal("nobody answers questions about offers any more".to_owned())
}

/// Takes what waits, asks it together, and gives each its answer.
async fn lane(store: Store, asked: Arc<Mutex<mpsc::Receiver<Asked>>>) {
    loop {
        let Some(batch) = take(&mut *asked.lock().await).await else { return };
        answer(&store, batch).await;
    }
}

/// The first question that comes, and those that wait behind it; none when nobody will ever ask again.
async fn take(asked: &mut mpsc::Receiver<Asked>) -> Option<Vec<Asked>> {
    let first = asked.recv().await?;
    let mut ids = first.question.offers.len();
    let mut batch = vec![first];
    while batch.len() < QUESTIONS_MAX && ids < IDS_MAX {
        let Ok(next) = asked.try_recv() else { break };
        ids = ids.saturating_add(next.question.offers.len());
        batch.push(next);
    }
    Some(batch)
}

/// Asks source by source; nearly always there is one.
async fn answer(store: &Store, mut batch: Vec<Asked>) {
    batch.sort_by(|a, b| a.source.cmp(&b.source));
    while let Some(source) = batch.first().map(|asked| asked.source.clone()) {
        let rest = batch.split_off(batch.partition_point(|asked| asked.source <= source));
        let (questions, answers): (Vec<_>, Vec<_>) = std::mem::replace(&mut batch, rest)
            .into_iter()
            .map(|asked| (asked.question, asked.answer))
            .unzip();
        metrics::asked_together(questions.len());
        let found = async { offers::eligible(&store.client().await?, &source, &questions).await };
        match found.await {
            // Who has gone away needs no answer.
            Ok(found) => answers.into_iter().zip(found).for_each(|(answer, found)| {
                answer.send(Ok(found)).ok();
            }),
            Err(error) => answers.into_iter().for_each(|answer| {
                answer.send(Err(failure(&error))).ok();
            }),
        }
    }
}

fn failure(error: &Error) -> Failure {
    let cause = chain(error);
    if error.is_transient() { Failure::unavailable(cause) } else { Failure::internal(cause) }
}
