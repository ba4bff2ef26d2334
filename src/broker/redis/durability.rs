//! What the server's configuration means for what it has acknowledged.

use ::redis::aio::ConnectionManager;
use ::redis::{InfoDict, cmd};

/// Says in the log why the server may lose what it has acknowledged, as far as it tells: some do not let
/// everybody ask.
pub(super) async fn warn(connection: &mut ConnectionManager) {
    let mut ask = cmd("INFO");
    ask.arg("memory").arg("persistence");
    match ask.query_async::<InfoDict>(connection).await {
        Ok(info) => {
            for risk in risks(&info) {
                tracing::warn!(risk, "the server may lose what it has acknowledged");
            }
        }
        Err(error) => tracing::debug!(%error, "the server does not tell how durable it is"),
    }
}

fn risks(info: &InfoDict) -> Vec<&'static str> {
    let mut risks = Vec::new();
    let policy: Option<String> = info.get("maxmemory_policy");
    let limit: Option<u64> = info.get("maxmemory");
    // The other policies take only what has a time to live, and no key of a broker has one.
    if limit != Some(0) && policy.is_some_and(|policy| policy.starts_with("allkeys")) {
        risks.push("when memory is short it throws logs away: set maxmemory-policy noeviction");
    }
    if info.get::<u8>("aof_enabled") == Some(0) {
        risks.push("when it ends what came since the last snapshot is gone: set appendonly yes");
    }
    risks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_endangers_logs_is_a_risk() {
        let count = |limit: u32, policy: &str, log: u8| {
            let text = format!(
                "# Memory\r\nmaxmemory:{limit}\r\nmaxmemory_policy:{policy}\r\naof_enabled:{log}\r\n"
            );
            risks(&InfoDict::new(&text)).len()
        };
        assert_eq!(count(0, "noeviction", 1), 0);
        assert_eq!(count(1, "noeviction", 1), 0);
        assert_eq!(count(1, "volatile-lru", 1), 0, "nothing has a time to live");
        assert_eq!(count(0, "allkeys-lru", 1), 0, "there is no limit");
        assert_eq!(count(1, "allkeys-lru", 1), 1);
        assert_eq!(count(1, "allkeys-lfu", 0), 2);
        assert_eq!(risks(&InfoDict::new("# Memory\r\n")).len(), 0);
    }
}
