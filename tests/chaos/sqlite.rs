use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bowline::broker::{Sqlite, SqliteSubscriber};
use bowline_test_history::{Verdict, all_fine, seeds};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::plan::Plan;
use crate::run::{World, run};

const SEEDS: Range<u64> = 0..50;
/// How many at once: they wait most of the time.
const AT_ONCE: usize = 10;
const SESSION: Duration = Duration::from_millis(400);

struct OnDisk {
    broker: Option<Sqlite>,
    file: PathBuf,
    _folder: TempDir,
}

impl OnDisk {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("broker.db");
        let mut world = Self {
            broker: None,
            file,
            _folder: folder,
        };
        world.restart().await;
        world
    }
}

impl World for OnDisk {
    type Broker = Sqlite;
    type Subscriber = SqliteSubscriber;

    fn broker(&self) -> &Sqlite {
        self.broker.as_ref().unwrap()
    }

    fn subscriber(&self) -> SqliteSubscriber {
        self.broker().subscriber()
    }

    async fn restart(&mut self) {
        drop(self.broker.take());
        let broker = Sqlite::open(&self.file).await.unwrap();
        self.broker = Some(broker.with_session_timeout(SESSION));
    }

    fn is_virtual(&self) -> bool {
        false
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_on_disk_keeps_its_promises() {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for seed in seeds(SEEDS) {
        let places = Arc::clone(&places);
        running.spawn(async move {
            let _place = places.acquire().await;
            let world = OnDisk::new().await;
            let run = tokio::spawn(run(world, Plan::new(seed, SESSION)));
            (seed, run.await.unwrap_or_else(Verdict::panicked))
        });
    }
    let command = "cargo test --features sqlite --test chaos a_group_on_disk";
    let all = all_fine(command, running.join_all().await);
    assert!(all.lost > 0 && all.repeated > 0, "{all}");
}
