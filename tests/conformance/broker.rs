use std::time::Duration;

use bowline::broker::{Memory, MemorySubscriber};
use bowline::testkit::broker::Harness;

struct InMemory(Memory);

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

#[cfg(feature = "sqlite")]
mod file {
    use std::time::Duration;

    use bowline::broker::{Sqlite, SqliteSubscriber};
    use bowline::testkit::broker::Harness;
    use tempfile::TempDir;

    struct InFile {
        broker: Sqlite,
        _directory: TempDir,
    }

    impl InFile {
        async fn new() -> Self {
            let directory = tempfile::tempdir().expect("a directory");
            let broker = Sqlite::open(directory.path().join("broker.db")).await;
            Self {
                broker: broker.expect("a new file"),
                _directory: directory,
            }
        }
    }

    impl Harness for InFile {
        type Publisher = Sqlite;
        type Subscriber = SqliteSubscriber;
        type Topics = Sqlite;

        fn publisher(&self) -> Sqlite {
            self.broker.clone()
        }

        fn subscriber(&self) -> SqliteSubscriber {
            self.broker.subscriber()
        }

        fn impatient_subscriber(&self) -> SqliteSubscriber {
            let broker = self.broker.clone();
            broker
                .with_session_timeout(Duration::from_secs(1))
                .subscriber()
        }

        fn topics(&self) -> Sqlite {
            self.broker.clone()
        }
    }

    bowline::broker_conformance!(sqlite, InFile::new().await);
}
