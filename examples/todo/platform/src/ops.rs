//! The operators' side of a service: its outbox, its dead letters, its pipelines, its faults.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use bowline::broker::Publisher;
use bowline::clock::{Clock, SystemClock};
use bowline::dlq::{self, DeadLetter, Filter, LetterId, Redrive, State as Decision};
use bowline::error::Kind;
use bowline::outbox;
use bowline::pipeline::{self, Pipeline};
use http::StatusCode;
use todo_contracts::ops::{Breaker, Faults, Letter, Outbox};

use crate::auth::{Caller, HasTokens, Tokens};
use crate::faults::Switches;
use crate::http::{Failure, Json};

/// The longest wait that can be set as a fault.
const DELAY_MAX: u64 = 60_000;

#[derive(Debug, Clone)]
struct OutboxApp<S> {
    service: &'static str,
    store: S,
    tokens: Tokens,
}

#[derive(Debug)]
struct LettersApp<S, P> {
    store: S,
    redrive: Arc<Redrive<S, P>>,
    tokens: Tokens,
}

#[derive(Debug, Clone)]
struct FaultsApp {
    switches: Switches,
    tokens: Tokens,
}

#[derive(Debug, Clone)]
struct PipelinesApp {
    pipelines: Vec<Pipeline>,
    tokens: Tokens,
}

/// `GET /ops/outbox`.
pub fn outbox<S: outbox::Store + Clone>(service: &'static str, store: S, tokens: Tokens) -> Router {
    Router::new()
        .route("/ops/outbox", get(outbox_status::<S>))
        .with_state(OutboxApp {
            service,
            store,
            tokens,
        })
}

/// `GET /ops/dead-letters` and `POST /ops/dead-letters/{id}/redrive` or `/discard`.
pub fn dead_letters<S: dlq::Store + Clone, P: Publisher + Clone>(
    store: S,
    publisher: P,
    tokens: Tokens,
) -> Router {
    let redrive = Arc::new(Redrive::new(store.clone(), publisher));
    Router::new()
        .route("/ops/dead-letters", get(letters::<S, P>))
        .route("/ops/dead-letters/{id}/redrive", post(redrive_one::<S, P>))
        .route("/ops/dead-letters/{id}/discard", post(discard_one::<S, P>))
        .with_state(LettersApp {
            store,
            redrive,
            tokens,
        })
}

/// `POST /ops/faults`; for demonstrations.
pub fn faults(switches: Switches, tokens: Tokens) -> Router {
    Router::new()
        .route("/ops/faults", post(set_faults))
        .with_state(FaultsApp { switches, tokens })
}

/// `GET /ops/pipelines`.
pub fn pipelines(pipelines: Vec<Pipeline>, tokens: Tokens) -> Router {
    Router::new()
        .route("/ops/pipelines", get(show_pipelines))
        .with_state(PipelinesApp { pipelines, tokens })
}

/// A pipeline as the operations page shows it, if it is a standard one.
#[must_use]
pub fn breaker(pipeline: pipeline::Snapshot) -> Option<Breaker> {
    let (breaker, retry) = (pipeline.breaker?, pipeline.retry?);
    let bulkhead = pipeline.bulkhead?;
    Some(Breaker {
        failure_rate: breaker.failure_rate(),
        name: breaker.name.to_string(),
        state: breaker.state.as_str().to_owned(),
        calls: breaker.calls.into(),
        failures: breaker.failures.into(),
        reason: breaker.reason.map(|reason| reason.as_str().to_owned()),
        rejected: breaker.rejected,
        retries: retry.retries,
        over_budget: retry.refused,
        running: bulkhead.running,
        places: bulkhead.limit,
    })
}

async fn outbox_status<S: outbox::Store + Clone>(
    State(app): State<OutboxApp<S>>,
    caller: Caller,
) -> Result<Json<Outbox>, Failure> {
    caller.require_operator()?;
    let status = app.store.status().await?;
    let now = SystemClock.now();
    Ok(Json(Outbox {
        service: app.service.to_owned(),
        pending: status.pending,
        oldest_ms: status
            .oldest
            .map(|oldest| (now - oldest).num_milliseconds()),
        parked: status.parked,
        owner: status.owner.map(|owner| owner.to_string()),
        error: None,
    }))
}

