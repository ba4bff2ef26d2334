use bowline::error::BoxError;
use bowline::shutdown::Shutdown;
use todo_contracts::{services, topics};
use todo_platform::auth::Tokens;
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
            let pool = backend.database(services::USERS).await?;
            let store = store::Sqlite::new(pool, &backend.topic(topics::USERS));
            serve(backend, store, settings, shutdown).await
        }
        #[cfg(feature = "distributed")]
        Deployment::Distributed(backend) => {
            let pool = backend.database().await?;
            let store = store::Postgres::new(pool, &backend.topic(topics::USERS));
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
    let app = App {
        store: store.clone(),
        tokens: tokens.clone(),
        operators: settings.operators.clone(),
    };
    let router = routes(app).merge(ops::outbox(services::USERS, store.outbox(), tokens));
    let parts = Parts::new(router).relay(store.outbox(), backend.broker().clone())?;
    Service::new(services::USERS, backend, settings)
        .run(parts, shutdown)
        .await
}
