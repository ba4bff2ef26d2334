//! The HTTP side.

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use http::{HeaderMap, StatusCode};
use todo_contracts::api::{Credentials, Registration, Role, Session, User};
use todo_platform::auth::{Caller, HasTokens, Tokens};
use todo_platform::http::{Failure, Json, trace_of};
use todo_platform::settings::Operators;
use uuid::Uuid;

use crate::password;
use crate::store::{Account, Store};

const EMAIL_MAX: usize = 254;
const NAME_MAX: usize = 100;
const PASSWORD: std::ops::RangeInclusive<usize> = 8..=256;

#[derive(Debug, Clone)]
pub(crate) struct App<S> {
    pub(crate) store: S,
    pub(crate) tokens: Tokens,
    pub(crate) operators: Operators,
}

impl<S> HasTokens for App<S> {
    fn tokens(&self) -> &Tokens {
        &self.tokens
    }
}

impl<S> App<S> {
    fn user(&self, account: &Account) -> User {
        let operator = self.operators.include(&account.email);
        User {
            id: account.id,
            email: account.email.clone(),
            name: account.name.clone(),
            role: if operator { Role::Operator } else { Role::User },
        }
    }

    fn session(&self, account: &Account) -> Result<Session, Failure> {
        let user = self.user(account);
        let token = self.tokens.issue(user.id, user.role)?;
        Ok(Session {
            token,
            expires_in: Tokens::LIFETIME.as_secs(),
            user,
        })
    }
}

pub(crate) fn routes<S: Store>(app: App<S>) -> Router {
    Router::new()
        .route("/api/users/register", post(register::<S>))
        .route("/api/users/login", post(log_in::<S>))
        .route("/api/users/me", get(me::<S>))
        .with_state(app)
}

async fn register<S: Store>(
    State(app): State<App<S>>,
    headers: HeaderMap,
    Json(Registration {
        email,
        password,
        name,
        invitation,
    }): Json<Registration>,
) -> Result<(StatusCode, Json<Session>), Failure> {
    let email = normal(&email)?;
    let name = name.unwrap_or_else(|| email.clone()).trim().to_owned();
    let length = name.chars().count();
    if !(1..=NAME_MAX.max(email.len())).contains(&length) || name.chars().any(char::is_control) {
        return Err(Failure::invalid(
            "name",
            format!("must have 1 to {NAME_MAX} characters, none of them a control character"),
        ));
    }
    if !app.operators.admit(&email, invitation.as_deref()) {
        return Err(Failure::forbidden("this address takes an invitation"));
    }
    if !PASSWORD.contains(&password.chars().count()) {
        let (min, max) = (PASSWORD.start(), PASSWORD.end());
        return Err(Failure::invalid(
            "password",
            format!("must have {min} to {max} characters"),
        ));
    }
    let hash = password::hash(password).await?;
    let account = Account {
        id: Uuid::now_v7(),
        email,
        name,
        hash,
    };
    match app.store.create(&account, &trace_of(&headers)).await? {
        Some(()) => Ok((StatusCode::CREATED, Json(app.session(&account)?))),
        None => Err(Failure::conflict(
            "there is an account with this e-mail address",
        )),
    }
}

async fn log_in<S: Store>(
    State(app): State<App<S>>,
    Json(Credentials { email, password }): Json<Credentials>,
) -> Result<Json<Session>, Failure> {
    let account = app.store.by_email(&normal(&email)?).await?;
    let hash = account.as_ref().map(|account| account.hash.clone());
    let matches = password::matches(password, hash).await?;
    match account.filter(|_| matches) {
        Some(account) => Ok(Json(app.session(&account)?)),
        None => Err(Failure::unauthorized(
            "the e-mail address or the password is wrong",
        )),
    }
}

async fn me<S: Store>(State(app): State<App<S>>, caller: Caller) -> Result<Json<User>, Failure> {
    let account = app.store.by_id(caller.user).await?;
    account
        .map(|account| Json(app.user(&account)))
        .ok_or_else(|| Failure::not_found("no account"))
}

/// The address in the one form in which it is stored and compared.
fn normal(email: &str) -> Result<String, Failure> {
    let email = email.trim().to_lowercase();
    let fits = email.len() <= EMAIL_MAX
        && !email.chars().any(|c| c.is_whitespace() || c.is_control())
        && email.split_once('@').is_some_and(|(name, host)| {
            !name.is_empty() && !host.is_empty() && !host.contains('@')
        });
    fits.then_some(email)
        .ok_or_else(|| Failure::invalid("email", "must look like name@host"))
}
