use std::path::{Path, PathBuf};
use std::time::Duration;

use bowline::clock::{Clock, SystemClock};
use bowline::error::{Error, Kind};
use bowline::message::Message;
use lettre::message::{Mailbox, header::ContentType};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use todo_contracts::events::NotificationSent;
use todo_platform::faults::Outage;
use todo_platform::settings::Mailing;

use super::Transport;
use crate::store::Store;

/// An account's address comes by another topic: so long it may take after a notification was made.
const GRACE: Duration = Duration::from_secs(60);

/// Sends each notification as a mail, through a server or into a folder.
///
/// The id of the notification is the mail's `Message-ID`, and its name in the folder. A notification to
/// an account whose address does not come to be known is a dead letter.
#[derive(Debug, Clone)]
pub(crate) struct Mail<S> {
    store: S,
    from: Mailbox,
    way: Way,
    outage: Outage,
}

#[derive(Debug, Clone)]
enum Way {
    Folder(PathBuf),
    Server(AsyncSmtpTransport<Tokio1Executor>),
}

impl<S: Store> Mail<S> {
    /// Mails by `settings`, as long as `outage` lets them.
    ///
    /// # Errors
    ///
    /// When the server's address cannot be used or the folder cannot be made.
    pub(crate) fn new(store: S, settings: &Mailing, outage: Outage) -> Result<Self, Error> {
        let invalid = |detail: &'static str| failed(Kind::Invalid).with_detail(detail);
        let (from, way) = match settings {
            Mailing::Folder { folder, from } => {
                std::fs::create_dir_all(folder)
                    .map_err(|error| invalid("the folder cannot be made").with_source(error))?;
                (from, Way::Folder(folder.clone()))
            }
            Mailing::Server { server, from } => {
                let server = AsyncSmtpTransport::<Tokio1Executor>::from_url(server.expose())
                    .map_err(|error| invalid("the server cannot be used").with_source(error))?;
                (from, Way::Server(server.build()))
            }
        };
        let from = from
            .parse()
            .map_err(|error| invalid("the sender is no address").with_source(error))?;
        Ok(Self {
            store,
            from,
            way,
            outage,
        })
    }

    /// Where the person is reached.
    async fn address(
        &self,
        notification: &NotificationSent,
        message: &Message,
    ) -> Result<Mailbox, Error> {
        let found = self.store.address(notification.user).await;
        let found =
            found.map_err(|error| failed(Kind::Unavailable).with_detail(error.to_string()))?;
        let Some(address) = found else {
            // The clock of whoever made it may be ahead of ours.
            let age = (SystemClock.now() - message.time())
                .to_std()
                .unwrap_or_default();
            let kind = if age < GRACE {
                Kind::Unavailable
            } else {
                Kind::NotFound
            };
            return Err(failed(kind).with_detail("the address of the account is not known"));
        };
        address.parse().map_err(|error| {
            let invalid = failed(Kind::Invalid).with_detail("the account has no mail address");
            invalid.with_source(error)
        })
    }

    fn mail(
        &self,
        to: Mailbox,
        notification: &NotificationSent,
        message: &Message,
    ) -> Result<lettre::Message, Error> {
        let built = lettre::Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(&notification.text)
            .message_id(Some(format!("<{}@todo>", notification.notification)))
            .date(message.time().into())
            .header(ContentType::TEXT_PLAIN)
            .body(format!("{}\r\n", notification.text));
        built.map_err(|error| failed(Kind::Invalid).with_source(error))
    }
}

/// A mail, and the name of its file in a folder.
#[derive(Debug)]
pub(crate) struct Letter {
    name: String,
    mail: lettre::Message,
}

impl<S: Store> Transport for Mail<S> {
    type Letter = Letter;

    async fn prepare(
        &self,
        notification: &NotificationSent,
        message: &Message,
    ) -> Result<Letter, Error> {
        let to = self.address(notification, message).await?;
        Ok(Letter {
            name: format!("{}.eml", notification.notification),
            mail: self.mail(to, notification, message)?,
        })
    }

    async fn send(&self, Letter { name, mail }: &Letter) -> Result<(), Error> {
        if self.outage.is_on() {
            return Err(failed(Kind::Unavailable).with_detail("switched off"));
        }
        match &self.way {
            Way::Folder(folder) => write(folder, name, &mail.formatted()).await,
            Way::Server(server) => server.send(mail.clone()).await.map(drop).map_err(|error| {
                let permanent = error.is_permanent();
                let kind = if permanent {
                    Kind::Invalid
                } else {
                    Kind::Unavailable
                };
                failed(kind).with_source(error)
            }),
        }
    }
}

/// Writes a mail whole or not at all; one that is there already is the same.
async fn write(folder: &Path, name: &str, mail: &[u8]) -> Result<(), Error> {
    let unfinished = folder.join(format!("{name}.new"));
    let written = async {
        tokio::fs::write(&unfinished, mail).await?;
        tokio::fs::rename(&unfinished, folder.join(name)).await
    };
    written
        .await
        .map_err(|error| failed(Kind::Unavailable).with_source(error))
}

fn failed(kind: Kind) -> Error {
    Error::new(kind, "mail", "send")
}
