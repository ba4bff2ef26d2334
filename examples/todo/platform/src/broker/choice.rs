#[cfg(feature = "kafka")]
use bowline::broker::kafka;
use bowline::config::{Env, Secret};
#[cfg(feature = "kafka")]
use percent_encoding::percent_decode_str;

/// Which broker, and where it is, unless it is in this process.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Choice {
    /// Redis Streams, at this URL.
    Redis(Secret),
    /// Kafka.
    #[cfg(feature = "kafka")]
    Kafka(Box<kafka::Config>),
}

/// Which program asks: only one that is alone can have the broker in itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the two ways to run the example")]
pub enum Program {
    /// All services in one process.
    Whole,
    /// One service.
    Part,
}

/// What is wrong with a URL: what to show of it, and what it may be.
type Problem = (String, String);

/// Without it a program has no C code but SQLite's and that for TLS.
const WITHOUT_KAFKA: &str = "redis://.. or embedded, as this todo was built without Kafka: \
    build it with `cargo build -p todo --features kafka`";
const REDIS: &str = "redis://host:port or rediss://host:port, with user:password@ before the host and \
    /database after it if need be, and % codes for what a URL cannot hold";

impl Choice {
    /// Where it is, without what may be secret.
    #[must_use]
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Redis(url) => shown(url.expose()),
            #[cfg(feature = "kafka")]
            Self::Kafka(config) => format!("\"kafka://{}\"", config.servers),
        }
    }

    /// `TODO_BROKER` or `TODO_BROKER_FILE`: `kafka://host:port[,host:port]`, `redis://host:port`,
    /// `rediss://host:port`; for the whole system in one process also `embedded`, the default, which is
    /// `None` here. It is `None` as well after a problem.
    ///
    /// After `?`, Kafka's URL takes `replication` for new topics and librdkafka's properties:
    /// `kafka://a:9092,b:9092?replication=3&security.protocol=sasl_plaintext&sasl.mechanism=PLAIN&..`.
    pub(crate) fn read(env: &mut Env, program: Program) -> Option<Self> {
        if !env.is_set("BROKER") && program == Program::Whole {
            return None;
        }
        let text = env.secret("BROKER");
        // That it is not set is a problem already.
        if text.expose().is_empty() {
            return None;
        }
        Self::parse(text.expose(), program).unwrap_or_else(|problems| {
            for (shown, allowed) in problems {
                env.problem("BROKER", shown, allowed);
            }
            None
        })
    }

    fn parse(text: &str, program: Program) -> Result<Option<Self>, Vec<Problem>> {
        let refused = |allowed: &str| Err(vec![(shown(text), allowed.to_owned())]);
        match (text.split_once("://"), program) {
            (None, Program::Whole) if text == "embedded" => Ok(None),
            (Some(("redis" | "rediss", _)), _) if redis::Client::open(text).is_ok() => {
                Ok(Some(Self::Redis(Secret::new(text))))
            }
            (Some(("redis" | "rediss", _)), _) => refused(REDIS),
            (Some(("kafka", _)), _) if !cfg!(feature = "kafka") => refused(WITHOUT_KAFKA),
            #[cfg(feature = "kafka")]
            (Some(("kafka", rest)), _) => kafka(rest, &shown(text)).map(Some),
            (_, Program::Whole) => refused("embedded, redis://host:port or kafka://host:port"),
            (_, Program::Part) => refused("kafka://host:port or redis://host:port"),
        }
    }
}

/// Kafka's own problems with what stands behind `kafka://`; each is shown without values.
#[cfg(feature = "kafka")]
fn kafka(rest: &str, shown: &str) -> Result<Choice, Vec<Problem>> {
    let mut problems = Vec::new();
    let (servers, options) = rest.split_once('?').unwrap_or((rest, ""));
    let mut config = kafka::Config::new(servers.trim_end_matches('/'));
    if servers.contains('@') {
        let allowed = "hosts alone: the user is ?sasl.username=.., the password &sasl.password=..";
        problems.push((shown.to_owned(), allowed.to_owned()));
        // What is wrong with the hosts besides would show the password.
        config.servers = "host:1".to_owned();
    }
    for option in options.split('&').filter(|option| !option.is_empty()) {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        match (name, percent_decode_str(value).decode_utf8()) {
            ("replication", Ok(value)) if value.parse::<u16>().is_ok() => {
                config.replication = value.parse().ok();
            }
            ("replication", _) => problems.push(option_problem(name, "a number from 1")),
            (name, Ok(value)) => config = config.with_property(name, value),
            (name, Err(_)) => problems.push(option_problem(name, "UTF-8, as % codes")),
        }
    }
    if let Err(error) = config.check() {
        let found = error.problems().iter();
        problems.extend(found.map(|found| {
            (
                format!("{shown} with {} {}", found.field, found.value),
                found.allowed.clone(),
            )
        }));
    }
    if problems.is_empty() {
        return Ok(Choice::Kafka(Box::new(config)));
    }
    Err(problems)
}

