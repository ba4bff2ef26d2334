//! Calls of a transaction whose callers went away: they must not come into the next one.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bowline::broker::{Committed, TopicPartition};

use crate::topic;
use crate::transactions::{batch, connect, publish, seen_by_a_new_group, shared_config};

/// Begins `call`, and does not wait for it.
async fn give_up<F: Future>(call: F) {
    let mut call = pin!(call);
    poll_fn(|cx| {
        drop(call.as_mut().poll(cx));
        Poll::Ready(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_that_was_given_up_is_not_in_the_next_transaction() {
    let config = shared_config().await;
    let topic = topic(&config, 1).await;
    let lane = TopicPartition::new(Arc::clone(&topic), 0);
    let mut producer = connect(&config, &topic).await;
    for turn in 0..20 {
        let group = format!("group-{turn}-of-{topic}");
        let mut transaction = producer.begin().await.unwrap();
        publish(&mut transaction, batch(&topic, 0..1)).await;
        give_up(transaction.commit_position(&group, &lane, &Committed::new(7))).await;
        drop(transaction);
        let mut transaction = producer.begin().await.unwrap();
        publish(&mut transaction, batch(&topic, 1..2)).await;
        transaction.commit().await.unwrap();
        let position = producer.position(&group, &lane).await.unwrap();
        assert_eq!(position, None, "turn {turn}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_was_given_up_commits_nothing_of_the_next_transaction() {
    let config = shared_config().await;
    let topic = topic(&config, 1).await;
    let mut producer = connect(&config, &topic).await;
    for turn in 0..20 {
        let mut transaction = producer.begin().await.unwrap();
        publish(&mut transaction, batch(&topic, turn..turn + 1)).await;
        give_up(transaction.commit()).await;
        let mut transaction = producer.begin().await.unwrap();
        publish(&mut transaction, batch(&topic, 100..110)).await;
        transaction.abort().await.unwrap();
    }
    let mut transaction = producer.begin().await.unwrap();
    publish(&mut transaction, batch(&topic, 20..21)).await;
    transaction.commit().await.unwrap();
    // The commits were on their way before the next was begun, and are waited for.
    let expected: Vec<u32> = (0..21).collect();
    assert_eq!(seen_by_a_new_group(&config, &topic, 20).await, expected);
}
