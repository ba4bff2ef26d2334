use std::num::NonZeroU32;

use bowline::broker::{Publisher as _, Record, Redis, SendStatus, Subscriber as _, Topics as _};
use bowline::error::Kind;

use crate::{
    MAX, ONE, ask, broker_on, joined, number, numbered, own_broker, own_server, owner, publish,
    read, read_numbers, shared_url,
};

fn into_partition(mut record: Record, partition: u32) -> Record {
    record.partition = Some(partition);
    record
}

#[tokio::test]
async fn a_batch_of_many_scripts_keeps_its_order() {
    let (broker, _) = own_broker().await;
    broker.create("t", ONE).await.expect("a new topic");
    let results = broker.publish((0..3_500).map(numbered).collect()).await;
    for (n, result) in (0..).zip(results) {
        assert_eq!(result.expect("acceptable").offset, Some(n));
    }
    let (mut subscriber, _) = owner(&broker, "g").await;
    let numbers = read_numbers(&mut subscriber, 3_500).await;
    assert_eq!(numbers, (0..3_500).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_batch_of_large_records_is_sent_in_parts() {
    let (broker, _) = own_broker().await;
    broker.create("t", ONE).await.expect("a new topic");
    let batch = (0..12).map(|_| Record::new("t", vec![b'x'; 1024 * 1024]));
    let results = broker.publish(batch.collect()).await;
    let offsets: Vec<_> = results
        .into_iter()
        .map(|result| result.unwrap().offset)
        .collect();
    assert_eq!(offsets, (0..12).map(Some).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_foreign_key_in_the_place_of_a_log_fails_its_partition_and_holds_back_its_keys() {
    let (broker, keys) = own_broker().await;
    broker
        .create("t", ONE.saturating_add(1))
        .await
        .expect("a new topic");
    let () = ask(&shared_url().await, &format!("SET {keys}:log:t:1 foreign")).await;
    let batch = vec![
        into_partition(numbered(0), 0),
        into_partition(numbered(1).with_key("a"), 1),
        into_partition(numbered(2).with_key("a"), 0),
        into_partition(numbered(3).with_key("b"), 0),
        into_partition(numbered(4), 1),
        into_partition(numbered(5).with_key("b"), 0),
    ];
    let results = broker.publish(batch).await;
    let kinds: Vec<_> = results
        .iter()
        .map(|result| result.as_ref().err().map(|error| error.error().kind()))
        .collect();
    let (conflict, held) = (Some(Kind::Conflict), Some(Kind::Contention));
    assert_eq!(kinds, [None, conflict, held, None, conflict, None]);
    let errors = results.iter().filter_map(|result| result.as_ref().err());
    for error in errors {
        assert_eq!(error.status(), SendStatus::NotSent);
    }
    let offsets: Vec<_> = results
        .iter()
        .flatten()
        .map(|appended| appended.offset)
        .collect();
    assert_eq!(offsets, [Some(0), Some(1), Some(2)]);
}

#[tokio::test]
async fn a_foreign_key_in_the_place_of_a_topic_is_a_conflict() {
    let (broker, keys) = own_broker().await;
    let () = ask(&shared_url().await, &format!("SET {keys}:topic:t foreign")).await;
    let error = broker.create("t", ONE).await.expect_err("no topic");
    assert_eq!(error.kind(), Kind::Conflict);
    let results = broker.publish(vec![numbered(0)]).await;
    let error = results[0].as_ref().expect_err("no topic");
    assert_eq!(error.error().kind(), Kind::Conflict);
    assert_eq!(error.status(), SendStatus::NotSent);
}

#[tokio::test]
async fn a_server_without_memory_says_so_and_takes_nothing() {
    let server = own_server().await;
    let broker = broker_on(&server, 1).await;
    publish(&broker, 0..1).await;
    let () = ask(&server.url(), "CONFIG SET maxmemory 1").await;
    let results = broker.publish((0..2_000).map(numbered).collect()).await;
    assert_eq!(results.len(), 2_000);
    for result in results {
        let error = result.expect_err("no memory");
        assert_eq!(error.error().kind(), Kind::Full);
        assert_eq!(error.status(), SendStatus::NotSent);
    }
    let () = ask(&server.url(), "CONFIG SET maxmemory 0").await;
    let results = broker.publish(vec![numbered(1)]).await;
    assert_eq!(results[0].as_ref().expect("memory").offset, Some(1));
}

#[tokio::test]
async fn a_server_that_forgot_the_scripts_is_told_again() {
    let server = own_server().await;
    let broker = broker_on(&server, 1).await;
    publish(&broker, 0..1).await;
    let () = ask(&server.url(), "SCRIPT FLUSH").await;
    publish(&broker, 1..2).await;
    let (mut subscriber, _) = owner(&broker, "g").await;
    assert_eq!(read_numbers(&mut subscriber, 2).await, [0, 1]);
}

#[tokio::test]
async fn a_topic_that_was_made_anew_is_published_to_as_it_is_now() {
    let server = own_server().await;
    let broker = broker_on(&server, 1).await;
    publish(&broker, 0..1).await;
    let () = ask(&server.url(), "FLUSHALL").await;
    drop(broker_on(&server, 3).await);
    let results = broker.publish(vec![into_partition(numbered(0), 2)]).await;
    assert_eq!(results[0].as_ref().expect("it has three").offset, Some(0));

    let () = ask(&server.url(), "FLUSHALL").await;
    drop(broker_on(&server, 1).await);
    publish(&broker, 0..20).await;
    let length: u64 = ask(&server.url(), "XLEN {bowline:broker}:log:t:0").await;
    assert_eq!(length, 20);
}

#[tokio::test]
async fn two_brokers_on_one_server_are_apart() {
    let ((one, _), (two, _)) = (own_broker().await, own_broker().await);
    one.create("t", ONE).await.expect("a new topic");
    let results = two.publish(vec![numbered(0)]).await;
    let error = results[0].as_ref().expect_err("not here");
    assert_eq!(error.error().kind(), Kind::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_no_replica_has_is_unknown() {
    let (server, replica) = (own_server().await, own_server().await);
    let plain = broker_on(&server, 1).await;
    let safe = plain.clone().with_replicas(NonZeroU32::MIN);
    let results = safe.publish((0..1_500).map(numbered).collect()).await;
    let error = results[0].as_ref().expect_err("no replica");
    assert_eq!(error.error().kind(), Kind::Timeout);
    assert_eq!(error.status(), SendStatus::Unknown);
    let rest = results[1_499].as_ref().expect_err("held back");
    assert_eq!(rest.status(), SendStatus::NotSent);

    let (host, port) = server.address().split_once(':').unwrap();
    let () = ask(&replica.url(), &format!("REPLICAOF {host} {port}")).await;
    let replicated = async { while safe.publish(vec![numbered(0)]).await[0].is_err() {} };
    let replicated = tokio::time::timeout(crate::PATIENCE, replicated).await;
    replicated.expect("the replica has it");
    let there: u64 = ask(&replica.url(), "XLEN {bowline:broker}:log:t:0").await;
    assert!(there > 1_000, "{there}");

    let onto_the_replica = Redis::connect(&replica.url()).await.expect("a server");
    let results = onto_the_replica.publish(vec![numbered(0)]).await;
    let error = results[0].as_ref().expect_err("a replica");
    assert_eq!(error.error().kind(), Kind::Unavailable);
    assert_eq!(error.status(), SendStatus::NotSent);
    drop::<Redis>(plain);
}

#[tokio::test]
async fn a_record_whose_headers_are_damaged_comes_without_them_and_is_no_message() {
    let (broker, prefix) = own_broker().await;
    broker.create("t", ONE).await.expect("a new topic");
    publish(&broker, 0..1).await;
    let url = shared_url().await;
    let damaged = format!("XADD {prefix}:log:t:0 1-1 t 0 h \u{1}\u{2} p 1");
    let _: String = ask(&url, &damaged).await;
    let _: i64 = ask(&url, &format!("HSET {prefix}:topic:t 0 2")).await;
    publish(&broker, 2..3).await;
    let (mut subscriber, _) = owner(&broker, "g").await;
    let records = read(&mut subscriber, 3).await;
    let numbers: Vec<_> = records.iter().map(|read| number(&read.record)).collect();
    assert_eq!(numbers, [0, 1, 2]);
    assert_eq!(records[1].record.headers.len(), 0);
    let error = records[1].record.to_message().expect_err("no headers");
    assert_eq!(error.kind(), Kind::Corrupt);
}

#[tokio::test]
async fn a_commit_that_somebody_overwrote_is_corrupt_and_moves_nobody() {
    let (broker, prefix) = own_broker().await;
    broker.create("t", ONE).await.expect("a new topic");
    publish(&broker, 0..2).await;
    let url = shared_url().await;
    let _: i64 = ask(&url, &format!("HSET {prefix}:done:t:0 g far")).await;
    let mut subscriber = joined(&broker, "g").await;
    let error = subscriber.poll(MAX).await.expect_err("it is no number");
    assert_eq!(error.kind(), Kind::Corrupt, "{error:?}");
    assert!(error.to_string().contains("commit of t/0"), "{error}");
}
