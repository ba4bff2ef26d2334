use std::time::Duration;

use bowline::broker::kafka::{Config, GroupProtocol, Publisher, Subscriber, Topics, Transactions};
use bowline::testkit::broker::Harness;
use bowline_test_services::shared;

/// The Kafka broker of this process.
struct InKafka(Config);

impl InKafka {
    async fn new() -> Self {
        let broker = tokio::task::spawn_blocking(shared::kafka).await;
        let broker = broker.expect("no panic").expect("a broker");
        Self(Config::new(broker.address()))
    }

    async fn led_by_the_broker() -> Self {
        let Self(config) = Self::new().await;
        Self(config.with_group_protocol(GroupProtocol::Consumer))
    }

    fn subscriber(&self, session: u64) -> Subscriber {
        let config = self.0.clone();
        let config = config.with_session_timeout(Duration::from_secs(session));
        Subscriber::new(&config).expect("a usable configuration")
    }
}

impl Harness for InKafka {
    type Publisher = Publisher;
    type Subscriber = Subscriber;
    type Topics = Topics;

    fn publisher(&self) -> Publisher {
        Publisher::new(&self.0).expect("a usable configuration")
    }

    fn subscriber(&self) -> Subscriber {
        self.subscriber(20)
    }

    /// As little as the broker allows.
    fn impatient_subscriber(&self) -> Subscriber {
        self.subscriber(6)
    }

    fn topics(&self) -> Topics {
        Topics::new(&self.0).expect("a usable configuration")
    }
}

bowline::broker_conformance!(broker, InKafka::new().await);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions() {
    let harness = InKafka::new().await;
    let transactions = Transactions::new(&harness.0).expect("a usable configuration");
    bowline::testkit::broker::transactions(&harness, &transactions).await;
}

/// The same, with groups that the broker leads.
mod led_by_the_broker {
    use super::InKafka;

    bowline::broker_conformance!(broker, InKafka::led_by_the_broker().await);
}
