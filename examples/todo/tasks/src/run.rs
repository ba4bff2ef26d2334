use bowline::error::BoxError;
use bowline::shutdown::Shutdown;
use todo_contracts::{services, topics};
use todo_platform::auth::Tokens;
use todo_platform::faults::Switches;
use todo_platform::service::{Parts, Service};
use todo_platform::{Backend, Deployment, Settings, ops};

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
            let pool = backend.database(services::TASKS).await?;
            let store = store::Sqlite::new(pool, &backend.topic(topics::TASKS));
            serve(backend, store, settings, shutdown).await
        }
        #[cfg(feature = "distributed")]
        Deployment::Distributed(backend) => {
            let pool = backend.database().await?;
            let store = store::Postgres::new(pool, &backend.topic(topics::TASKS));
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
    let switches = Switches::default();
    let app = App {
        store: store.clone(),
        tokens: tokens.clone(),
        delay: switches.delay.clone(),
    };
    let mut router =
        routes(app).merge(ops::outbox(services::TASKS, store.outbox(), tokens.clone()));
    if settings.demo {
        router = router.merge(ops::faults(switches, tokens));
    }
    let parts = Parts::new(router)
        .relay(store.outbox(), backend.broker().clone())?
        .sweep(move |keep| {
            let store = store.clone();
            async move { store.sweep(keep).await }
        });
    Service::new(services::TASKS, backend, settings)
        .run(parts, shutdown)
        .await
}
