use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::{any, get};
use bowline::broker::Start;
use bowline::consumer::{Consumer, Handlers, Unknown};
use bowline::discovery::client::{Hyper, ServiceClient};
use bowline::error::{BoxError, Chain};
use bowline::shutdown::Shutdown;
use todo_contracts::{services, topics};
use todo_platform::auth::{Caller, HasTokens, Tokens};
use todo_platform::service::{Parts, Service};
use todo_platform::{Backend, Deployment, Settings};
use tower::ServiceBuilder;

use crate::limits::Limits;
use crate::live::Live;
use crate::{ops, page, proxy};

/// By what the groups of gateways begin.
const LIVE: &str = "live";
/// How often the groups of gateways that have ended are looked for.
const SWEEP: Duration = Duration::from_secs(60);

/// What the routes share.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) client: ServiceClient,
    pub(crate) services: Names,
    pub(crate) tokens: Tokens,
    pub(crate) limits: Limits,
    pub(crate) live: Live,
    pub(crate) demo: bool,
    pub(crate) broker: &'static str,
}

/// The services' full names in the registry.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    system: Arc<str>,
}

impl Names {
    pub(crate) fn name(&self, service: &str) -> String {
        format!("{}.{service}", self.system)
    }
}

impl HasTokens for App {
    fn tokens(&self) -> &Tokens {
        &self.tokens
    }
}

/// Runs the gateway until `shutdown`.
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
            // One process, one gateway: its group may stay where it was.
            serve(backend, LIVE.to_owned(), settings, shutdown).await
        }
        #[cfg(feature = "distributed")]
        Deployment::Distributed(backend) => {
            // Every gateway must see every event, so each is a group of its own.
            serve(
                backend,
                format!("{LIVE}-{}", uuid::Uuid::now_v7()),
                settings,
                shutdown,
            )
            .await
        }
    }
}

async fn serve<B: Backend>(
    backend: B,
    group: String,
    settings: Settings,
    shutdown: Shutdown,
) -> Result<(), BoxError> {
    backend.create_topics().await?;
    let client = ServiceClient::builder(backend.registry().clone(), Hyper::new())
        .attempt_timeout(Duration::from_secs(1))
        .deadline(proxy::DEADLINE)
        .build()?;
    let app = App {
        client,
        services: Names {
            system: backend.system().into(),
        },
        tokens: Tokens::new(&settings.secret),
        limits: Limits::new()?,
        live: Live::default(),
        demo: settings.demo,
        broker: backend.broker().name(),
    };
    let live = app.live.clone();
    let handlers = Handlers::new()
        .on_unknown(Unknown::Ignore)
        .on(move |event, delivery| live.clone().sent(event, delivery));
    // Whoever is looking misses one event, and finds it in the list; the next ones must come.
    let handlers = ServiceBuilder::new()
        .then(|handled: Result<(), BoxError>| async move {
            if let Err(error) = handled {
                tracing::warn!(error = %Chain(&*error), "a live event was dropped");
            }
            Ok::<_, BoxError>(())
        })
        .service(handlers);
    let (broker, topic) = (
        backend.broker().clone(),
        backend.topic(topics::NOTIFICATIONS),
    );
    let groups = backend.service(LIVE);
    let consumer = Consumer::builder(broker.member()?, handlers)
        .group(backend.service(&group))
        .topics([Arc::clone(&topic)])
        .start(Start::Latest)
        .build()?;
    let (pages, ending) = (app.live.clone(), shutdown.token());
    let parts = Parts::new(routes(app))
        .task("live pages", async move |_| {
            // Not the task's own token: that one stops only when the server has ended, and the server
            // waits for the pages.
            ending.stopped().await;
            pages.close();
            Ok(())
        })
        .task("live events", async move |token| {
            consumer.run(token).await.map_err(BoxError::from)
        })
        .task("live groups", async move |token| {
            loop {
                if let Err(error) = broker.sweep_groups(&topic, &groups).await {
                    tracing::warn!(error = %Chain(&error), "could not sweep groups");
                }
                tokio::select! {
                    () = token.stopped() => return Ok(()),
                    () = tokio::time::sleep(SWEEP) => {}
                }
            }
        });
    Service::new(services::GATEWAY, backend, settings)
        .run(parts, shutdown)
        .await
}

fn routes(app: App) -> Router {
    Router::new()
        .route("/api/events", get(events))
        .merge(ops::routes())
        .route("/api/{*path}", any(proxy::pass_on))
        .with_state(app)
        .merge(page::routes())
}

async fn events(State(app): State<App>, caller: Caller) -> impl IntoResponse {
    app.live.open(caller.user)
}
