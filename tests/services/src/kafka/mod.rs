mod cluster;
mod wire;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::artifacts::{self, Java};
use crate::container;
use crate::process;
use crate::server::{Recipe, Server, folder, with_new_port};
use crate::shared::Owned;
use crate::{Error, port};

/// A single Apache Kafka broker of version 4, which creates no topic by itself.
pub struct Kafka(Owned);

const NAME: &str = "kafka";
const IMAGE: &str = "apache/kafka:4.1.0";
const CLUSTER: &str = "MkU3OEVBNTcwNTJENDM2Qk";
const PROPERTIES: &str = include_str!("../../kafka/server.properties.in");
const LOGGING: &str = include_str!("../../kafka/log4j2.properties");
/// A small heap and a quick start matter more here than peak speed.
const JVM: [&str; 4] = [
    "-Xmx512m",
    "-Xms128m",
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
];

impl Kafka {
    /// Starts a broker of one's own.
    ///
    /// # Errors
    ///
    /// When no way to get Kafka works on this machine (all are named), or it does not start; the
    /// text holds the end of its log.
    pub fn start() -> Result<Self, Error> {
        with_new_port(|| Ok(Self(Owned::server(start()?))))
    }

    /// Starts three brokers that are one cluster: a topic has three replicas, and a record is
    /// acknowledged by two of them at least.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start). Not in containers.
    pub fn cluster() -> Result<[Self; 3], Error> {
        cluster::start().map(|servers| servers.map(|server| Self(Owned::server(server))))
    }

    /// Its address, as `bootstrap.servers` takes it.
    #[must_use]
    pub fn url(&self) -> String {
        self.0.address().to_owned()
    }

    pub(crate) fn external(address: &str) -> Self {
        Self(Owned::external(NAME, address))
    }
}

crate::shared::steering!(Kafka);

fn start() -> Result<Server, Error> {
    let (address, controller) = (port::free()?, port::free()?);
    let dir = folder(NAME)?;
    let recipe = match artifacts::java_and_kafka()? {
        Ok(java) => Recipe::Process(local(&java, address, controller, dir.path(), |text| text)?),
        Err(_) if container::is_available() => {
            Recipe::Container(in_container(address, controller, dir.path())?)
        }
        Err(missing) => {
            return Err(Error::new(format!(
                "Kafka is missing: {missing}; and no Docker daemon answers. Any one of these \
                 helps: BOWLINE_TEST_KAFKA=host:port of a running broker, KAFKA_HOME with Java \
                 17, Java 17 with Maven (Debian: `apt-get install openjdk-17-jre-headless \
                 maven`), or Docker."
            )));
        }
    };
    Server::start(NAME, address, wire::is_serving, recipe, dir)
}

fn local(
    java: &Java,
    address: SocketAddr,
    controller: SocketAddr,
    dir: &Path,
    change: impl FnOnce(String) -> String,
) -> Result<process::Recipe, Error> {
    let data = dir.join("data");
    let properties = dir.join("server.properties");
    let logging = dir.join("log4j2.properties");
    let text = render(address, controller, &data.to_string_lossy());
    write(&properties, &change(text))?;
    write(&logging, LOGGING)?;
    let mut logging_option = OsString::from("-Dlog4j2.configurationFile=");
    logging_option.push(&logging);
    let mut base: Vec<OsString> = vec![java.program.clone().into()];
    base.extend(JVM.map(OsString::from));
    base.extend([logging_option, "-cp".into(), java.classpath.clone()]);

    format_storage(&base, &properties)?;
    base.extend(["kafka.Kafka".into(), properties.into()]);
    Ok(process::Recipe {
        name: NAME,
        command: base,
        user: None,
        end_signal: "KILL",
        dir: dir.to_owned(),
    })
}

fn format_storage(base: &[OsString], properties: &Path) -> Result<(), Error> {
    let [java, options @ ..] = base else {
        return Err(Error::new("no java to run"));
    };
    let output = Command::new(java)
        .args(options)
        .args(["kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c"])
        .arg(properties)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Error::io("cannot run java", &error))?;
    if output.status.success() {
        return Ok(());
    }
    let log = [output.stdout, output.stderr].concat();
    let log = String::from_utf8_lossy(&log).into_owned();
    Err(Error::new("kafka could not format its storage").with_log(log))
}

fn in_container(
    address: SocketAddr,
    controller: SocketAddr,
    dir: &Path,
) -> Result<container::Recipe, Error> {
    // The image reads our settings from this folder; inside it must listen on every interface.
    let properties = render(address, controller, "/tmp/kafka-data")
        .replace(
            "listeners=PLAINTEXT://127.0.0.1",
            "listeners=PLAINTEXT://0.0.0.0",
        )
        .replace(
            "advertised.listeners=PLAINTEXT://0.0.0.0",
            "advertised.listeners=PLAINTEXT://127.0.0.1",
        );
    let config = dir.join("config");
    fs::create_dir(&config).map_err(|error| Error::io("cannot make a folder", &error))?;
    write(&config.join("server.properties"), &properties)?;
    let port = address.port();
    let arguments = [
        "--publish".to_owned(),
        format!("127.0.0.1:{port}:{port}"),
        "--volume".to_owned(),
        format!("{}:/mnt/shared/config:ro", config.display()),
        "--env".to_owned(),
        format!("CLUSTER_ID={CLUSTER}"),
        IMAGE.to_owned(),
    ];
    Ok(container::Recipe {
        name: format!("bowline-{NAME}-{port}"),
        arguments: arguments.to_vec(),
        dir: dir.to_owned(),
    })
}

fn render(address: SocketAddr, controller: SocketAddr, data: &str) -> String {
    PROPERTIES
        .replace("@DATA@", data)
        .replace("@PORT@", &address.port().to_string())
        .replace("@CONTROLLER_PORT@", &controller.port().to_string())
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    let written: io::Result<()> = fs::write(path, text);
    written.map_err(|error| Error::io(format!("cannot write {}", path.display()), &error))
}
