//! A limited number of concurrent tasks.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet, spawn_blocking};

use diagnostics::{Error, Result};

/// Runs tasks; the first error ends them all.
pub(crate) struct TaskPool<T> {
    semaphore: Arc<Semaphore>,
    tasks: JoinSet<Result<T>>,
    done: Vec<T>,
}

impl<T: Send + 'static> TaskPool<T> {
    /// Creates a pool; `semaphore` may be shared with others.
    pub(crate) fn new(semaphore: Arc<Semaphore>) -> Self {
        Self {
            semaphore,
            tasks: JoinSet::new(),
            done: Vec::new(),
        }
    }

    /// Starts a task and collects finished ones. Waits for a permit before it creates the task, so
    /// that a file of 10,000 parts does not become 10,000 tasks.
    pub(crate) async fn start(
        &mut self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<()> {
        let permit = acquire(&self.semaphore).await?;
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

    /// Waits for all tasks.
    pub(crate) async fn finish(mut self) -> Result<Vec<T>> {
        while let Some(done) = self.tasks.join_next().await {
            self.done.push(joined(done)??);
        }
        Ok(self.done)
    }
}

/// Acquires a permit.
pub(crate) async fn acquire(semaphore: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit> {
    // The semaphores are never closed.
    Arc::clone(semaphore).acquire_owned().await.map_err(|_| {
        Error::new("the transfer was ended").help("run the same command again to resume")
    })
}

/// Runs blocking work on a thread of its own.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    joined(spawn_blocking(work).await)
}

/// Converts the panic of a task into an error.
fn joined<T>(result: Result<T, JoinError>) -> Result<T> {
    result.map_err(|error| {
        Error::new(format!("a transfer broke off: {error}"))
            .help("run the same command again to resume")
    })
}
