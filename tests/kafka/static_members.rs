//! Members with a name of their own, which the group knows again.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bowline::broker::kafka::{Config, GroupProtocol, Subscriber};
use bowline::broker::{Polled, Start, Subscriber as _};
use bowline::error::Kind;
use bowline_test_services::shared;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use crate::{config, topic};

const PATIENCE: Duration = Duration::from_secs(60);

async fn shared_config(protocol: GroupProtocol) -> Config {
    let broker = spawn_blocking(shared::kafka).await.unwrap();
    config(broker.expect("a broker")).with_group_protocol(protocol)
}

async fn joined(config: &Config, name: &str, topic: &Arc<str>) -> Subscriber {
    let config = config.clone().with_group_instance_id(name);
    let mut subscriber = Subscriber::new(&config).unwrap();
    let (group, topics) = (format!("group-of-{topic}"), [Arc::clone(topic)]);
    let subscribed = subscriber.subscribe(&group, &topics, Start::Earliest);
    subscribed.await.unwrap();
    subscriber
}

/// The partitions of a member, as they change, and how often they did.
#[derive(Debug, Default)]
struct Changes {
    partitions: BTreeSet<u32>,
    count: usize,
}

/// Polls, and writes down what changes; ends with the first error that does not pass.
async fn follow(subscriber: &mut Subscriber, changes: &Mutex<Changes>) -> Kind {
    let one = NonZeroUsize::MIN;
    loop {
        let (came, gone) = match subscriber.poll(one).await {
            Ok(Polled::Assigned(came)) => {
                let came = came.into_iter().map(|one| one.assignment).collect();
                (came, Vec::new())
            }
            Ok(Polled::Revoking(gone)) => {
                subscriber.release(&gone).await.unwrap();
                (Vec::new(), gone)
            }
            Ok(Polled::Lost(gone)) => (Vec::new(), gone),
            Ok(_) => continue,
            Err(failed) if failed.is_transient() => continue,
            Err(failed) => return failed.kind(),
        };
        let mut changes = changes.lock().unwrap();
        changes.count += 1;
        let came = came.iter().map(|one| one.partition.partition);
        changes.partitions.extend(came);
        for one in gone {
            changes.partitions.remove(&one.partition.partition);
        }
    }
}

async fn until(wanted: impl Fn() -> bool) {
    let waited = timeout(PATIENCE, async {
        while !wanted() {
            sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.expect("it comes");
}

async fn a_restart_is_not_noticed(protocol: GroupProtocol) {
    let config = shared_config(protocol).await;
    let topic = topic(&config, 4).await;
    let [first, again, other] = [(); 3].map(|()| Arc::new(Mutex::new(Changes::default())));
    let mut b = joined(&config, &format!("b-{topic}"), &topic).await;
    let mut a = joined(&config, &format!("a-{topic}"), &topic).await;
    let name = format!("a-{topic}");
    let shares = |one: &Mutex<Changes>| one.lock().unwrap().partitions.len();
    let scene = async {
        {
            let following = async { follow(&mut a, &first).await };
            let both = until(|| shares(&first) == 2 && shares(&other) == 2);
            tokio::select! {
                kind = following => panic!("{kind:?}"),
                () = both => {}
            }
        }
        let before = other.lock().unwrap().count;
        a.close().await.unwrap();
        let mut a = joined(&config, &name, &topic).await;
        {
            let following = async { follow(&mut a, &again).await };
            tokio::select! {
                kind = following => panic!("{kind:?}"),
                () = until(|| shares(&again) == 2) => {}
            }
        }
        // What others notice they would notice soon.
        sleep(Duration::from_secs(2)).await;
        assert_eq!(other.lock().unwrap().count, before, "the other noticed");
        let same = first.lock().unwrap().partitions == again.lock().unwrap().partitions;
        assert!(same, "{first:?} {again:?}");
        a.close().await.unwrap();
    };
    tokio::select! {
        kind = follow(&mut b, &other) => panic!("{kind:?}"),
        () = scene => {}
    }
    b.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_a_named_member_is_not_noticed_by_the_others() {
    a_restart_is_not_noticed(GroupProtocol::Classic).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_a_named_member_is_not_noticed_in_a_group_led_by_the_broker() {
    a_restart_is_not_noticed(GroupProtocol::Consumer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_members_with_one_name_the_right_one_is_fenced() {
    for protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
        let config = shared_config(protocol).await;
        let topic = topic(&config, 2).await;
        let [old, new] = [(); 2].map(|()| Mutex::new(Changes::default()));
        let mut older = joined(&config, &topic, &topic).await;
        let has = |one: &Mutex<Changes>| !one.lock().unwrap().partitions.is_empty();
        tokio::select! {
            kind = follow(&mut older, &old) => panic!("{kind:?}"),
            () = until(|| has(&old)) => {}
        }
        let mut newer = joined(&config, &topic, &topic).await;
        let fenced = timeout(PATIENCE, async {
            tokio::select! {
                kind = follow(&mut older, &old) => (GroupProtocol::Classic, kind),
                kind = follow(&mut newer, &new) => (GroupProtocol::Consumer, kind),
            }
        });
        assert_eq!(fenced.await.expect("one ends"), (protocol, Kind::Fenced));
        drop((older, newer));
    }
}
