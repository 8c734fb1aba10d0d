//! The models in memory: one, or those that requests have loaded.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use diagnostics::Error;
use tokio::time::timeout_at;

use crate::classifier::Load;
use crate::engine::{Failure, Served};
use crate::metrics::Metrics;
use crate::reply::Refusal;

/// Memory of a model, in sizes of its files: an estimate, because tables for fast look-ups are
/// built when it is loaded.
const MEMORY_FACTOR: u64 = 2;
/// Time in which requests that use an unloaded model must end, and until they are counted again.
const ROOM_TIMEOUT: Duration = Duration::from_secs(30);
const ROOM_PAUSE: Duration = Duration::from_millis(10);

/// A model of a server with several.
struct Entry {
    dir: PathBuf,
    /// `None` if another model needed the memory; it is loaded again for the next request.
    served: Option<Arc<Served>>,
    bytes: u64,
    /// Number of requests to all models at the last one to this.
    used: u64,
}

/// Memory of a model that is unloaded, or deleted, when the last request that uses it ends.
struct Leaving {
    served: Weak<Served>,
    bytes: u64,
}

impl Entry {
    /// Unloads the model; `None` if it is not loaded.
    fn unload(&mut self) -> Option<Leaving> {
        let served = Arc::downgrade(&self.served.take()?);
        let bytes = self.bytes;
        Some(Leaving { served, bytes })
    }
}

#[derive(Default)]
struct Entries {
    by_name: BTreeMap<String, Entry>,
    requests: u64,
    leaving: Vec<Leaving>,
}

impl Entries {
    fn bytes(&self) -> u64 {
        let loaded = self.by_name.values().filter(|entry| entry.served.is_some());
        loaded.map(|entry| entry.bytes).sum()
    }

    /// Unloads the models that were not used for longest. Returns true if there is room now, false
    /// if requests still use an unloaded one.
    fn make_room(&mut self, bytes: u64, most: u64) -> bool {
        while self.bytes().saturating_add(bytes) > most {
            let loaded = self
                .by_name
                .values_mut()
                .filter(|entry| entry.served.is_some());
            let Some(oldest) = loaded.min_by_key(|entry| entry.used) else {
                break;
            };
            self.leaving.extend(oldest.unload());
        }
        self.leaving.retain(|model| model.served.strong_count() > 0);
        let leaving: u64 = self.leaving.iter().map(|model| model.bytes).sum();
        self.bytes().saturating_add(leaving).saturating_add(bytes) <= most
    }

    fn count(&self) -> usize {
        let entries = self.by_name.values();
        entries.filter(|entry| entry.served.is_some()).count()
    }
}

/// The models of the server.
pub(crate) struct Models {
    /// The model of `--model-dir`, once it is loaded.
    single: OnceLock<Arc<Served>>,
    /// True if requests load models.
    is_multi: bool,
    entries: Mutex<Entries>,
    /// Held while a model is loaded: two at a time could exceed the memory.
    loading: tokio::sync::Mutex<()>,
    load: Load,
    max_bytes: u64,
    metrics: Arc<Metrics>,
}

impl Models {
    pub(crate) fn new(load: Load, is_multi: bool, max_bytes: u64, metrics: Arc<Metrics>) -> Self {
        Self {
            single: OnceLock::new(),
            is_multi,
            entries: Mutex::default(),
            loading: tokio::sync::Mutex::default(),
            load,
            max_bytes,
            metrics,
        }
    }

    /// True if requests load models.
    pub(crate) fn is_multi(&self) -> bool {
        self.is_multi
    }

