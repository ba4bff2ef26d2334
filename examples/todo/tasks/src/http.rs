//! The HTTP side.

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use bowline::idempotency::{Fingerprint, Key};
use http::{HeaderMap, StatusCode};
use todo_contracts::api::{NewTask, Page, Task};
use todo_platform::auth::{Caller, HasTokens, Tokens};
use todo_platform::faults::Delay;
use todo_platform::http::{After, Failure, Id, Json, trace_of};
use uuid::Uuid;

use crate::store::{By, Created, Request, Store};

const TITLE_MAX: usize = 200;
const PAGE: usize = 100;
const IDEMPOTENCY_KEY: &str = "idempotency-key";
const KEY_MAX: usize = 255;

#[derive(Debug, Clone)]
pub(crate) struct App<S> {
    pub(crate) store: S,
    pub(crate) tokens: Tokens,
    pub(crate) delay: Delay,
}

impl<S> HasTokens for App<S> {
    fn tokens(&self) -> &Tokens {
        &self.tokens
    }
}

pub(crate) fn routes<S: Store>(app: App<S>) -> Router {
    Router::new()
        .route("/api/tasks", get(list::<S>).post(create::<S>))
        .route("/api/tasks/{id}", axum::routing::delete(delete::<S>))
        .route("/api/tasks/{id}/complete", post(complete::<S>))
        .layer(axum::middleware::from_fn_with_state(
            app.delay.clone(),
            Delay::apply,
        ))
        .with_state(app)
}

async fn create<S: Store>(
    State(app): State<App<S>>,
    caller: Caller,
    headers: HeaderMap,
    Json(new): Json<NewTask>,
) -> Result<(StatusCode, Json<Task>), Failure> {
    let title = new.title.trim();
    let length = title.chars().count();
    if !(1..=TITLE_MAX).contains(&length) || title.chars().any(char::is_control) {
        return Err(Failure::invalid(
            "title",
            format!("must have 1 to {TITLE_MAX} characters, none of them a control character"),
        ));
    }
    let request = request(&headers, caller.user, title)?;
    let by = By::new(caller.user, trace_of(&headers));
    match app.store.create(&by, title, request.as_ref()).await? {
        // A repeated request gets the very answer it missed.
        Created::New(task) | Created::Before(task) => Ok((StatusCode::CREATED, Json(task))),
        Created::Mismatch => Err(Failure::invalid(
            IDEMPOTENCY_KEY,
            "was used for another request; use a new key for a new request",
        )),
    }
}

async fn list<S: Store>(
    State(app): State<App<S>>,
    caller: Caller,
    After(after): After,
) -> Result<Json<Page<Task>>, Failure> {
    let limit = i64::try_from(PAGE).unwrap_or(i64::MAX);
    let items = app.store.list(caller.user, after, limit).await?;
    let next = (items.len() == PAGE)
        .then(|| items.last().map(|task| task.id.to_string()))
        .flatten();
    Ok(Json(Page { items, next }))
}

async fn complete<S: Store>(
    State(app): State<App<S>>,
    caller: Caller,
    headers: HeaderMap,
    Id(id): Id,
) -> Result<Json<Task>, Failure> {
    let by = By::new(caller.user, trace_of(&headers));
    let task = app.store.complete(&by, id).await?;
    task.map(Json)
        .ok_or_else(|| Failure::not_found(format!("there is no task {id}")))
}

async fn delete<S: Store>(
    State(app): State<App<S>>,
    caller: Caller,
    headers: HeaderMap,
    Id(id): Id,
) -> Result<StatusCode, Failure> {
    let by = By::new(caller.user, trace_of(&headers));
    match app.store.delete(&by, id).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Failure::not_found(format!("there is no task {id}"))),
    }
}

/// The idempotency key of a request, if it has one, and what is asked under it.
fn request(headers: &HeaderMap, user: Uuid, title: &str) -> Result<Option<Request>, Failure> {
    let Some(key) = headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    let key = key
        .to_str()
        .ok()
        .filter(|key| (1..=KEY_MAX).contains(&key.len()))
        .ok_or_else(|| {
            Failure::invalid(
                IDEMPOTENCY_KEY,
                format!("must have 1 to {KEY_MAX} visible ASCII characters"),
            )
        })?;
    let scope = format!("POST /api/tasks {user}");
    Ok(Some(Request::new(
        Key::new(scope, key),
        Fingerprint::new(title),
    )))
}
