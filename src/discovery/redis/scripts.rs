//! Each step is one script, so that it is atomic, and takes the time from the server.
//!
//! Keys of a service, in one cluster slot: the hash of instances by id, the sorted set of ids by
//! expiry in milliseconds, and the version. A version that does not exist yet starts at the server's
//! time in microseconds, so that it never comes back after the data was lost. All three go a day
//! after the last beat.

/// Common to all: drops the expired and bumps the version if there were any.
macro_rules! script {
    ($body:literal) => {
        concat!(
            r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function bump()
  if redis.call('EXISTS', KEYS[3]) == 0 then
    redis.call('SET', KEYS[3], string.format('%.0f', time[1] * 1000000 + time[2]))
  end
  redis.call('INCR', KEYS[3])
  redis.call('PEXPIRE', KEYS[3], 86400000)
end
local dead = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now)
for _, id in ipairs(dead) do
  redis.call('HDEL', KEYS[1], id)
  redis.call('ZREM', KEYS[2], id)
end
if #dead > 0 then bump() end
local function keep(id, ttl)
  redis.call('ZADD', KEYS[2], now + ttl, id)
  for i = 1, 3 do redis.call('PEXPIRE', KEYS[i], 86400000) end
end
",
            $body
        )
    };
}

/// ARGV: id, instance, time to live in milliseconds.
pub(super) const ANNOUNCE: &str = script!(
    r"
local before = redis.call('HGET', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if before ~= ARGV[2] then bump() end
keep(ARGV[1], ARGV[3])
return 1
"
);

/// ARGV: id, time to live in milliseconds. Returns 0 when the instance is unknown.
pub(super) const BEAT: &str = script!(
    r"
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
keep(ARGV[1], ARGV[2])
return 1
"
);

/// ARGV: id.
pub(super) const WITHDRAW: &str = script!(
    r"
redis.call('ZREM', KEYS[2], ARGV[1])
if redis.call('HDEL', KEYS[1], ARGV[1]) == 1 then bump() end
return 1
"
);

/// ARGV: the known version or an empty string. Returns the version, then the instances, or nothing
/// when the version is known.
pub(super) const LIST: &str = script!(
    r"
local version = redis.call('GET', KEYS[3]) or '0'
if version == ARGV[1] then return {} end
local found = redis.call('HVALS', KEYS[1])
table.insert(found, 1, version)
return found
"
);
