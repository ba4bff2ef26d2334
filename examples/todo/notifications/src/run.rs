use bowline::consumer::{Consumer, Handlers};
use bowline::dlq::DeadLetterLayer;
use bowline::error::BoxError;
use bowline::retry::Retry;
use bowline::shutdown::Shutdown;
use todo_contracts::{services, topics};
use todo_platform::auth::Tokens;
use todo_platform::faults::{Delay, Refusal};
use todo_platform::service::{Parts, Service};
use todo_platform::{Backend, Deployment, Settings, ops};
use tower::ServiceBuilder;

use crate::handler::Notifier;
use crate::http::{App, routes};
use crate::store::{self, Store};

/// Runs the service until `shutdown`.
///
/// # Errors
///
/// When it cannot start, or a part of it has failed.
pub async fn run(
    deployment: Deployment,
    settings: Settings,
    shutdown: Shutdown,
) -> Result<(), BoxError> {
    match deployment {
        Deployment::Embedded(backend) => {
            let pool = backend.database(services::NOTIFICATIONS).await?;
            let store = store::Sqlite::new(pool, &backend.topic(topics::NOTIFICATIONS));
            serve(backend, store, settings, shutdown).await
        }
        #[cfg(feature = "distributed")]
        Deployment::Distributed(backend) => {
            let pool = backend.database().await?;
            let store = store::Postgres::new(pool, &backend.topic(topics::NOTIFICATIONS));
            serve(backend, store, settings, shutdown).await
        }
    }
}

async fn serve<B: Backend, S: Store>(
    backend: B,
    store: S,
    settings: Settings,
    shutdown: Shutdown,
) -> Result<(), BoxError> {
    store.migrate().await?;
    backend.create_topics().await?;
    let tokens = Tokens::new(&settings.secret);
    let refusal = Refusal::default();
    let app = App {
        store: store.clone(),
        tokens: tokens.clone(),
    };
    let mut router = routes(app)
        .merge(ops::outbox(
            services::NOTIFICATIONS,
            store.outbox(),
            tokens.clone(),
        ))
        .merge(ops::dead_letters(
            store.dead_letters(),
            backend.publisher()?,
            tokens.clone(),
        ));
    if settings.demo {
        router = router.merge(ops::faults(Delay::default(), refusal.clone(), tokens));
    }
    let notifier = Notifier {
        store: store.clone(),
        refusal,
    };
    let handlers = Handlers::new()
        .require_user()
        .on({
            let notifier = notifier.clone();
            move |event, delivery| notifier.clone().created(event, delivery)
        })
        .on({
            let notifier = notifier.clone();
            move |event, delivery| notifier.clone().completed(event, delivery)
        })
        .on(move |event, delivery| notifier.clone().deleted(event, delivery));
    let handler = ServiceBuilder::new()
        .layer(DeadLetterLayer::new(store.dead_letters()))
        .layer(Retry::builder().attempts(3).build()?.layer())
        .service(handlers);
    let consumer = Consumer::builder(backend.subscriber()?, handler)
        .group(backend.service(services::NOTIFICATIONS))
        .topics([backend.topic(topics::TASKS)])
        .build()?;
    let parts = Parts::new(router)
        .relay(store.outbox(), backend.publisher()?)?
        .sweep(move |keep| {
            let store = store.clone();
            async move { store.sweep(keep).await }
        })
        .task("consumer", async move |token| {
            consumer.run(token).await.map_err(BoxError::from)
        });
    Service::new(services::NOTIFICATIONS, backend, settings)
        .run(parts, shutdown)
        .await
}
