use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bowline::broker::{Polled, Publisher as _, Redis, SendStatus, Start, Subscriber as _};
use bowline::error::Kind;
use bowline_test_services::Proxy;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use crate::{
    MAX, PATIENCE, Server, ask, broker_on, commit, number, numbered, own_server, owner, poll,
    publish, read_numbers, steer,
};

const KEYS: u32 = 5;

#[tokio::test]
async fn a_server_that_is_down_at_the_start_is_unavailable() {
    let server = own_server().await;
    steer(&server, Server::kill).await;
    let error = Redis::connect(&server.url()).await.expect_err("no server");
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.is_transient());
}

#[tokio::test]
async fn wrong_credentials_are_unauthorized_and_not_told() {
    let server = own_server().await;
    let () = ask(&server.url(), "CONFIG SET requirepass secret").await;
    let address = server.address();
    for url in [server.url(), format!("redis://:guess@{address}")] {
        let refused = timeout(PATIENCE, Redis::connect(&url)).await;
        let error = refused.expect("an answer").expect_err("wrong");
        assert_eq!(error.kind(), Kind::Unauthorized, "{error:?}");
        assert!(!format!("{error:?}").contains("guess"), "{error:?}");
    }
    let right = Redis::connect(&format!("redis://:secret@{address}")).await;
    right.expect("the password is right");
}

#[tokio::test]
async fn what_is_no_url_is_invalid() {
    let error = Redis::connect("http://localhost").await.expect_err("http");
    assert_eq!(error.kind(), Kind::Invalid);
}

