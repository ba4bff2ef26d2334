use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::{self, Future};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use serde::de::DeserializeOwned;
use tower::Service;

use crate::broker::Delivery;
use crate::error::{BoxError, Error, Kind};
use crate::message::{Codec, Event, Excerpt, Message, cloudevents};

/// Routes deliveries by event type and schema version to typed functions.
///
/// A `tower::Service<Delivery>`; clones share the functions.
///
/// # How it decides
///
/// 1. A record that is no message fails with the error that says why, [`Kind::Corrupt`].
/// 2. A type that nothing is registered for fails with [`Kind::Invalid`], or is done unhandled, as
///    [`on_unknown`](Self::on_unknown) says.
/// 3. A message goes to the function of its version, else to that of the next newer one, whose event
///    reads it by [`Event::upcast`] or refuses with [`Kind::Invalid`]. A version that is newer than
///    all functions fails with [`Kind::Invalid`] always.
/// 4. A message without a user fails with [`Kind::Invalid`] if users are required.
/// 5. A payload that is not the event fails with [`Kind::Corrupt`].
/// 6. Otherwise the function decides.
///
/// The errors of 1 to 5 are permanent: a retry gives up at once and a dead-letter layer keeps the
/// record.
#[derive(Clone, Default)]
pub struct Handlers {
    routes: Arc<HashMap<&'static str, BTreeMap<u32, Arc<Route>>>>,
    unknown: Unknown,
    user: User,
}

/// What to do with a message of a type that nothing is registered for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_enums, reason = "the two ways there are")]
pub enum Unknown {
    /// It is an error: right where every type of the topic is meant for this consumer, so that a
    /// new one is noticed and not lost.
    #[default]
    Fail,
    /// It is done: right where the topic carries types that are none of this consumer's business.
    Ignore,
}

/// What [`Handlers`] returns.
#[must_use = "futures do nothing unless polled"]
pub struct HandlersFuture(Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>);

type Route = dyn Fn(Delivery) -> HandlersFuture + Send + Sync;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum User {
    #[default]
    Optional,
    Required,
}

impl Handlers {
    /// No handlers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Handles events of type `E` in its version, and in the older ones that it reads, with
    /// `handler`; one that was registered for the same type and version before is replaced.
    #[must_use]
    pub fn on<E, F, Fut, Err>(self, handler: F) -> Self
    where
        E: Event + DeserializeOwned + Send + 'static,
        F: Fn(E, Delivery) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Err>> + Send + 'static,
        Err: Into<BoxError>,
    {
        self.route_to(Message::decode::<E>, handler)
    }

    /// As [`on`](Self::on), for events whose payload `codec` reads.
    #[must_use]
    pub fn on_with<C, E, F, Fut, Err>(self, codec: C, handler: F) -> Self
    where
        C: Codec<E> + Send + Sync + 'static,
        E: Event + Send + 'static,
        F: Fn(E, Delivery) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Err>> + Send + 'static,
        Err: Into<BoxError>,
    {
        self.route_to(move |message| message.decode_with(&codec), handler)
    }

    fn route_to<D, E, F, Fut, Err>(mut self, decode: D, handler: F) -> Self
    where
        D: Fn(&Message) -> Result<E, Error> + Send + Sync + 'static,
        E: Event + Send + 'static,
        F: Fn(E, Delivery) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Err>> + Send + 'static,
        Err: Into<BoxError>,
    {
        let route = move |delivery: Delivery| match delivery.try_message().and_then(&decode) {
            Ok(event) => {
                let handled = handler(event, delivery);
                HandlersFuture::new(async move { handled.await.map_err(Into::into) })
            }
            Err(error) => HandlersFuture::failed(error),
        };
        let versions = Arc::make_mut(&mut self.routes).entry(E::TYPE).or_default();
        versions.insert(E::VERSION, Arc::new(route));
        self
    }

    /// Sets what happens to unknown types; [`Unknown::Fail`] unless set.
    #[must_use]
    pub fn on_unknown(mut self, unknown: Unknown) -> Self {
        self.unknown = unknown;
        self
    }

    /// Makes a message without a user id an error.
    #[must_use]
    pub fn require_user(mut self) -> Self {
        self.user = User::Required;
        self
    }

    /// The route of a delivery; `None` when it is to be ignored.
    fn route(&self, delivery: &Delivery) -> Result<Option<&Route>, Error> {
        let message = delivery.try_message()?;
        let (kind, version) = (message.kind(), message.version());
        let Some(versions) = self.routes.get(kind) else {
            return match self.unknown {
                Unknown::Ignore => Ok(None),
                Unknown::Fail => Err(invalid(format!("no handler for {}", Excerpt(kind)))),
            };
        };
        let Some((_, route)) = versions.range(version..).next() else {
            let known: Vec<_> = versions.keys().map(u32::to_string).collect();
            let known = known.join(", ");
            return Err(invalid(format!(
                "no handler for {} version {version}, handled: {known}",
                Excerpt(kind)
            )));
        };
        let user = message.user().filter(|user| !user.is_empty());
        if self.user == User::Required && user.is_none() {
            return Err(invalid(format!(
                "header {} is missing",
                cloudevents::USER_ID
            )));
        }
        Ok(Some(&**route))
    }
}

impl Service<Delivery> for Handlers {
    type Response = ();
    type Error = BoxError;
    type Future = HandlersFuture;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, delivery: Delivery) -> HandlersFuture {
        match self.route(&delivery) {
            Ok(Some(route)) => route(delivery),
            Ok(None) => HandlersFuture::new(future::ready(Ok(()))),
            Err(error) => HandlersFuture::failed(error),
        }
    }
}

impl HandlersFuture {
    fn new(future: impl Future<Output = Result<(), BoxError>> + Send + 'static) -> Self {
        Self(Box::pin(future))
    }

    fn failed(error: Error) -> Self {
        Self::new(future::ready(Err(error.into())))
    }
}

impl Future for HandlersFuture {
    type Output = Result<(), BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut routes: Vec<_> = self
            .routes
            .iter()
            .flat_map(|(kind, versions)| versions.keys().map(move |version| (kind, version)))
            .collect();
        routes.sort_unstable();
        f.debug_struct("Handlers")
            .field("routes", &routes)
            .field("unknown", &self.unknown)
            .field("user", &self.user)
            .finish()
    }
}

impl fmt::Debug for HandlersFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlersFuture").finish_non_exhaustive()
    }
}

fn invalid(detail: String) -> Error {
    Error::new(Kind::Invalid, "consumer", "route").with_detail(detail)
}
