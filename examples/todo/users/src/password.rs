//! Passwords: argon2id, hashed away from the runtime's workers.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use todo_platform::http::Failure;

/// A hash of `password` with a new salt, in PHC form.
pub(crate) async fn hash(password: String) -> Result<String, Failure> {
    blocking(move || {
        Argon2::default()
            .hash_password(password.as_bytes())
            .map(|hash| hash.to_string())
            .map_err(|error| Failure::system("the password cannot be hashed", &error))
    })
    .await
}

/// Whether `password` is the one behind `hash`. Without an account to compare with, pass `None`: it
/// takes as long, so that the time does not tell which addresses exist.
pub(crate) async fn matches(password: String, hash: Option<String>) -> Result<bool, Failure> {
    blocking(move || {
        let Some(hash) = hash else {
            let hashed = Argon2::default().hash_password(password.as_bytes());
            return hashed
                .map(|_| false)
                .map_err(|error| Failure::system("the password cannot be hashed", &error));
        };
        let hash = PasswordHash::new(&hash)
            .map_err(|error| Failure::system("the stored hash cannot be read", &error))?;
        Ok(Argon2::default()
            .verify_password(password.as_bytes(), &hash)
            .is_ok())
    })
    .await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Failure::system("hashing was interrupted", &error))?
}
