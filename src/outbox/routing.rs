use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Kind};
use crate::message::Message;

/// Decides the topic of a message when it is enqueued.
#[derive(Clone, Default)]
pub struct Routing(Option<Rule>);

#[derive(Clone)]
enum Rule {
    Fixed(Arc<str>),
    By(Arc<dyn Fn(&Message) -> Option<Arc<str>> + Send + Sync>),
}

impl Routing {
    /// All messages go to `topic`.
    #[must_use]
    pub fn to(topic: impl Into<Arc<str>>) -> Self {
        Self(Some(Rule::Fixed(topic.into())))
    }

    /// Each message goes where `route` says; a message without a topic cannot be enqueued.
    #[must_use]
    pub fn by(route: impl Fn(&Message) -> Option<Arc<str>> + Send + Sync + 'static) -> Self {
        Self(Some(Rule::By(Arc::new(route))))
    }

    /// The topic of `message`.
    pub(crate) fn topic(
        &self,
        backend: &'static str,
        message: &Message,
    ) -> Result<Arc<str>, Error> {
        let topic = match &self.0 {
            Some(Rule::Fixed(topic)) => Some(Arc::clone(topic)),
            Some(Rule::By(route)) => route(message),
            None => None,
        };
        topic.filter(|topic| !topic.is_empty()).ok_or_else(|| {
            Error::new(Kind::Invalid, backend, "enqueue").with_detail(format!(
                "no topic is set for messages of type {}",
                message.kind()
            ))
        })
    }
}

impl fmt::Debug for Routing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(Rule::Fixed(topic)) => write!(f, "Routing({topic})"),
            Some(Rule::By(_)) => f.write_str("Routing(by a function)"),
            None => f.write_str("Routing(none)"),
        }
    }
}