    /// Loads the only model.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn load_single(&self, dir: &Path) -> Result<Arc<Served>, Error> {
        let served = Served::new((self.load)(dir)?);
        self.metrics.set_models(1);
        Ok(Arc::clone(self.single.get_or_init(|| served)))
    }

    /// Returns the only model.
    ///
    /// # Errors
    /// It is not loaded yet, or there are several.
    pub(crate) fn single(&self) -> Result<Arc<Served>, Refusal> {
        if self.is_multi {
            let help = "send the request to /models/{name}/invoke";
            return Err(Refusal::new(
                StatusCode::NOT_FOUND,
                "expected the name of a model: this server has several",
                help,
            ));
        }
        self.single.get().cloned().ok_or_else(|| {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            let help = "send the request again when GET /ping answers 200";
            Refusal::new(status, "the model is being loaded", help)
        })
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns names and folders of all models.
    pub(crate) fn list(&self) -> Vec<(String, PathBuf)> {
        let entries = self.entries();
        let each = entries.by_name.iter();
        each.map(|(name, entry)| (name.clone(), entry.dir.clone()))
            .collect()
    }

    /// Returns the folder of a model.
    ///
    /// # Errors
    /// There is none of this name.
    pub(crate) fn dir(&self, name: &str) -> Result<PathBuf, Refusal> {
        let entries = self.entries();
        let entry = entries.by_name.get(name).ok_or_else(unknown)?;
        Ok(entry.dir.clone())
    }

    /// Removes a model.
    ///
    /// # Errors
    /// There is none of this name.
    pub(crate) fn remove(&self, name: &str) -> Result<(), Refusal> {
        let mut entries = self.entries();
        let mut removed = entries.by_name.remove(name).ok_or_else(unknown)?;
        entries.leaving.extend(removed.unload());
        self.metrics.set_models(entries.count());
        Ok(())
    }

    /// Loads the model of a folder under a name.
    ///
    /// # Errors
    /// The name is taken (409), there is too little memory (507), or it cannot be read.
    pub(crate) async fn add(self: &Arc<Self>, name: &str, dir: &Path) -> Result<(), Refusal> {
        let (models, name, dir) = (Arc::clone(self), name.to_owned(), dir.to_owned());
        // A client that goes away must not end it: the loading itself would go on.
        let added = tokio::spawn(async move { models.add_now(&name, &dir).await });
        added.await.unwrap_or_else(|_| Err(not_loaded()))
    }

    async fn add_now(&self, name: &str, dir: &Path) -> Result<(), Refusal> {
        let _loading = self.loading.lock().await;
        if self.entries().by_name.contains_key(name) {
            return Err(Refusal::new(
                StatusCode::CONFLICT,
                "the model is loaded already",
                "invoke it, or delete it first",
            ));
        }
        let entry = self.load(dir).await?;
        let mut entries = self.entries();
        entries.by_name.insert(name.to_owned(), entry);
        self.metrics.set_models(entries.count());
        Ok(())
    }

    /// Returns a model, and loads it again if another one needed its memory.
    ///
    /// # Errors
    /// There is none of this name, it cannot be loaded again, or not before the deadline.
    pub(crate) async fn get(
        self: &Arc<Self>,
        name: &str,
        deadline: Instant,
    ) -> Result<Arc<Served>, Refusal> {
        if let Some(served) = self.loaded(name)? {
            return Ok(served);
        }
        let (models, name) = (Arc::clone(self), name.to_owned());
        // It goes on after the deadline: later requests need it too.
        let loaded = tokio::spawn(async move { models.load_again(&name).await });
        match timeout_at(deadline.into(), loaded).await {
            Ok(loaded) => loaded.unwrap_or_else(|_| Err(not_loaded())),
            Err(_) => Err(Failure::TooLate.into()),
        }
    }

    async fn load_again(&self, name: &str) -> Result<Arc<Served>, Refusal> {
        let _loading = self.loading.lock().await;
        if let Some(served) = self.loaded(name)? {
            return Ok(served);
        }
        let loaded = self.load(&self.dir(name)?).await;
        // The request is right: it is the model that cannot be read any more.
        let loaded = loaded.map_err(|refusal| match refusal.status {
            StatusCode::BAD_REQUEST => Refusal::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("the model cannot be loaded again: {}", refusal.message()),
                "restore its folder, or delete the model and load another one",
            ),
            _ => refusal,
        })?;
        let mut entries = self.entries();
        // It may have been deleted in the meantime.
        let entry = entries.by_name.get_mut(name).ok_or_else(unknown)?;
        *entry = loaded;
        let served = entry.served.clone();
        self.metrics.set_models(entries.count());
        served.ok_or_else(unknown)
    }

    /// Returns a model if it is in memory.
    fn loaded(&self, name: &str) -> Result<Option<Arc<Served>>, Refusal> {
        let mut entries = self.entries();
        entries.requests += 1;
        let requests = entries.requests;
        let entry = entries.by_name.get_mut(name).ok_or_else(unknown)?;
        entry.used = requests;
        Ok(entry.served.clone())
    }

    /// Unloads models until there is room, and waits for the requests that use them.
    async fn wait_for_room(&self, bytes: u64) -> Result<(), Refusal> {
        let until = Instant::now() + ROOM_TIMEOUT;
        while !self.entries().make_room(bytes, self.max_bytes) {
            if Instant::now() > until {
                return Err(Refusal::new(
                    StatusCode::INSUFFICIENT_STORAGE,
                    "requests still use models whose memory is needed",
                    "send the request again later, or take a machine with more memory",
                ));
            }
            tokio::time::sleep(ROOM_PAUSE).await;
        }
        Ok(())
    }

    /// Loads the model of a folder.
    async fn load(&self, dir: &Path) -> Result<Entry, Refusal> {
        let bytes = file_bytes(dir).saturating_mul(MEMORY_FACTOR);
        if bytes > self.max_bytes {
            return Err(Refusal::new(
                StatusCode::INSUFFICIENT_STORAGE,
                format!(
                    "the model needs about {} MB of memory, and models may use {} MB",
                    bytes >> 20,
                    self.max_bytes >> 20
                ),
                "take a machine with more memory",
            ));
        }
        self.wait_for_room(bytes).await?;
        self.metrics.set_models(self.entries().count());
        let (load, folder) = (Arc::clone(&self.load), dir.to_owned());
        let loaded = tokio::task::spawn_blocking(move || load(&folder)).await;
        let failed = |message: String| {
            let help = "check that `url` is the folder of a model of this trainer";
            Refusal::bad(message, help)
        };
        let classifier = match loaded {
            Ok(Ok(classifier)) => classifier,
            Ok(Err(error)) => return Err(failed(error.into_parts().0)),
            Err(_) => return Err(failed("the model cannot be loaded: it panicked".to_owned())),
        };
        Ok(Entry {
            dir: dir.to_owned(),
            served: Some(Served::new(classifier)),
            bytes,
            used: self.entries().requests,
        })
    }
}

