//! Each step is one script, so that it is atomic, and every time is counted by the server.
//!
//! A key is a hash: `n` the nonce of its claim, `f` the fingerprint if there is one, `r` the result
//! once it is done. It goes when its lease, or the time it is kept, has passed.

/// ARGV: nonce, lease in milliseconds, 1 when there is a fingerprint or 0, the fingerprint.
///
/// Returns a status, the milliseconds left and the result: 0 is acquired, 1 in progress, 2 done,
/// 3 a mismatch.
pub(super) const CLAIM: &str = r"
local row = redis.call('HMGET', KEYS[1], 'n', 'f', 'r')
if row[1] then
  if row[2] ~= (ARGV[3] == '1' and ARGV[4]) then return {3, 0, ''} end
  if row[3] then return {2, 0, row[3]} end
  return {1, redis.call('PTTL', KEYS[1]), ''}
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'n', ARGV[1])
if ARGV[3] == '1' then redis.call('HSET', KEYS[1], 'f', ARGV[4]) end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {0, 0, ''}
";

/// Common to the steps of a claim: returns 0 when it is done or no longer the newest.
macro_rules! step {
    ($body:literal) => {
        concat!(
            r"
local row = redis.call('HMGET', KEYS[1], 'n', 'r')
if row[1] ~= ARGV[1] or row[2] then return 0 end
",
            $body,
            "
return 1
"
        )
    };
}

/// ARGV: nonce, time to keep in milliseconds, result. Again it is the same, for when the answer was
/// lost.
pub(super) const COMPLETE: &str = r"
if redis.call('HGET', KEYS[1], 'n') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'r', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
";

/// ARGV: nonce, lease in milliseconds.
pub(super) const EXTEND: &str = step!("redis.call('PEXPIRE', KEYS[1], ARGV[2])");

/// ARGV: nonce.
pub(super) const ABANDON: &str = step!("redis.call('DEL', KEYS[1])");
