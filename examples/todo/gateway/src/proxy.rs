//! From a path to a service, within limits, through discovery and the standard pipeline.

use std::net::SocketAddr;
use std::time::Duration;

use axum::RequestPartsExt as _;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::{IntoResponse, Response};
use bowline::discovery::client::{self, end_to_end};
use bowline::problem::Problem;
use http::{HeaderMap, StatusCode, header};
use serde::Serialize;
use todo_contracts::services;
use todo_platform::http::{Failure, trace_of};
use tokio_stream::StreamExt;

use crate::run::App;

/// The largest body that is passed on.
const BODY_MAX: usize = 1 << 20;
/// How much of a larger one is read before the connection is closed on its sender.
const DISCARDED_MAX: usize = 16 << 20;

/// How long a caller waits at most, all attempts included.
pub(crate) const DEADLINE: Duration = Duration::from_secs(3);

/// Passes a request on to the service that its path names.
///
/// The token is checked here, so that a request without one costs no service anything, and again
/// by the service. Registration and log-in are open.
pub(crate) async fn pass_on(State(app): State<App>, request: Request) -> Result<Response, Failure> {
    let (mut parts, body) = request.into_parts();
    let peer = parts.extract::<ConnectInfo<SocketAddr>>().await;
    let path = parts.uri.path();
    let service =
        service_of(path).ok_or_else(|| Failure::not_found("there is nothing at this path"))?;
    if !matches!(path, "/api/users/register" | "/api/users/login") {
        let caller = app.tokens.verify(&parts.headers)?;
        app.limits.user(caller.user)?;
    } else if let Ok(ConnectInfo(peer)) = peer {
        app.limits.address(peer.ip())?;
    }
    let body = read(body).await?;
    let target = parts
        .uri
        .path_and_query()
        .map_or(path, |target| target.as_str());
    let content_type = parts.headers.get(header::CONTENT_TYPE).cloned();
    let theirs = client::deadline(&parts.headers).unwrap_or(DEADLINE);
    let mut call = app
        .client
        .invoke(app.services.name(service))
        .method(parts.method.clone(), target)
        .forward(&parts.headers)
        .trace(&trace_of(&parts.headers))
        .deadline(theirs.min(DEADLINE));
    if !body.is_empty() {
        let content_type = content_type.as_ref().and_then(|value| value.to_str().ok());
        call = call.bytes(content_type.unwrap_or("application/octet-stream"), body);
    }
    call.send()
        .await
        .map(answer)
        .map_err(|error| unreachable(service, &error))
}

/// The whole body. One that is too large is read on for a while and thrown away: a caller who is still
/// sending when the connection is closed never reads the answer.
async fn read(body: Body) -> Result<Vec<u8>, Failure> {
    let mut chunks = body.into_data_stream();
    let (mut bytes, mut length) = (Vec::new(), 0);
    while let Some(chunk) = chunks.next().await {
        let Ok(chunk) = chunk else {
            let malformed = Problem::new(StatusCode::BAD_REQUEST, "malformed");
            return Err(malformed
                .with_detail("the body did not come to its end")
                .into());
        };
        length += chunk.len();
        if length <= BODY_MAX {
            bytes.extend_from_slice(&chunk);
        } else if length > DISCARDED_MAX {
            break;
        }
    }
    if length <= BODY_MAX {
        return Ok(bytes);
    }
    Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large")
        .with_detail(format!("the body must have at most {BODY_MAX} bytes"))
        .into())
}

/// One of the gateway's own calls to a service, for a caller who may make it. What the service refuses
/// is answered in its own words.
pub(crate) async fn post<T: Serialize>(
    app: &App,
    service: &'static str,
    path: &str,
    headers: &HeaderMap,
    body: Option<&T>,
) -> Result<Response, Failure> {
    let mut call = app
        .client
        .invoke(app.services.name(service))
        .post(path)
        .forward(headers)
        .trace(&trace_of(headers))
        .deadline(DEADLINE);
    if let Some(body) = body {
        call = call.json(body);
    }
    call.send()
        .await
        .map(answer)
        .map_err(|error| unreachable(service, &error))
}

/// A service that brought no answer, as its callers see it.
pub(crate) fn unreachable(service: &'static str, error: &client::Error) -> Failure {
    tracing::warn!(service, error = %bowline::error::Chain(error), "a service brought no answer");
    Failure::from(Problem::from(error))
}

fn answer(response: client::Response) -> Response {
    let headers: HeaderMap = end_to_end(&response.headers);
    (response.status, headers, Body::from(response.bytes)).into_response()
}

/// The service behind a path. The path is compared as it came: what is encoded differently is
/// another path, here and in the services.
fn service_of(path: &str) -> Option<&'static str> {
    let (first, _) = path
        .strip_prefix("/api/")?
        .split_once('/')
        .unwrap_or((&path[5..], ""));
    [services::USERS, services::TASKS, services::NOTIFICATIONS]
        .into_iter()
        .find(|service| *service == first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_services_own_paths_are_passed_on() {
        assert_eq!(service_of("/api/tasks"), Some("tasks"));
        assert_eq!(service_of("/api/tasks/1/complete"), Some("tasks"));
        for other in [
            "/",
            "/api",
            "/api/",
            "/ops/outbox",
            "/api/ops",
            "/api/tasksx",
            "/api//tasks",
            "/API/tasks",
            "/api/%74asks",
        ] {
            assert_eq!(service_of(other), None, "{other}");
        }
    }
}
