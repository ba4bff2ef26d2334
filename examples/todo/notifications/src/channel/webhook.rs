use bowline::discovery::client::{Hyper, IDEMPOTENCY_KEY, Sent};
use bowline::error::{BoxError, Error, Kind};
use bowline::message::{Message, TraceContext};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, StatusCode, Uri};
use todo_contracts::events::NotificationSent;
use tower::ServiceExt as _;

use super::Transport;

/// Posts each notification as JSON to one address. Clones share the connections.
///
/// The id of the notification is the idempotency key. A status of 2xx is a success, 408, 425, 429 and
/// 5xx are tried again, any other means that this notification is not wanted.
#[derive(Debug, Clone)]
pub(crate) struct Webhook {
    address: Uri,
    http: Hyper,
}

impl Webhook {
    pub(crate) fn new(address: Uri) -> Self {
        Self {
            address,
            http: Hyper::new(),
        }
    }

    fn request(
        &self,
        notification: &NotificationSent,
        message: &Message,
    ) -> Result<Request<Bytes>, Error> {
        let invalid = |source: BoxError| failed(Kind::Invalid).with_source(source);
        let body = serde_json::to_vec(notification).map_err(|error| invalid(error.into()))?;
        let key = notification.notification.to_string();
        let mut request = Request::post(self.address.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static(Message::JSON))
            .header(IDEMPOTENCY_KEY, key);
        if let Some(parent) = message.trace().child().traceparent() {
            request = request.header(TraceContext::TRACEPARENT, parent);
        }
        let request = request.body(Bytes::from(body));
        request.map_err(|error| invalid(error.into()))
    }
}

impl Transport for Webhook {
    type Letter = Request<Bytes>;

    async fn prepare(
        &self,
        notification: &NotificationSent,
        message: &Message,
    ) -> Result<Request<Bytes>, Error> {
        self.request(notification, message)
    }

    async fn send(&self, request: &Request<Bytes>) -> Result<(), Error> {
        let answer = self.http.clone().oneshot(request.clone()).await;
        match answer {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => {
                let kind = kind(answer.status());
                Err(failed(kind).with_detail(format!("the answer was {}", answer.status())))
            }
            Err(error) if error.sent() == Sent::No => {
                Err(failed(Kind::Unavailable).with_source(error))
            }
            Err(error) => Err(failed(Kind::Timeout).with_source(error)),
        }
    }
}

fn kind(status: StatusCode) -> Kind {
    match status {
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY => Kind::Unavailable,
        StatusCode::TOO_MANY_REQUESTS => Kind::Throttled,
        status if status.is_server_error() => Kind::Unavailable,
        _ => Kind::Invalid,
    }
}

fn failed(kind: Kind) -> Error {
    Error::new(kind, "webhook", "send")
}
