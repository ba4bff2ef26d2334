//! The HTTP side: a person's notifications.

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use http::StatusCode;
use todo_contracts::api::{Notification, Page};
use todo_platform::auth::{Caller, HasTokens, Tokens};
use todo_platform::http::{After, Failure, Id, Json};

use crate::store::Store;

const PAGE: usize = 100;

#[derive(Debug, Clone)]
pub(crate) struct App<S> {
    pub(crate) store: S,
    pub(crate) tokens: Tokens,
}

impl<S> HasTokens for App<S> {
    fn tokens(&self) -> &Tokens {
        &self.tokens
    }
}

pub(crate) fn routes<S: Store>(app: App<S>) -> Router {
    Router::new()
        .route("/api/notifications", get(list::<S>))
        .route("/api/notifications/{id}/read", post(mark_read::<S>))
        .with_state(app)
}

async fn list<S: Store>(
    State(app): State<App<S>>,
    caller: Caller,
    After(after): After,
) -> Result<Json<Page<Notification>>, Failure> {
    let limit = i64::try_from(PAGE).unwrap_or(i64::MAX);
    let items = app.store.list(caller.user, after, limit).await?;
    let next = (items.len() == PAGE)
        .then(|| items.last().map(|item| item.id.to_string()))
        .flatten();
    Ok(Json(Page { items, next }))
}

async fn mark_read<S: Store>(
    State(app): State<App<S>>,
    caller: Caller,
    Id(id): Id,
) -> Result<StatusCode, Failure> {
    match app.store.mark_read(caller.user, id).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Failure::not_found(format!("there is no notification {id}"))),
    }
}
