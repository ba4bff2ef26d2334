//! Who is calling: bearer tokens (JWT, HS256) issued by `users` and checked by every service.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use bowline::clock::{Clock, SystemClock};
use bowline::config::Secret;
use http::header::AUTHORIZATION;
use http::request::Parts;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use todo_contracts::api::Role;
use uuid::Uuid;

use crate::http::Failure;

/// Issues and checks tokens. Clones are cheap.
#[derive(Clone)]
pub struct Tokens(Arc<Keys>);

struct Keys {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
}

/// The account behind a verified token; as an extractor it refuses requests without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Caller {
    /// The account.
    pub user: Uuid,
    /// What it may do.
    pub role: Role,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: Uuid,
    role: Role,
    exp: i64,
    iat: i64,
}

impl Tokens {
    /// How long a token is good for.
    pub const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

    /// Tokens signed with `secret`.
    #[must_use]
    pub fn new(secret: &Secret) -> Self {
        let secret = secret.expose().as_bytes();
        Self(Arc::new(Keys {
            encoding: EncodingKey::from_secret(secret),
            decoding: DecodingKey::from_secret(secret),
            validation: Validation::new(Algorithm::HS256),
        }))
    }

    /// A token for `user`.
    ///
    /// # Errors
    ///
    /// A system failure when it cannot be signed.
    pub fn issue(&self, user: Uuid, role: Role) -> Result<String, Failure> {
        let iat = SystemClock.now().timestamp();
        let exp = iat.saturating_add_unsigned(Self::LIFETIME.as_secs());
        jsonwebtoken::encode(
            &Header::default(),
            &Claims {
                sub: user,
                role,
                exp,
                iat,
            },
            &self.0.encoding,
        )
        .map_err(|error| Failure::system("the token cannot be signed", &error))
    }

    /// Who a request's `Authorization` header speaks for.
    ///
    /// # Errors
    ///
    /// 401 when the header is missing, is not a bearer token, or the token is forged or too old.
    pub fn verify(&self, headers: &http::HeaderMap) -> Result<Caller, Failure> {
        let value = headers
            .get(AUTHORIZATION)
            .ok_or_else(|| Failure::unauthorized("no bearer token"))?;
        let token = value
            .to_str()
            .ok()
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or_else(|| {
                Failure::unauthorized("the Authorization header is not a bearer token")
            })?;
        match jsonwebtoken::decode::<Claims>(token, &self.0.decoding, &self.0.validation) {
            Ok(token) => Ok(Caller {
                user: token.claims.sub,
                role: token.claims.role,
            }),
            Err(error) => Err(Failure::unauthorized(match error.kind() {
                jsonwebtoken::errors::ErrorKind::ExpiredSignature => "the token has expired",
                _ => "the token is not valid",
            })),
        }
    }
}

impl Caller {
    /// Refuses a caller who is not an operator.
    ///
    /// # Errors
    ///
    /// 403 for everybody else.
    pub fn require_operator(self) -> Result<Self, Failure> {
        match self.role {
            Role::Operator => Ok(self),
            Role::User => Err(Failure::forbidden("only operators may do this")),
        }
    }
}

/// State that can check tokens.
pub trait HasTokens {
    /// The tokens.
    fn tokens(&self) -> &Tokens;
}

impl<S: HasTokens + Sync> FromRequestParts<S> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        state.tokens().verify(&parts.headers)
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(..)")
    }
}
