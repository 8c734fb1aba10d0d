//! Tasks at work at the same time, so many at most.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};

use diagnostics::{Error, Result};

/// The first failure ends it; waiting for the others would only hide it.
pub(crate) struct TaskPool<T> {
    semaphore: Arc<Semaphore>,
    tasks: JoinSet<Result<T>>,
    done: Vec<T>,
}

impl<T: Send + 'static> TaskPool<T> {
    /// Its tasks share the semaphore with whoever else has them.
    pub(crate) fn new(semaphore: Arc<Semaphore>) -> Self {
        Self {
            semaphore,
            tasks: JoinSet::new(),
            done: Vec::new(),
        }
    }

    /// Waits for a place. Taken before the task is made: a file of 10,000 parts must not become 10,000 tasks.
    pub(crate) async fn permit(&self) -> Result<OwnedSemaphorePermit> {
        acquire(&self.semaphore).await
    }

    /// Starts the work in its place, and takes what has been done by now.
    pub(crate) fn start(
        &mut self,
        permit: OwnedSemaphorePermit,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<()> {
        self.tasks.spawn(async move {
            let done = work.await;
            drop(permit);
            done
        });
        while let Some(done) = self.tasks.try_join_next() {
            self.done.push(joined(done)??);
        }
        Ok(())
    }

    /// Waits for all.
    pub(crate) async fn finish(mut self) -> Result<Vec<T>> {
        while let Some(done) = self.tasks.join_next().await {
            self.done.push(joined(done)??);
        }
        Ok(self.done)
    }
}

/// Waits for a place among these.
pub(crate) async fn acquire(semaphore: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit> {
    // Nobody closes the semaphores.
    Arc::clone(semaphore).acquire_owned().await.map_err(|_| {
        Error::new("the transfer was ended").help("type the same again: it goes on where it was")
    })
}

/// The result of a task; a task that panicked is a bug, but no reason to hang.
pub(crate) fn joined<T>(result: Result<T, JoinError>) -> Result<T> {
    result.map_err(|error| {
        Error::new(format!("a transfer broke off: {error}"))
            .help("type the same again: it goes on where it was")
    })
}
