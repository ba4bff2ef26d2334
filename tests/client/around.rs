//! Patterns of the caller's own around the client.

use std::time::Duration;

use bowline::breaker::{Breaker, State};
use bowline::bulkhead::Bulkhead;
use bowline::discovery::client::{Error, Kind};
use bowline::error::rejected;
use bowline::pipeline::Pipeline;
use bowline::retry::Retry;
use http::StatusCode;

use crate::support::{Fake, answer, client, refused};

#[tokio::test(start_paused = true)]
async fn a_stack_around_the_client_needs_no_error_type_of_its_own() {
    let fake = Fake::new(|_| async { answer(StatusCode::OK) });
    let client = client(&["a"], &fake).await;
    let bulkhead = Bulkhead::builder("shared").limit(1).build().unwrap();
    let stack = Pipeline::builder("tasks")
        .retry(Retry::builder().attempts(3).build().unwrap())
        .breaker(Breaker::builder("tasks").build().unwrap())
        .bulkhead(bulkhead.clone())
        .attempt_timeout(Duration::from_secs(1))
        .build()
        .unwrap();
    let call = || stack.run(|_| client.invoke("tasks").get("/").send());
    assert_eq!(call().await.expect("answered").status, StatusCode::OK);
    let held = bulkhead.try_acquire().expect("a place");
    for _ in 0..50 {
        let error: Error = call().await.expect_err("there is no place");
        assert_eq!(error.kind(), Kind::Rejected);
        assert_eq!(error.service(), "shared");
    }
    drop(held);
    assert_eq!(stack.breaker().map(Breaker::state), Some(State::Closed));
    assert_eq!(fake.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_the_client_refuses_by_itself_opens_no_breaker_around_it() {
    let fake = Fake::new(|_| async { refused() });
    let client = client(&["a"], &fake).await;
    let outer = Breaker::builder("outer").consecutive_failures(1_000);
    let outer = outer.without_failure_rate().build().unwrap();
    let mut by_itself = 0;
    for _ in 0..200 {
        let called = outer.call(|| client.invoke("tasks").get("/").send());
        let error = called.await.expect_err("nobody is there");
        by_itself += u32::from(rejected(&error).is_some());
    }
    assert!(by_itself > 0, "its own breaker has opened");
    assert_eq!(outer.snapshot().failures, (200 - by_itself).min(100));
}