#[cfg(feature = "kafka")]
fn option_problem(name: &str, allowed: &str) -> Problem {
    (
        format!("a URL with an unreadable {name}"),
        allowed.to_owned(),
    )
}

/// `text` as far as it cannot be a password: the scheme and the hosts. A password with a character that
/// a URL cannot hold may end anywhere, and then it is the scheme alone.
fn shown(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let (hosts, after) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let hosts = match hosts.rsplit_once('@') {
        _ if after.contains('@') => "..",
        Some((_, hosts)) => hosts,
        None => hosts,
    };
    if scheme.is_empty() {
        return format!("{hosts:?}");
    }
    format!("\"{scheme}://{hosts}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, program: Program) -> Result<Option<Choice>, String> {
        let mut env = Env::from_pairs("TODO", [("TODO_BROKER", text)]);
        let choice = Choice::read(&mut env, program);
        env.finish().map_err(|error| error.to_string())?;
        Ok(choice)
    }

    fn problem(text: &str, program: Program) -> String {
        read(text, program).expect_err(text)
    }

    #[test]
    fn one_that_is_alone_needs_no_broker_and_a_service_does() {
        assert!(matches!(read("", Program::Whole), Ok(None)));
        assert!(matches!(read("embedded", Program::Whole), Ok(None)));
        assert!(problem("", Program::Part).contains("TODO_BROKER is not set"));
        let error = problem("embedded", Program::Part);
        assert!(
            error.contains(r#"TODO_BROKER is "embedded", allowed: kafka://"#),
            "{error}"
        );
    }

    #[test]
    fn redis_is_known_with_and_without_tls() {
        for url in [
            "redis://localhost",
            "rediss://u:p%40@host:1/2",
            "redis://[::1]:7",
        ] {
            let Ok(Some(Choice::Redis(found))) = read(url, Program::Part) else {
                panic!("{url}");
            };
            assert_eq!(found.expose(), url);
        }
        assert!(problem("redis://", Program::Whole).contains("redis://host:port"));
    }

    #[test]
    fn no_part_of_a_password_is_ever_shown() {
        for bad in [
            "amqp://user:hunter2@host",
            "redis://user:hunter2@host:port",
            "redis://:hun/hunter2@host:1",
            "redis://x@:hun?hunter2@host:port",
            "user:hunter2@host",
            "kafka://user:hunter2@host:9092",
            "kafka://host?sasl.password=hunter2",
            "kafka://host:1?acks=hunter2",
            "kafka://host:1?replication=hunter2",
            "kafka://host:1?sasl.password=hunter2@&a=%FF",
            "kafka://host:1?sasl.password=hunter2%FF",
        ] {
            for program in [Program::Whole, Program::Part] {
                let error = problem(bad, program);
                assert!(!error.contains("hunter2"), "{error}");
                assert!(error.contains("TODO_BROKER"), "{error}");
            }
        }
        assert!(problem("amqp://u:p@host:1/x", Program::Part).contains(r#""amqp://host:1""#));
    }

    #[cfg(feature = "kafka")]
    #[test]
    fn kafka_takes_several_servers_and_options() {
        let url = "kafka://a:1,b:2?replication=3&sasl.password=a%26b%40&security.protocol=ssl";
        let Ok(Some(Choice::Kafka(config))) = read(url, Program::Whole) else {
            panic!("a good URL");
        };
        assert_eq!((&*config.servers, config.replication), ("a:1,b:2", Some(3)));
        assert_eq!(config.properties["sasl.password"], "a&b@");
        assert_eq!(config.properties["security.protocol"], "ssl");
        let error = problem("kafka://localhost?acks=1&replication=0", Program::Part);
        for word in [
            "3 problems",
            "servers",
            "replication",
            "properties.acks",
            "host:port",
        ] {
            assert!(error.contains(word), "{word} is not in: {error}");
        }
    }

    #[cfg(not(feature = "kafka"))]
    #[test]
    fn a_build_without_kafka_says_how_to_get_one() {
        let error = problem("kafka://localhost:9092", Program::Whole);
        assert!(error.contains("--features kafka"), "{error}");
    }
}