fn unknown() -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        "there is no model of this name",
        "load it by POST /models; GET /models lists the models",
    )
}

fn not_loaded() -> Refusal {
    Failure::Broken("it panicked while it was loaded".to_owned()).into()
}

/// Returns the size of the files in a folder; 0 if it cannot be read.
fn file_bytes(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let sizes = entries.filter_map(|entry| entry.metadata().ok());
    sizes
        .filter(fs::Metadata::is_file)
        .map(|file| file.len())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classifier::Classifier;
    use crate::testing::length_classifier;

    /// A model of 100 bytes takes 200: there is room for two.
    #[test]
    fn least_recently_used_model_is_unloaded_and_comes_back() {
        let home = tempfile::tempdir().unwrap();
        let dir = |name: &str| home.path().join(name);
        for name in ["a", "b", "c"] {
            fs::create_dir(dir(name)).unwrap();
            fs::write(dir(name).join("weights"), [0; 100]).unwrap();
        }
        fs::create_dir(dir("large")).unwrap();
        fs::write(dir("large").join("weights"), [0; 300]).unwrap();
        let metrics = Arc::new(Metrics::new());
        let load: Load =
            Arc::new(|_: &Path| -> Result<Arc<dyn Classifier>, Error> { Ok(length_classifier()) });
        let models = Arc::new(Models::new(load, true, 500, metrics));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let soon = Instant::now() + Duration::from_secs(60);
        runtime.block_on(async {
            let in_memory = || {
                let entries = models.entries();
                let loaded = entries
                    .by_name
                    .iter()
                    .filter(|(_, entry)| entry.served.is_some());
                loaded.map(|(name, _)| name.clone()).collect::<Vec<_>>()
            };
            models.add("a", &dir("a")).await.unwrap();
            models.add("b", &dir("b")).await.unwrap();
            let status = |result: Result<(), Refusal>| result.unwrap_err().status;
            assert_eq!(
                status(models.add("a", &dir("a")).await),
                StatusCode::CONFLICT
            );
            let large = models.add("large", &dir("large")).await;
            assert_eq!(status(large), StatusCode::INSUFFICIENT_STORAGE);
            models.get("a", soon).await.unwrap();
            models.add("c", &dir("c")).await.unwrap();
            assert_eq!(in_memory(), ["a", "c"]);
            models.get("b", soon).await.unwrap();
            assert_eq!(in_memory(), ["b", "c"]);
            assert_eq!(models.list().len(), 3);
            models.remove("b").unwrap();
            let unknown = models
                .get("b", soon)
                .await
                .err()
                .map(|refusal| refusal.status);
            assert_eq!(unknown, Some(StatusCode::NOT_FOUND));
        });
    }

    /// A model that requests use takes its memory until they end, also if it is unloaded.
    #[test]
    fn unloaded_model_in_use_takes_memory() {
        let served = Served::new(length_classifier());
        let entry = Entry {
            dir: PathBuf::from("a"),
            served: Some(Arc::clone(&served)),
            bytes: 200,
            used: 0,
        };
        let mut entries = Entries::default();
        entries.by_name.insert("a".to_owned(), entry);
        assert!(entries.make_room(300, 500), "there is room for both");
        assert!(!entries.make_room(400, 500), "a request uses it");
        assert_eq!(entries.count(), 0);
        drop(served);
        assert!(entries.make_room(400, 500));
    }
}
