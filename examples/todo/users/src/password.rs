//! Passwords: argon2id, hashed away from the runtime's workers.

use std::num::NonZeroUsize;
use std::sync::LazyLock;
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use bowline::classify::ErrorKind;
use bowline::problem::Problem;
use todo_platform::http::Failure;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How long to wait for a core; the gateway's attempt has a second.
const PATIENCE: Duration = Duration::from_millis(500);

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

/// Hashing takes all of a core and some 20 MB: more at a time than there are cores only makes all of
/// them late, and without a bound anybody could take the memory.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    static PLACES: LazyLock<Semaphore> = LazyLock::new(|| {
        let cores = std::thread::available_parallelism();
        Semaphore::new(cores.map_or(1, NonZeroUsize::get))
    });
    let Ok(place) = timeout(PATIENCE, PLACES.acquire()).await else {
        return Err(Problem::from(ErrorKind::Transient)
            .with_detail("too many passwords are being checked")
            .with_retry_after(PATIENCE)
            .into());
    };
    let done = tokio::task::spawn_blocking(work).await;
    drop(place);
    done.map_err(|error| Failure::system("hashing was interrupted", &error))?
}
