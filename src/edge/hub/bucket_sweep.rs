//! What goes of a bucket, and the notes that a hub keeps in it.

use super::access::{Digest, digest_of};
use super::bucket::{Bucket, is_young};
use super::collection::Swept;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt as _};
use std::collections::HashSet;
use std::time::SystemTime;
use tidegate_flow::wire::v1::Tally;

/// Objects that are removed while nobody may rely on others.
const BATCH: usize = 64;

impl Bucket {
    /// Removes objects that are not needed and that nobody put or used lately, and what clients and former processes
    /// left on its way.
    pub(super) async fn collect(
        &self,
        needed: &HashSet<Digest>,
        now: SystemTime,
        dry_run: bool,
    ) -> object_store::Result<Swept> {
        let mut swept = Swept::default();
        let mut old: Vec<(ObjectMeta, Option<Digest>)> = Vec::new();
        let mut listed = self.store.list(Some(&self.prefix.clone().join("objects")));
        while let Some(meta) = listed.try_next().await? {
            let digest = named(&meta.location);
            let goes =
                digest.is_some_and(|d| !needed.contains(&d)) && !is_young(meta.last_modified.into(), now);
            if goes && !self.is_used(digest, now) {
                old.push((meta, digest));
            } else {
                count(&mut swept.kept, &meta);
            }
        }
        for folder in ["new", "checked"] {
            let mut listed = self.store.list(Some(&self.prefix.clone().join(folder)));
            while let Some(meta) = listed.try_next().await? {
                if !is_young(meta.last_modified.into(), now) {
                    old.push((meta, None));
                }
            }
        }
        for batch in old.chunks(BATCH) {
            let _nobody = self.relying.write().await;
            let mut places = Vec::new();
            for (meta, digest) in batch.iter().filter(|(_, digest)| !self.is_used(*digest, now)) {
                count(&mut swept.gone, meta);
                places.push(meta.location.clone());
                if let Some(digest) = digest.filter(|_| !dry_run) {
                    self.known().used.remove(&digest);
                }
            }
            if !dry_run {
                self.remove(places).await?;
            }
        }
        Ok(swept)
    }

    /// Tells whether this process has seen somebody use an object lately.
    fn is_used(&self, digest: Option<Digest>, now: SystemTime) -> bool {
        digest
            .and_then(|digest| self.known().used.get(&digest).copied())
            .is_some_and(|used| is_young(used, now))
    }

    /// Removes what lies there, with as few requests as the store allows.
    async fn remove(&self, places: Vec<Path>) -> object_store::Result<()> {
        let mut gone = self.store.delete_stream(futures::stream::iter(places.into_iter().map(Ok)).boxed());
        while let Some(done) = gone.next().await {
            match done {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Tells whether this place is a hub's own, by what the hub is called. Nobody's becomes its own.
    pub(super) async fn is_own(&self, hub: &str) -> object_store::Result<bool> {
        let place = self.prefix.clone().join("owner");
        match self.store.get(&place).await {
            Ok(owner) => Ok(owner.bytes().await? == hub.as_bytes()),
            Err(object_store::Error::NotFound { .. }) => {
                self.store.put(&place, hub.to_owned().into_bytes().into()).await?;
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    /// All notes.
    pub(super) async fn notes(&self) -> object_store::Result<Vec<String>> {
        let mut found = Vec::new();
        let mut listed = self.store.list(Some(&self.prefix.clone().join("claims")));
        while let Some(meta) = listed.try_next().await? {
            match self.store.get(&meta.location).await {
                Ok(note) => found.push(String::from_utf8_lossy(&note.bytes().await?).into_owned()),
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// Keeps a note in place of the last one of that name; `None`: takes it away.
    pub(super) async fn note(&self, name: &str, text: Option<String>) -> object_store::Result<()> {
        let place = self.prefix.clone().join("claims").join(name);
        match text {
            Some(text) => self.store.put(&place, text.into_bytes().into()).await.map(drop),
            None => self.remove(vec![place]).await,
        }
    }
}

/// The digest that a place below `objects/` stands for.
fn named(place: &Path) -> Option<Digest> {
    let (rest, first) = place.as_ref().rsplit_once('/').map(|(above, rest)| (rest, above))?;
    digest_of(&format!("{}{rest}", first.rsplit('/').next()?))
}

fn count(tally: &mut Tally, meta: &ObjectMeta) {
    tally.count += 1;
    tally.bytes += meta.size;
}