async fn letters<S: dlq::Store + Clone, P: Publisher + Clone>(
    State(app): State<LettersApp<S, P>>,
    caller: Caller,
) -> Result<Json<Vec<Letter>>, Failure> {
    caller.require_operator()?;
    // What waits for a decision comes first, however much was decided since.
    let mut letters = app.store.query(&Filter::open()).await?;
    let decided = app.store.query(&Filter::all()).await?;
    letters.extend(
        decided
            .into_iter()
            .filter(|one| one.state != Decision::Open),
    );
    Ok(Json(letters.iter().map(letter).collect()))
}

async fn redrive_one<S: dlq::Store + Clone, P: Publisher + Clone>(
    State(app): State<LettersApp<S, P>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Failure> {
    caller.require_operator()?;
    app.redrive.one(parse(&id)?).await.map_err(decision)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn discard_one<S: dlq::Store + Clone, P: Publisher + Clone>(
    State(app): State<LettersApp<S, P>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Failure> {
    caller.require_operator()?;
    app.store.discard(parse(&id)?).await.map_err(decision)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn set_faults(
    State(app): State<FaultsApp>,
    caller: Caller,
    Json(faults): Json<Faults>,
) -> Result<StatusCode, Failure> {
    caller.require_operator()?;
    if faults.delay_ms > DELAY_MAX {
        return Err(Failure::invalid(
            "delay_ms",
            format!("must be at most {DELAY_MAX}"),
        ));
    }
    let Switches {
        delay,
        refusal,
        outage,
    } = &app.switches;
    delay.set(Duration::from_millis(faults.delay_ms));
    refusal.set(faults.refuse);
    outage.set(faults.no_mail);
    Ok(StatusCode::NO_CONTENT)
}

async fn show_pipelines(
    State(app): State<PipelinesApp>,
    caller: Caller,
) -> Result<Json<Vec<Breaker>>, Failure> {
    caller.require_operator()?;
    let pipelines = app.pipelines.iter().map(Pipeline::snapshot);
    Ok(Json(pipelines.filter_map(breaker).collect()))
}

fn parse(id: &str) -> Result<LetterId, Failure> {
    id.parse()
        .map_err(|_malformed| Failure::not_found(format!("there is no dead letter {id}")))
}

/// A letter that is not there or was decided on already is the caller's affair.
fn decision(error: bowline::Error) -> Failure {
    match error.kind() {
        Kind::NotFound => Failure::not_found("there is no such dead letter"),
        Kind::Conflict => Failure::conflict(error.detail().unwrap_or("already decided").to_owned()),
        _ => error.into(),
    }
}

fn letter(letter: &DeadLetter) -> Letter {
    let event = letter
        .record
        .to_message()
        .ok()
        .map(|message| message.kind().to_owned());
    Letter {
        id: letter.id.to_string(),
        group: letter.group.to_string(),
        topic: letter.position.partition.topic.to_string(),
        partition: letter.position.partition.partition,
        offset: letter.position.offset,
        event,
        kind: letter.reason.kind.to_string(),
        message: letter.reason.message.to_string(),
        failures: letter.failures,
        redrives: letter.redrives,
        state: letter.state.as_str().to_owned(),
        last_failed_at: letter.last_failed_at,
    }
}

impl<S: Clone, P> Clone for LettersApp<S, P> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            redrive: Arc::clone(&self.redrive),
            tokens: self.tokens.clone(),
        }
    }
}

impl<S> HasTokens for OutboxApp<S> {
    fn tokens(&self) -> &Tokens {
        &self.tokens
    }
}

impl<S, P> HasTokens for LettersApp<S, P> {
    fn tokens(&self) -> &Tokens {
        &self.tokens
    }
}

impl HasTokens for PipelinesApp {
    fn tokens(&self) -> &Tokens {
        &self.tokens
    }
}

impl HasTokens for FaultsApp {
    fn tokens(&self) -> &Tokens {
        &self.tokens
    }
}
