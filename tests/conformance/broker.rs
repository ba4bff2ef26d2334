use std::time::Duration;

use bowline::broker::{Memory, MemorySubscriber};
use bowline::testkit::broker::Harness;

pub(crate) struct InMemory(pub(crate) Memory);

impl Harness for InMemory {
    type Publisher = Memory;
    type Subscriber = MemorySubscriber;
    type Topics = Memory;

    fn publisher(&self) -> Memory {
        self.0.clone()
    }

    fn subscriber(&self) -> MemorySubscriber {
        self.0.subscriber()
    }

    fn impatient_subscriber(&self) -> MemorySubscriber {
        let broker = self.0.clone();
        broker
            .with_session_timeout(Duration::from_millis(500))
            .subscriber()
    }

    fn topics(&self) -> Memory {
        self.0.clone()
    }
}

bowline::broker_conformance!(memory, InMemory(Memory::new()));

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_in_memory() {
    let broker = Memory::new();
    bowline::testkit::broker::transactions(&InMemory(broker.clone()), &broker).await;
}

#[cfg(feature = "sqlite")]
pub(crate) mod file {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use bowline::broker::{Sqlite, SqliteSubscriber};
    use bowline::testkit::broker::Harness;
    use tempfile::TempDir;

    /// One file, opened several times, as if by several processes.
    pub(crate) struct InFile {
        handles: [Sqlite; 3],
        next: AtomicUsize,
        _directory: TempDir,
    }

    impl InFile {
        pub(crate) async fn new() -> Self {
            let directory = tempfile::tempdir().expect("a directory");
            let path = directory.path().join("broker.db");
            let open = || async { Sqlite::open(&path).await.expect("a new file") };
            Self {
                handles: [open().await, open().await, open().await],
                next: AtomicUsize::new(0),
                _directory: directory,
            }
        }

        fn handle(&self) -> Sqlite {
            let next = self.next.fetch_add(1, Ordering::Relaxed);
            self.handles[next % self.handles.len()].clone()
        }
    }

    impl Harness for InFile {
        type Publisher = Sqlite;
        type Subscriber = SqliteSubscriber;
        type Topics = Sqlite;

        fn publisher(&self) -> Sqlite {
            self.handle()
        }

        fn subscriber(&self) -> SqliteSubscriber {
            self.handle().subscriber()
        }

        fn impatient_subscriber(&self) -> SqliteSubscriber {
            self.handle()
                .with_session_timeout(Duration::from_secs(1))
                .subscriber()
        }

        fn topics(&self) -> Sqlite {
            self.handle()
        }
    }

    bowline::broker_conformance!(sqlite, InFile::new().await);
}
