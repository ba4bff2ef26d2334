//! The operators' view: what all services say, as far as they answer.

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bowline::discovery::client::Error;
use bowline::message::TraceContext;
use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;
use todo_contracts::ops::{Breaker, Faults, Instance, Letter, Operations, Outbox};
use todo_contracts::services;
use todo_platform::auth::Caller;
use todo_platform::http::{Failure, Json, trace_of};
use todo_platform::ops::breaker;

use crate::proxy::{DEADLINE, unreachable};
use crate::run::App;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/api/ops", get(view))
        .route("/api/ops/faults", post(break_things))
        .route("/api/ops/dead-letters/{id}/{decision}", post(decide))
}

async fn view(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Json<Operations>, Failure> {
    caller.require_operator()?;
    // Each part is asked at the same time, and one that does not answer takes nothing from the rest.
    let (users, tasks, notifications, letters, channels) = tokio::join!(
        outbox(&app, services::USERS, &headers),
        outbox(&app, services::TASKS, &headers),
        outbox(&app, services::NOTIFICATIONS, &headers),
        ask::<Vec<Letter>>(&app, services::NOTIFICATIONS, "/ops/dead-letters", &headers),
        ask::<Vec<Breaker>>(&app, services::NOTIFICATIONS, "/ops/pipelines", &headers),
    );
    let breakers = app.client.pipelines().into_iter().filter_map(breaker);
    let breakers = breakers.chain(channels.unwrap_or_default());
    let watches = app.client.watches();
    let instances = watches.iter().flat_map(|watch| {
        let snapshot = watch.snapshot();
        snapshot
            .instances()
            .to_vec()
            .into_iter()
            .map(|instance| Instance {
                service: instance.service.to_string(),
                address: instance.address.to_string(),
                id: instance.id.to_string(),
            })
    });
    Ok(Json(Operations {
        breakers: breakers.collect(),
        outboxes: vec![users, tasks, notifications],
        dead_letters: letters.unwrap_or_default(),
        instances: instances.collect(),
        broker: app.broker.to_owned(),
        demo: app.demo,
    }))
}

async fn decide(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    Path((id, decision)): Path<(String, String)>,
) -> Result<Response, Failure> {
    caller.require_operator()?;
    // Only what is one segment of ours goes into the path of the next call.
    let known = matches!(&*decision, "redrive" | "discard");
    if !known || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Err(Failure::not_found("there is nothing at this path"));
    }
    let path = format!("/ops/dead-letters/{id}/{decision}");
    crate::proxy::post(&app, services::NOTIFICATIONS, &path, &headers, None::<&()>).await
}

async fn break_things(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    Json(faults): Json<Faults>,
) -> Result<Response, Failure> {
    caller.require_operator()?;
    for service in [services::TASKS, services::NOTIFICATIONS] {
        let answer = crate::proxy::post(&app, service, "/ops/faults", &headers, Some(&faults));
        let answer = answer.await?;
        if !answer.status().is_success() {
            return Ok(answer);
        }
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn outbox(app: &App, service: &'static str, headers: &HeaderMap) -> Outbox {
    let found = ask::<Outbox>(app, service, "/ops/outbox", headers).await;
    found.unwrap_or_else(|failure| Outbox {
        service: service.to_owned(),
        pending: 0,
        oldest_ms: None,
        parked: 0,
        owner: None,
        error: failure
            .problem()
            .detail()
            .map(str::to_owned)
            .or(Some("no answer".to_owned())),
    })
}

async fn ask<T: DeserializeOwned>(
    app: &App,
    service: &'static str,
    path: &str,
    headers: &HeaderMap,
) -> Result<T, Failure> {
    let trace: TraceContext = trace_of(headers);
    let call = app.client.invoke(app.services.name(service)).get(path);
    let call = call.forward(headers).trace(&trace).deadline(DEADLINE / 2);
    let answer: Result<T, Error> = call.send().await.and_then(|response| response.json());
    answer.map_err(|error| unreachable(service, &error))
}
