//! What a hub collects, in its folder and in a bucket: nothing that a store relies on or an attempt may have.

use super::raw::{LONG, Raw, SECRET, Served, ended, list_of};
use super::store::S3;
use crate::hub::bucket::Bucket;
use crate::hub::collection::{Needs, NotCollected, Swept};
use crate::hub::*;
use crate::store::{FileObjects, Objects as _};
use std::collections::HashSet;
use std::fs::{File, FileTimes};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tidegate_flow::wire::v1::{FromHub, ToHub};

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

fn files(below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![below.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() { open.push(entry.path()) } else { found.push(entry.path()) }
        }
    }
    found.retain(|file| file.file_name().is_some_and(|name| name.len() > 20));
    found
}

/// A hub with one kind of place for objects, which is opened again as often as a test likes.
struct Place {
    folder: tempfile::TempDir,
    s3: Option<S3>,
}

impl Place {
    fn folder() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), s3: None }
    }

    fn bucket() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), s3: Some(S3::new()) }
    }

    async fn hub(&self) -> Served {
        // In a bucket, what stores rely on has to outlive the hub's own disk.
        if self.s3.is_some() {
            let _ = std::fs::remove_dir_all(self.folder.path().join("claims"));
        }
        let bucket: Option<Bucket> = self.s3.as_ref().map(S3::bucket);
        Served::over(Hub::open(self.folder.path(), SECRET, bucket).unwrap(), Identity::generate().unwrap())
            .await
    }

    /// Digests of what is kept.
    fn objects(&self) -> HashSet<String> {
        let found = match &self.s3 {
            Some(s3) => s3.files("objects"),
            None => files(&self.folder.path().join("objects")),
        };
        let digest = |file: PathBuf| {
            let parts: Vec<_> = file.iter().rev().take(2).map(|part| part.to_str().unwrap()).collect();
            format!("{}{}", parts[1], parts[0])
        };
        found.into_iter().map(digest).collect()
    }
}

impl Raw {
    async fn claim(&mut self, lists: &[&str]) -> Vec<String> {
        let lists = lists.iter().map(|list| (*list).to_owned()).collect();
        self.say(&ToHub::Claim { id: 8, lists }, b"").await;
        match self.answer().await {
            (FromHub::Missing { id: 8, digests }, _) => digests,
            other => panic!("{other:?}"),
        }
    }

    /// A list of one file with this content, and both digests.
    async fn artifact(&mut self, content: &[u8]) -> [String; 2] {
        let chunk = self.put(content).await;
        [self.put(&list_of(&[&chunk])).await, chunk]
    }
}

fn needs(store: &str, lists: &[&str]) -> Needs {
    let lists = lists.iter().map(|list| access::digest_of(list).unwrap()).collect();
    Needs { store: store.to_owned(), lists }
}

fn set<'a>(all: impl IntoIterator<Item = &'a String>) -> HashSet<String> {
    all.into_iter().cloned().collect()
}