/// Publishes each record again until it is acknowledged; a key never passes a failed record.
async fn publish_all(broker: Redis, count: u32) -> u32 {
    let mut left: Vec<u32> = (0..count).collect();
    let mut failures = 0;
    while !left.is_empty() {
        let turn = left.len().min(20);
        let batch = left[..turn].iter();
        let batch = batch.map(|n| numbered(*n).with_key((n % KEYS).to_string()));
        let mut results = broker.publish(batch.collect()).await.into_iter();
        left.retain(|_| match results.next() {
            Some(Ok(_)) => false,
            Some(Err(error)) => {
                assert!(error.error().is_transient(), "{error:?}");
                failures += 1;
                true
            }
            None => true,
        });
        sleep(Duration::from_millis(10)).await;
    }
    failures
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_out_of_order_when_the_server_is_killed_again_and_again() {
    const COUNT: u32 = 1_000;
    let server = own_server().await;
    let broker = broker_on(&server, 3).await;
    let publishing = tokio::spawn(publish_all(broker.clone(), COUNT));
    let killing = tokio::spawn(async move {
        for _ in 0..3 {
            sleep(Duration::from_millis(200)).await;
            steer(&server, Server::kill).await;
            sleep(Duration::from_millis(100)).await;
            steer(&server, Server::restart).await;
        }
        server
    });
    let mut subscriber = crate::joined(&broker, "g").await;
    let mut seen: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    while seen.values().map(Vec::len).sum::<usize>() < COUNT as usize {
        if let Polled::Records(records) = poll(&mut subscriber).await {
            for received in records {
                let number = number(&received.record);
                let key = seen.entry(number % KEYS).or_default();
                // What was published twice is seen twice.
                if !key.contains(&number) {
                    key.push(number);
                }
            }
        }
    }
    for numbers in seen.values() {
        assert!(numbers.is_sorted(), "{numbers:?}");
    }
    publishing.await.expect("no panic");
    drop(killing.await.expect("no panic"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_was_lost_leaves_the_record_unknown() {
    let server = own_server().await;
    let broker = broker_on(&server, 1).await;
    publish(&broker, 0..1).await;
    steer(&server, Server::stop).await;
    let results = broker.publish(vec![numbered(1)]).await;
    let error = results[0].as_ref().expect_err("nobody answers");
    assert_eq!(error.error().kind(), Kind::Timeout, "{error:?}");
    assert_eq!(error.status(), SendStatus::Unknown);
    steer(&server, Server::resume).await;
    let (mut subscriber, _) = owner(&broker, "g").await;
    assert_eq!(
        read_numbers(&mut subscriber, 2).await,
        [0, 1],
        "it was sent"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_for_a_server_that_is_down_was_not_sent() {
    let server = own_server().await;
    let broker = broker_on(&server, 1).await;
    steer(&server, Server::kill).await;
    let sending = async {
        loop {
            let results = broker.publish(vec![numbered(0), numbered(1)]).await;
            let errors: Vec<_> = results.into_iter().map(Result::unwrap_err).collect();
            assert_eq!(errors.len(), 2);
            assert!(errors.iter().all(|error| error.error().is_transient()));
            // The first may have gone into a connection that was just breaking.
            if errors[0].status() == SendStatus::NotSent {
                assert_eq!(errors[1].status(), SendStatus::NotSent);
                return;
            }
        }
    };
    timeout(PATIENCE, sending).await.expect("refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_of_a_server_that_hangs_ends_and_goes_on_later() {
    let server = own_server().await;
    let broker = broker_on(&server, 1).await;
    let broker = broker.with_session_timeout(Duration::from_secs(3600));
    let (mut subscriber, _) = owner(&broker, "g").await;
    let waiting = subscriber.poll(MAX);
    timeout(Duration::from_millis(300), waiting)
        .await
        .expect_err("there is nothing to read");
    steer(&server, Server::stop).await;
    let polled = timeout(PATIENCE, subscriber.poll(MAX)).await;
    let error = polled
        .expect("it does not wait for ever")
        .expect_err("hangs");
    assert_eq!(error.kind(), Kind::Timeout);
    steer(&server, Server::resume).await;
    publish(&broker, 0..3).await;
    assert_eq!(read_numbers(&mut subscriber, 3).await, [0, 1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_breaks_costs_nothing_but_time() {
    let server = own_server().await;
    let proxy = Proxy::start(server.address()).expect("a proxy");
    let url = format!("redis://{}", proxy.address());
    let near = broker_on(&server, 1).await;
    let far = Redis::connect(&url).await.expect("a server");
    let (mut subscriber, mine) = owner(&far, "g").await;
    publish(&near, 0..5).await;
    assert_eq!(read_numbers(&mut subscriber, 5).await, [0, 1, 2, 3, 4]);
    let proxy = spawn_blocking(move || {
        proxy.cut();
        proxy
    });
    let proxy = proxy.await.expect("no panic");
    publish(&near, 5..10).await;
    let error = subscriber.poll(MAX).await.expect_err("cut off");
    assert_eq!(error.kind(), Kind::Unavailable, "{error:?}");
    proxy.heal().expect("the port is free");
    // Neither lost nor read again: it is the same server.
    assert_eq!(read_numbers(&mut subscriber, 5).await, [5, 6, 7, 8, 9]);
    let assignment = mine[0].assignment.clone();
    let committing = async {
        let commit = bowline::broker::Commit::new(assignment, 10);
        while let Err(error) = subscriber.commit(std::slice::from_ref(&commit)).await {
            assert!(error.is_transient(), "still ours: {error:?}");
        }
    };
    timeout(PATIENCE, committing).await.expect("committed");
}

/// After a fail-over that lost writes, others take the offsets of those that were lost: a member that
/// went on where it was would never see them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_does_not_skip_what_takes_the_place_of_lost_records() {
    let server = own_server().await;
    let broker = broker_on(&server, 1).await;
    publish(&broker, 0..10).await;
    let (mut subscriber, mine) = owner(&broker, "g").await;
    assert_eq!(read_numbers(&mut subscriber, 10).await.len(), 10);
    commit(&mut subscriber, &mine[0].assignment, 5).await;
    // From here on nothing survives.
    let () = ask(&server.url(), "CONFIG SET appendonly no").await;
    publish(&broker, 10..20).await;
    assert_eq!(read_numbers(&mut subscriber, 10).await.len(), 10);
    commit(&mut subscriber, &mine[0].assignment, 20).await;
    steer(&server, Server::restart).await;
    let again = broker_on_again(&server).await;
    publish(&again, 100..115).await;

    let late = bowline::broker::Commit::new(mine[0].assignment.clone(), 20);
    let fenced = async {
        loop {
            let late = subscriber.commit(std::slice::from_ref(&late)).await;
            match late.expect_err("those were others") {
                again if again.is_transient() => {}
                error => return error.kind(),
            }
        }
    };
    let kind = timeout(PATIENCE, fenced).await.expect("an answer");
    assert_eq!(kind, Kind::Fenced);

    let Polled::Lost(lost) = poll(&mut subscriber).await else {
        panic!("the log is not the same")
    };
    assert_eq!(lost, [mine[0].assignment.clone()]);
    let Polled::Assigned(anew) = poll(&mut subscriber).await else {
        panic!("it joins again")
    };
    assert!(anew[0].assignment.epoch > lost[0].epoch);
    assert_eq!(anew[0].committed.as_ref().map(|found| found.next), Some(5));
    let expected: Vec<u32> = (5..10).chain(100..115).collect();
    assert_eq!(read_numbers(&mut subscriber, 20).await, expected);
}

/// Connects until it works.
async fn broker_on_again(server: &Server) -> Redis {
    Redis::connect(&server.url()).await.expect("it is back")
}

#[tokio::test]
async fn a_group_that_was_further_than_the_log_goes_on_at_its_end() {
    let server = own_server().await;
    let broker = broker_on(&server, 1).await;
    publish(&broker, 0..10).await;
    let (mut subscriber, mine) = owner(&broker, "g").await;
    let far = bowline::broker::Commit::new(mine[0].assignment.clone(), 10).with_metadata("of 12");
    subscriber.commit(&[far]).await.expect("ours");
    subscriber.close().await.expect("closed");
    // Somebody deletes the topic and makes it anew, and the commits stay.
    let () = ask(
        &server.url(),
        "DEL {bowline:broker}:topic:t {bowline:broker}:log:t:0",
    )
    .await;
    let broker = broker_on(&server, 1).await;
    publish(&broker, 0..3).await;

    let (mut subscriber, mine) = owner(&broker, "g").await;
    let committed = mine[0].committed.clone().expect("it had committed");
    assert_eq!((committed.next, committed.metadata), (3, None));
    publish(&broker, 3..5).await;
    assert_eq!(read_numbers(&mut subscriber, 2).await, [3, 4]);
}

#[tokio::test]
async fn a_server_that_lost_everything_is_said_so() {
    let server = own_server().await;
    let broker = broker_on(&server, 1).await;
    let broker = broker.with_session_timeout(Duration::from_millis(300));
    let (mut subscriber, mine) = owner(&broker, "g").await;
    let () = ask(&server.url(), "FLUSHALL").await;
    let commit = bowline::broker::Commit::new(mine[0].assignment.clone(), 0);
    let error = subscriber.commit(&[commit]).await.expect_err("gone");
    assert_eq!(error.kind(), Kind::Fenced);
    assert!(matches!(poll(&mut subscriber).await, Polled::Lost(_)));
    let error = subscriber.poll(MAX).await.expect_err("no topic");
    assert_eq!(error.kind(), Kind::NotFound);
    let results = broker.publish(vec![numbered(0)]).await;
    let error = results[0].as_ref().expect_err("no topic");
    assert_eq!(error.error().kind(), Kind::NotFound);
    assert_eq!(error.status(), SendStatus::NotSent);

    let broker = broker_on(&server, 4).await;
    publish(&broker, 0..8).await;
    let mut anew = broker.subscriber();
    let topics = ["t".into()];
    let joined = anew.subscribe("g", &topics, Start::Earliest).await;
    joined.expect("the topic is there");
    let Polled::Assigned(four) = poll(&mut anew).await else {
        panic!("nobody else is there")
    };
    assert_eq!(four.len(), 4);
    assert!(
        four.iter()
            .all(|new| new.assignment.epoch > mine[0].assignment.epoch)
    );
}

/// As in a fail-over: the server refuses to write and sends those away who wait, and keeps the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_a_replica_for_a_while_costs_nothing_but_time() {
    let (server, other) = (own_server().await, own_server().await);
    let broker = broker_on(&server, 1).await;
    let (mut subscriber, mine) = owner(&broker, "g").await;
    publish(&broker, 0..5).await;
    assert_eq!(read_numbers(&mut subscriber, 5).await, [0, 1, 2, 3, 4]);
    follow(&other, &server).await;
    let caught_up = async {
        while ask::<u64>(&other.url(), "XLEN {bowline:broker}:log:t:0").await < 5 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, caught_up).await.expect("a replica");
    let () = ask(&other.url(), "REPLICAOF NO ONE").await;
    let waiting = timeout(Duration::from_millis(100), subscriber.poll(MAX)).await;
    waiting.expect_err("there is nothing to read");

    follow(&server, &other).await;
    let polled = timeout(PATIENCE, async {
        loop {
            match subscriber.poll(MAX).await {
                Ok(Polled::Records(_)) => panic!("there is nothing to read"),
                Ok(_) => {}
                Err(error) => return error,
            }
        }
    });
    let error = polled.await.expect("it does not wait for ever");
    assert!(error.is_transient(), "{error:?}");
    let results = broker.publish(vec![numbered(5)]).await;
    let error = results[0].as_ref().expect_err("a replica");
    assert!(error.error().is_transient(), "{error:?}");
    assert_eq!(error.status(), SendStatus::NotSent);
    let commit = bowline::broker::Commit::new(mine[0].assignment.clone(), 5);
    let error = subscriber.commit(&[commit]).await.expect_err("a replica");
    assert!(error.is_transient(), "{error:?}");
    let before: u64 = connections(&server).await;
    broker.publish(vec![numbered(5)]).await[0]
        .as_ref()
        .expect_err("still a replica");
    assert!(
        connections(&server).await > before + 1,
        "its name is looked up again: another server may have it"
    );

    let () = ask(&server.url(), "REPLICAOF NO ONE").await;
    publish(&broker, 5..8).await;
    assert_eq!(read_numbers(&mut subscriber, 3).await, [5, 6, 7]);
}

/// Makes `server` a replica of `master`.
async fn follow(server: &Server, master: &Server) {
    let (host, port) = master.address().split_once(':').expect("host:port");
    let () = ask(&server.url(), &format!("REPLICAOF {host} {port}")).await;
}

/// How many connections the server has taken, this one too.
async fn connections(server: &Server) -> u64 {
    let info: redis::InfoDict = ask(&server.url(), "INFO stats").await;
    info.get("total_connections_received").expect("known")
}

#[tokio::test]
async fn a_server_that_may_throw_logs_away_is_warned_of() {
    let careless = ["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"];
    let started = spawn_blocking(move || Server::start_with(&careless)).await;
    let careless = started.expect("no panic").expect("a server");
    let said = warnings(&careless).await;
    assert!(said.contains("noeviction"), "{said}");
    assert!(!said.contains("appendonly"), "{said}");
    let () = ask(&careless.url(), "CONFIG SET appendonly no").await;
    let said = warnings(&careless).await;
    assert!(said.contains("appendonly"), "{said}");
    assert_eq!(warnings(&*own_server().await).await, "", "nothing to say");
}

/// What is logged when somebody connects to `server`.
async fn warnings(server: &Server) -> String {
    let said = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&said);
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .with_ansi(false)
        .with_writer(move || Log(Arc::clone(&log)))
        .finish();
    // This test has one thread, so all that it does is seen.
    let _seen = tracing::subscriber::set_default(subscriber);
    Redis::connect(&server.url()).await.expect("a server");
    String::from_utf8(said.lock().expect("alone").clone()).expect("text")
}

struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("alone").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
