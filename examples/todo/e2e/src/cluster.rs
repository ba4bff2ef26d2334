use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use bowline_test_services::{Kafka, shared};
use tempfile::TempDir;

use crate::Process;
use crate::client::INVITATION;

/// The programs of one running todo system and what they keep between runs.
#[derive(Debug)]
pub struct Cluster {
    mode: Mode,
    environment: BTreeMap<&'static str, Vec<(String, String)>>,
    processes: BTreeMap<&'static str, Process>,
    _data: TempDir,
}

/// How the system runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the two ways to run the example")]
pub enum Mode {
    /// Each service is a process of its own, on PostgreSQL, Redis and this broker.
    Distributed(Broker),
    /// One process, SQLite files.
    Embedded,
}

/// What carries the events of the distributed system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the two brokers it knows")]
pub enum Broker {
    /// Kafka.
    Kafka,
    /// Redis Streams, in the Redis that is the registry too.
    Redis,
}

/// The one process of the embedded system.
const ALL_IN_ONE: &str = "todo";
const SERVICES: [&str; 4] = [
    "todo-users",
    "todo-tasks",
    "todo-notifications",
    "todo-gateway",
];

impl Cluster {
    /// Starts a new, empty system; with `demo` its faults can be switched on.
    ///
    /// # Panics
    ///
    /// When a server or a service does not start.
    #[must_use]
    pub fn start(mode: Mode, demo: bool) -> Self {
        Self::start_with(mode, demo, &[])
    }

    /// As [`start`](Self::start), with more variables for every program.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_with(mode: Mode, demo: bool, variables: &[(&'static str, &str)]) -> Self {
        let data = tempfile::tempdir().expect("a folder for the data");
        let environment = match mode {
            Mode::Embedded => embedded(&data),
            Mode::Distributed(broker) => distributed(broker, demo),
        };
        let mut cluster = Self {
            mode,
            environment,
            processes: BTreeMap::new(),
            _data: data,
        };
        if mode == Mode::Embedded && demo {
            cluster
                .environment
                .entry(ALL_IN_ONE)
                .or_default()
                .push(("TODO_DEMO".to_owned(), "true".to_owned()));
        }
        for name in cluster.names() {
            for (variable, value) in variables {
                cluster.set(name, variable, value);
            }
            cluster.run(name);
        }
        cluster
    }

    /// The programs, in the order in which they are started.
    #[must_use]
    pub fn names(&self) -> &'static [&'static str] {
        match self.mode {
            Mode::Distributed(_) => &SERVICES,
            Mode::Embedded => &[ALL_IN_ONE],
        }
    }

    /// The programs that write tasks, relay them or make notifications of them.
    #[must_use]
    pub fn victims(&self) -> &'static [&'static str] {
        match self.mode {
            Mode::Distributed(_) => &["todo-tasks", "todo-notifications"],
            Mode::Embedded => &[ALL_IN_ONE],
        }
    }

    /// Where the gateway listens now.
    #[must_use]
    pub fn url(&self) -> &str {
        let gateway = match self.mode {
            Mode::Distributed(_) => "todo-gateway",
            Mode::Embedded => ALL_IN_ONE,
        };
        self.process(gateway).url()
    }

    /// One running program.
    ///
    /// # Panics
    ///
    /// When it is not running.
    #[must_use]
    pub fn process(&self, name: &str) -> &Process {
        self.processes
            .get(name)
            .expect("a running program of this system")
    }

    /// Kills a program at once.
    pub fn kill(&mut self, name: &str) {
        if let Some(process) = self.processes.remove(name) {
            process.kill();
        }
    }

    /// Asks a program to end and says whether it ended well.
    pub fn terminate(&mut self, name: &str) -> bool {
        self.processes
            .remove(name)
            .is_some_and(|process| process.terminate().success())
    }

    /// Starts a program again on the data it left.
    pub fn run(&mut self, name: &'static str) {
        let process = Process::start(name, &[], &self.environment[name]);
        self.processes.insert(name, process);
    }

    /// Changes one variable for the next start of a program.
    pub fn set(&mut self, name: &'static str, variable: &str, value: &str) {
        let variables = self.environment.entry(name).or_default();
        variables.retain(|(other, _)| other != variable);
        variables.push((variable.to_owned(), value.to_owned()));
    }
}

/// A test that failed says what the programs were about.
impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for process in self.processes.values_mut() {
                eprintln!("--- {}", process.report());
            }
        }
    }
}

fn embedded(data: &TempDir) -> BTreeMap<&'static str, Vec<(String, String)>> {
    let variables = [
        ("TODO_DATA", data.path().join("data").display().to_string()),
        ("TODO_LISTEN", "127.0.0.1:0".to_owned()),
    ];
    BTreeMap::from([(ALL_IN_ONE, owned(variables))])
}

fn distributed(broker: Broker, demo: bool) -> BTreeMap<&'static str, Vec<(String, String)>> {
    // Systems of one test run share the servers: each has its own databases, and its own names for
    // topics, groups and registry keys.
    static SYSTEMS: AtomicU32 = AtomicU32::new(0);
    let system = format!(
        "s{}n{}",
        std::process::id(),
        SYSTEMS.fetch_add(1, Ordering::Relaxed)
    );
    let redis = shared::redis().expect("Redis starts").url();
    let broker = match broker {
        Broker::Kafka => kafka_url(shared::kafka().expect("Kafka starts")),
        Broker::Redis => redis.clone(),
    };
    let postgres = shared::postgres().expect("PostgreSQL starts");
    SERVICES
        .into_iter()
        .map(|service| {
            let short = service.trim_start_matches("todo-");
            let mut variables = owned([
                ("TODO_BROKER", broker.clone()),
                ("TODO_REDIS", redis.clone()),
                (
                    "TODO_SECRET",
                    "a secret for tests that is long enough".to_owned(),
                ),
                ("TODO_OPERATORS", "ada@example.org".to_owned()),
                ("TODO_INVITATION", INVITATION.to_owned()),
                ("TODO_SYSTEM", system.clone()),
                ("TODO_DEMO", demo.to_string()),
                ("TODO_SETTLE", "0s".to_owned()),
            ]);
            if short != "gateway" {
                let database = postgres
                    .create_database(&format!("{system}_{short}"))
                    .expect("a database of its own");
                variables.push(("TODO_POSTGRES".to_owned(), database));
            }
            (service, variables)
        })
        .collect()
}

/// `kafka` as `TODO_BROKER` names it.
#[must_use]
pub fn kafka_url(kafka: &Kafka) -> String {
    format!("kafka://{}", kafka.address())
}

fn owned<const N: usize>(variables: [(&str, String); N]) -> Vec<(String, String)> {
    variables
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
