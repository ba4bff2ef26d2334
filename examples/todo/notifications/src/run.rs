use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bowline::consumer::{Consumer, Handlers};
use bowline::dlq::DeadLetterLayer;
use bowline::error::BoxError;
use bowline::pipeline::Pipeline;
use bowline::retry::Retry;
use bowline::shutdown::{Shutdown, Token};
use todo_contracts::{services, topics};
use todo_platform::auth::Tokens;
use todo_platform::faults::Switches;
use todo_platform::service::{Parts, Service};
use todo_platform::{Backend, Deployment, Settings, ops};
use tower::ServiceBuilder;

use crate::channel::{self, Channel, Mail, Transport, Webhook};
use crate::handler::Notifier;
use crate::http::{App, routes};
use crate::store::{self, Store};

/// The time for one event, its three attempts included: what hangs is given up and begun again.
const DEADLINE: Duration = Duration::from_secs(10);

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
    let switches = Switches::default();
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
            backend.broker().clone(),
            tokens.clone(),
        ));
    if settings.demo {
        router = router.merge(ops::faults(switches.clone(), tokens.clone()));
    }
    let notifier = Notifier {
        store: store.clone(),
        refusal: switches.refusal,
    };
    let handlers = Handlers::new()
        .require_user()
        .on({
            let notifier = notifier.clone();
            move |event, delivery| notifier.clone().registered(event, delivery)
        })
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
    let consumer = Consumer::builder(backend.broker().member()?, handler)
        .group(backend.service(services::NOTIFICATIONS))
        .topics([backend.topic(topics::TASKS), backend.topic(topics::USERS)])
        .with_deadline(DEADLINE)
        .build()?;
    let mut channels = Vec::new();
    let mut senders = Vec::new();
    if let Some(mailing) = &settings.channels.mail {
        let mail = Mail::new(store.clone(), mailing, switches.outage)?;
        let pipeline = channel::pipeline("mail")?;
        senders.push(("mail", sender(&backend, &store, mail, pipeline.clone())?));
        channels.push(pipeline);
    }
    if let Some(address) = &settings.channels.webhook {
        let webhook = Webhook::new(address.clone());
        let pipeline = channel::pipeline("webhook")?;
        senders.push((
            "webhook",
            sender(&backend, &store, webhook, pipeline.clone())?,
        ));
        channels.push(pipeline);
    }
    router = router.merge(ops::pipelines(channels, tokens));
    let mut parts = Parts::new(router)
        .relay(store.outbox(), backend.broker().clone())?
        .sweep(move |keep| {
            let store = store.clone();
            async move { store.sweep(keep).await }
        })
        .task("consumer", async move |token| {
            consumer.run(token).await.map_err(BoxError::from)
        });
    for (name, run) in senders {
        parts = parts.task(name, run);
    }
    Service::new(services::NOTIFICATIONS, backend, settings)
        .run(parts, shutdown)
        .await
}

type Sender =
    Box<dyn FnOnce(Token) -> Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>> + Send>;

/// The consumer that sends what one channel has to send.
fn sender<B: Backend, S: Store, T: Transport>(
    backend: &B,
    store: &S,
    transport: T,
    pipeline: Pipeline,
) -> Result<Sender, BoxError> {
    let group = backend.service(&format!("{}-{}", services::NOTIFICATIONS, pipeline.name()));
    let channel = Channel::new(store.clone(), transport, pipeline);
    let handlers =
        Handlers::new().on(move |event, delivery| channel.clone().deliver(event, delivery));
    // The pipeline repeats; what it gives up on for now waits in the topic, and so do the later
    // notifications of that person. Retry topics would let those pass, and a person reads in order.
    let handler = ServiceBuilder::new()
        .layer(DeadLetterLayer::new(store.dead_letters()))
        .service(handlers);
    let consumer = Consumer::builder(backend.broker().member()?, handler)
        .group(group)
        .topics([backend.topic(topics::NOTIFICATIONS)])
        .with_concurrency(channel::AT_ONCE)
        .with_deadline(channel::DEADLINE + DEADLINE)
        .build()?;
    Ok(Box::new(move |token| {
        Box::pin(async move { consumer.run(token).await.map_err(BoxError::from) })
    }))
}