async fn what_somebody_needs_stays(place: Place) {
    let start = SystemTime::now();
    let hub = place.hub().await;
    let (mut one, mut two) = (hub.engine("one").await, hub.engine("two").await);
    // An attempt that is over: what it made is its store's; what it worked with, nobody has claimed.
    let over = one.opens("r.0.1", b"worked with").await;
    let mut agent = hub.agent("r.0.1").await;
    let result = agent.artifact(b"result").await;
    agent.say(&ended("r.0.1", 1, &result[0]), b"").await;
    while !matches!(one.hear().await, Some((FromHub::Message(_), _))) {}
    one.say(&ToHub::Close { attempt: "r.0.1".into() }, b"").await;
    one.missing(&[]).await;
    // One that is not: what it works with, and what it has given so far.
    let open = one.opens("r.1.1", b"works with").await;
    let mut agent = hub.agent("r.1.1").await;
    let half = agent.put(b"half of a result").await;
    // Two stores have the same; one has something of its own; nobody has the last one.
    let both = two.artifact(b"both").await;
    assert_eq!(one.claim(&[&both[0]]).await, [] as [&str; 0]);
    assert_eq!(two.claim(&[&both[0], &result[0]]).await, [] as [&str; 0]);
    let own = one.artifact(b"own").await;
    assert_eq!(one.claim(&[&own[0]]).await, [] as [&str; 0]);
    let loose = two.put(b"loose").await;
    let always = set([&open.spec, &open.list, &open.chunk, &half]);
    let all = |more: &[&[String; 2]]| -> HashSet<String> {
        always.iter().chain(more.iter().flat_map(|pair| pair.iter())).cloned().collect()
    };
    let begin = place.objects();
    assert_eq!(begin.len(), 4 + 3 + 6 + 1);
    // What is young stays, whoever needs it; a count removes nothing.
    let early = hub.hub.collect(None, start + HOUR / 2, false).await;
    match &place.s3 {
        Some(_) => assert!(matches!(early, Err(NotCollected::Young)), "{early:?}"),
        None => assert_eq!(early.unwrap().gone.count, 0),
    }
    let counted = hub.hub.collect(None, start + 2 * HOUR, true).await.unwrap();
    assert_eq!((counted.gone.count, counted.kept.count), (4, 10));
    assert_eq!(place.objects(), begin);
    let done = hub.hub.collect(None, start + 2 * HOUR, false).await.unwrap();
    assert_eq!(done, counted, "it does what it said");
    assert_eq!(place.objects(), all(&[&result, &both, &own]));
    assert_eq!(two.missing(&[&loose, &over.chunk]).await, [loose.as_str(), &over.chunk]);
    // The next process knows as much.
    hub.hub.write_claims().await.unwrap();
    drop((hub, one, two, agent));
    let hub = place.hub().await;
    let later = start + 3 * HOUR;
    assert_eq!(hub.hub.collect(None, later, false).await.unwrap().gone.count, 0);
    // A store gives up what it needs no more: what another one relies on stays.
    let one_needs = needs("one", &[]);
    let counted = hub.hub.collect(Some(&one_needs), later, true).await.unwrap();
    assert_eq!(counted.gone.count, 2);
    assert_eq!(hub.hub.collect(Some(&one_needs), later, false).await.unwrap(), counted);
    assert_eq!(place.objects(), all(&[&result, &both]));
    // A store that needs what it never claimed keeps it; one that nobody heard of for 90 days keeps nothing.
    hub.hub.collect(Some(&needs("three", &[&both[0]])), later, false).await.unwrap();
    drop(hub);
    let hub = place.hub().await;
    hub.hub.collect(None, start + 89 * DAY, false).await.unwrap();
    assert_eq!(place.objects(), all(&[&result, &both]));
    hub.hub.collect(None, start + 90 * DAY + HOUR, false).await.unwrap();
    assert_eq!(place.objects(), all(&[&both]), "store three said so later");
    hub.hub.collect(None, start + 91 * DAY, false).await.unwrap();
    assert_eq!(place.objects(), always, "what an attempt may have that is not over");
    // Over at last.
    let mut one = hub.engine("one").await;
    one.say(&ToHub::Close { attempt: "r.1.1".into() }, b"").await;
    one.missing(&[]).await;
    hub.hub.collect(None, start + 91 * DAY, false).await.unwrap();
    assert_eq!(place.objects(), HashSet::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_needs_stays_in_a_folder() {
    what_somebody_needs_stays(Place::folder()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an S3 server; `tests/all cluster` has one"]
async fn in_a_bucket_what_somebody_needs_stays() {
    what_somebody_needs_stays(Place::bucket()).await;
}

async fn what_went_in_part_is_missed_and_given_again(place: Place) {
    let start = SystemTime::now();
    let hub = place.hub().await;
    let (engine, events, keep_up) = hub.end();
    tokio::spawn(keep_up);
    assert!(matches!(events.recv_timeout(LONG).unwrap(), HubEvent::Stands));
    let here = Arc::new(FileObjects::open(place.folder.path().join("here")).unwrap());
    let tree = place.folder.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    (0..4).for_each(|n| std::fs::write(tree.join(n.to_string()), format!("file {n}")).unwrap());
    let made = here.put_path(&tree).unwrap();
    let push = || {
        let (engine, here, made) = (engine.clone(), here.clone(), made.clone());
        tokio::task::spawn_blocking(move || engine.objects.push(&made, &here))
    };
    push().await.unwrap().unwrap();
    // As a hub leaves it that is killed while it removes: the list is there, a part of the content is not.
    let file = digests_of(&made, &here).unwrap().pop().unwrap();
    let found = match &place.s3 {
        Some(s3) => s3.files("objects"),
        None => files(&place.folder.path().join("objects")),
    };
    std::fs::remove_file(found.iter().find(|f| f.ends_with(&file[2..])).unwrap()).unwrap();
    drop(hub);
    let hub = place.hub().await;
    let (engine, events, keep_up) = hub.end();
    tokio::spawn(keep_up);
    assert!(matches!(events.recv_timeout(LONG).unwrap(), HubEvent::Stands));
    let claim = |engine: &Arc<EngineEnd>| {
        let (engine, list) = (engine.clone(), made.digest.clone());
        tokio::task::spawn_blocking(move || engine.objects.claim(&[list]))
    };
    assert_eq!(
        claim(&engine).await.unwrap().unwrap(),
        [made.digest.as_str()],
        "the cache does not rely on it"
    );
    let (again, from, whole) = (engine.clone(), here.clone(), made.clone());
    tokio::task::spawn_blocking(move || again.objects.push(&whole, &from)).await.unwrap().unwrap();
    assert_eq!(claim(&engine).await.unwrap().unwrap(), [] as [&str; 0]);
    // And now it is relied on.
    hub.hub.collect(None, start + DAY, false).await.unwrap();
    assert_eq!(place.objects().len(), 5);
    // What is asked for over the connection: nothing of it is old.
    let asked = tokio::task::spawn_blocking(move || engine.objects.collect(Vec::new(), false));
    let asked = asked.await.unwrap().unwrap().expect("this hub collects");
    match &place.s3 {
        Some(_) => assert!(asked.error.unwrap().contains("less than an hour ago")),
        None => assert_eq!((asked.gone.count, asked.kept.count, asked.error), (0, 5, None)),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_went_in_part_of_a_folder_is_missed_and_given_again() {
    what_went_in_part_is_missed_and_given_again(Place::folder()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs an S3 server; `tests/all cluster` has one"]
async fn in_a_bucket_what_went_in_part_is_missed_and_given_again() {
    what_went_in_part_is_missed_and_given_again(Place::bucket()).await;
}

/// Old content that nobody relies on is claimed by one while the other removes it: it goes or it stays, and who was told
/// that it is there has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_is_told_that_it_is_there_has_it() {
    let place = Place::folder();
    let hub = place.hub().await;
    let mut engine = hub.engine("one").await;
    let (mut stayed, mut went) = (0, 0);
    for n in 0..60 {
        let made = engine.artifact(format!("content {n}").as_bytes()).await;
        let old = FileTimes::new().set_modified(SystemTime::now() - 2 * DAY);
        for file in files(&place.folder.path().join("objects")) {
            File::open(file).unwrap().set_times(old).unwrap();
        }
        let collecting = {
            let hub = hub.hub.clone();
            tokio::spawn(async move { hub.collect(None, SystemTime::now(), false).await.unwrap() })
        };
        if n % 3 > 0 {
            tokio::time::sleep(Duration::from_micros(n * 20)).await;
        }
        let missing = engine.claim(&[&made[0]]).await;
        let _: Swept = collecting.await.unwrap();
        let there = place.objects();
        if missing.is_empty() {
            stayed += 1;
            assert!(made.iter().all(|digest| there.contains(digest)), "round {n}");
        } else {
            went += 1;
        }
    }
    assert_eq!(stayed + went, 60);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an S3 server; `tests/all cluster` has one"]
async fn nothing_goes_of_a_bucket_that_two_hubs_share() {
    let place = Place::bucket();
    let hub = place.hub().await;
    let loose = hub.engine("one").await.put(b"loose").await;
    let later = SystemTime::now() + 2 * HOUR;
    assert_eq!(hub.hub.collect(None, later, true).await.unwrap().gone.count, 1);
    let (folder, bucket) = (tempfile::tempdir().unwrap(), place.s3.as_ref().map(S3::bucket));
    let other = Hub::open(folder.path(), "another namespace's", bucket).unwrap();
    let refused = other.collect(None, later, false).await.unwrap_err().to_string();
    assert!(refused.contains("a prefix of its own"), "{refused}");
    assert!(place.objects().contains(&loose));
}

#[tokio::test]
async fn an_attempt_does_not_speak_for_its_store() {
    let place = Place::folder();
    let hub = place.hub().await;
    let given = hub.engine("one").await.opens("r.0.1", b"mine").await;
    for word in [
        ToHub::Claim { id: 1, lists: vec![given.list.clone()] },
        ToHub::Keeps { lists: Vec::new() },
        ToHub::Collect { id: 2, keep: Vec::new(), dry_run: false },
    ] {
        let mut agent = hub.agent("r.0.1").await;
        agent.say(&word, b"").await;
        assert!(agent.hear().await.is_none(), "{word:?} ends the connection");
    }
}
