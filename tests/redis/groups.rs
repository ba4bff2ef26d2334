use std::collections::HashMap;
use std::time::Duration;

use bowline::broker::{
    Commit, Polled, Publisher as _, Record, Start, Subscriber as _, Topics as _,
};
use bowline::error::Kind;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    MAX, ONE, PATIENCE, ask, commit, joined, own_broker, own_server, owner, poll, publish,
    read_numbers, shared_url,
};

/// `XAUTOCLAIM` by idle time would hand the record to the other member.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn running_work_is_not_stolen_from_a_member_that_polls() {
    let session = Duration::from_millis(500);
    let (broker, _) = own_broker().await;
    let broker = broker.with_session_timeout(session);
    broker.create("t", ONE).await.expect("a new topic");
    publish(&broker, 0..1).await;
    let (mut slow, mine) = owner(&broker, "g").await;
    assert_eq!(read_numbers(&mut slow, 1).await, [0]);
    let mut other = joined(&broker, "g").await;
    let others = tokio::spawn(async move { timeout(4 * session, poll(&mut other)).await });

    slow.pause(&mine[0].assignment.partition);
    let end = Instant::now() + 3 * session;
    while Instant::now() < end {
        let polled = timeout(session / 5, slow.poll(MAX)).await;
        assert!(polled.is_err(), "nothing happens: {polled:?}");
    }
    commit(&mut slow, &mine[0].assignment, 1).await;
    slow.close().await.expect("closed");
    let taken = others.await.expect("no panic").expect("it is free");
    let Polled::Assigned(taken) = taken else {
        panic!("nothing came before: {taken:?}")
    };
    assert_eq!(taken[0].committed.as_ref().map(|done| done.next), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_poll_is_woken_by_the_server_and_not_by_looking() {
    let (broker, _) = own_broker().await;
    let broker = broker.with_session_timeout(Duration::from_secs(3600));
    broker.create("t", ONE).await.expect("a new topic");
    let (mut subscriber, _) = owner(&broker, "g").await;
    let waiting = tokio::spawn(async move {
        let read = read_numbers(&mut subscriber, 1).await;
        (subscriber, read, Instant::now())
    });
    sleep(Duration::from_millis(200)).await;
    let published = Instant::now();
    publish(&broker, 0..1).await;
    let (subscriber, read, woken) = waiting.await.expect("no panic");
    assert_eq!(read, [0]);
    assert!(
        woken - published < Duration::from_secs(3),
        "not by a time that passed"
    );

    let mut other = joined(&broker, "g").await;
    let both = timeout(PATIENCE, async {
        subscriber.close().await.expect("closed");
        poll(&mut other).await
    });
    assert!(matches!(both.await.expect("woken"), Polled::Assigned(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_subscriber_asks_next_to_nothing() {
    let server = own_server().await;
    let broker = crate::broker_on(&server, 8).await;
    let (mut subscriber, _) = owner(&broker, "g").await;
    let waiting = async |time| {
        for _ in 0..20 {
            timeout(time / 20, subscriber.poll(MAX))
                .await
                .expect_err("there is nothing to read");
        }
    };
    let mut waiting = waiting;
    waiting(Duration::from_millis(200)).await;
    let before = commands(&server.url()).await;
    waiting(Duration::from_secs(2)).await;
    let after = commands(&server.url()).await;
    // One sign of life, of five commands, and our own question.
    assert!(
        after - before < 20,
        "{} commands in two seconds",
        after - before
    );
}

async fn commands(url: &str) -> u64 {
    let info: redis::InfoDict = ask(url, "INFO stats").await;
    info.get("total_commands_processed").expect("a number")
}

#[tokio::test]
async fn the_server_shows_how_far_behind_a_group_is() {
    let (broker, keys) = own_broker().await;
    let url = shared_url().await;
    broker.create("t", ONE).await.expect("a new topic");
    publish(&broker, 0..10).await;
    let (mut subscriber, mine) = owner(&broker, "g").await;
    let lag = async || {
        let command = format!("XINFO GROUPS {keys}:log:t:0");
        let groups: Vec<HashMap<String, redis::Value>> = ask(&url, &command).await;
        assert_eq!(groups.len(), 1, "{groups:?}");
        let name: String = redis::from_redis_value(groups[0]["name"].clone()).unwrap();
        assert_eq!(name, "g");
        redis::from_redis_value::<u64>(groups[0]["lag"].clone()).expect("a number")
    };
    assert_eq!(lag().await, 10);
    commit(&mut subscriber, &mine[0].assignment, 7).await;
    assert_eq!(lag().await, 3);
    publish(&broker, 10..12).await;
    assert_eq!(lag().await, 5);
    commit(&mut subscriber, &mine[0].assignment, 2).await;
    assert_eq!(lag().await, 10, "a group may go back");
}

#[tokio::test]
async fn a_group_that_begins_at_the_end_is_shown_there() {
    let (broker, keys) = own_broker().await;
    broker.create("t", ONE).await.expect("a new topic");
    publish(&broker, 0..10).await;
    let mut subscriber = broker.subscriber();
    let topics = ["t".into()];
    let joined = subscriber.subscribe("g", &topics, Start::Latest).await;
    joined.expect("the topic exists");
    let Polled::Assigned(mine) = poll(&mut subscriber).await else {
        panic!("nobody else is there")
    };
    assert_eq!(mine[0].committed.as_ref().map(|done| done.next), Some(10));
    let command = format!("XINFO GROUPS {keys}:log:t:0");
    let groups: Vec<HashMap<String, redis::Value>> = ask(&shared_url().await, &command).await;
    assert_eq!(groups[0]["lag"], redis::Value::Int(0));
}

#[tokio::test]
async fn a_dead_member_is_replaced_though_the_clock_went_back() {
    let (broker, keys) = own_broker().await;
    let broker = broker.with_session_timeout(Duration::from_millis(300));
    broker.create("t", ONE).await.expect("a new topic");
    let (mut dead, ended) = owner(&broker, "g").await;
    let url = shared_url().await;
    let seen: HashMap<String, String> = ask(&url, &format!("HGETALL {keys}:seen:g")).await;
    let (id, sign) = seen.iter().next().expect("one member");
    let (at, timeout) = sign.split_once(' ').expect("two numbers");
    let later = at.parse::<u64>().unwrap() + 3_600_000;
    let client = redis::Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut set = redis::cmd("HSET");
    set.arg(format!("{keys}:seen:g"))
        .arg(id)
        .arg(format!("{later} {timeout}"));
    set.exec_async(&mut connection).await.expect("set");

    let mut member = joined(&broker, "g").await;
    let Polled::Assigned(taken) = poll(&mut member).await else {
        panic!("replaced")
    };
    let ended = ended[0].assignment.clone();
    assert!(taken[0].assignment.epoch > ended.epoch);
    let late = dead.commit(&[Commit::new(ended, 1)]).await;
    assert_eq!(late.expect_err("replaced").kind(), Kind::Fenced);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_may_join_at_once_and_each_gets_its_share() {
    let (broker, _) = own_broker().await;
    let twenty = ONE.saturating_add(19);
    broker.create("t", twenty).await.expect("a new topic");
    let members: Vec<_> = (0..10)
        .map(|_| {
            let broker = broker.clone();
            tokio::spawn(async move {
                let mut member = joined(&broker, "g").await;
                let mut owned = 0;
                let end = Instant::now() + Duration::from_secs(4);
                while let Ok(polled) = tokio::time::timeout_at(end, member.poll(MAX)).await {
                    match polled.expect("no error") {
                        Polled::Assigned(new) => owned += new.len(),
                        Polled::Revoking(back) => {
                            owned -= back.len();
                            member.release(&back).await.expect("released");
                        }
                        other => panic!("nothing else happens: {other:?}"),
                    }
                }
                (member, owned)
            })
        })
        .collect();
    let mut kept = Vec::new();
    for member in members {
        let (member, owned) = member.await.expect("no panic");
        assert_eq!(owned, 2);
        kept.push(member);
    }
}

#[tokio::test]
async fn the_newer_protocol_is_understood_as_well() {
    let url = format!("{}/?protocol=resp3", shared_url().await);
    let broker = bowline::broker::Redis::connect(&url)
        .await
        .expect("a server");
    let broker = broker.with_prefix(&uuid::Uuid::now_v7().to_string());
    broker.create("t", ONE).await.expect("a new topic");
    publish(&broker, 0..3).await;
    let (mut subscriber, mine) = owner(&broker, "g").await;
    assert_eq!(read_numbers(&mut subscriber, 3).await, [0, 1, 2]);
    commit(&mut subscriber, &mine[0].assignment, 2).await;
    subscriber.close().await.expect("closed");
    let (_, mine) = owner(&broker, "g").await;
    assert_eq!(mine[0].committed.as_ref().map(|done| done.next), Some(2));
}

/// Redis would answer with all that was asked for at once, be it gigabytes.
#[tokio::test]
async fn large_records_come_a_few_at_a_time() {
    let (broker, _) = own_broker().await;
    broker.create("t", ONE).await.expect("a new topic");
    let batch = (0..64).map(|_| Record::new("t", vec![b'x'; 512 * 1024]));
    for result in broker.publish(batch.collect()).await {
        result.expect("acceptable");
    }
    let (mut subscriber, _) = owner(&broker, "g").await;
    let mut read = Vec::new();
    while read.iter().sum::<usize>() < 64 {
        match poll(&mut subscriber).await {
            Polled::Records(records) => read.push(records.len()),
            other => panic!("expected records: {other:?}"),
        }
    }
    assert!(read.iter().all(|count| *count <= 16), "{read:?}");
    assert!(read[1..].iter().all(|count| *count <= 8), "{read:?}");
}

#[tokio::test]
async fn a_session_may_last_for_ever() {
    let (broker, _) = own_broker().await;
    let broker = broker.with_session_timeout(Duration::MAX);
    broker.create("t", ONE).await.expect("a new topic");
    let (mut subscriber, mine) = owner(&broker, "g").await;
    publish(&broker, 0..1).await;
    assert_eq!(read_numbers(&mut subscriber, 1).await, [0]);
    commit(&mut subscriber, &mine[0].assignment, 1).await;
    let mut other = joined(&broker, "g").await;
    subscriber.close().await.expect("closed");
    assert!(matches!(poll(&mut other).await, Polled::Assigned(_)));
}
