//! Each step is one script, so that it is atomic, and takes the time from the server.

use ::redis::Script;

#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) append: Script,
    pub(super) create: Script,
    pub(super) load: Script,
    pub(super) save: Script,
    pub(super) touch: Script,
    pub(super) assign: Script,
    pub(super) commit: Script,
    pub(super) delete: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            append: Script::new(APPEND),
            create: Script::new(CREATE),
            load: Script::new(LOAD),
            save: Script::new(SAVE),
            touch: Script::new(TOUCH),
            assign: Script::new(ASSIGN),
            commit: Script::new(COMMIT),
            delete: Script::new(DELETE),
        }
    }
}

/// KEYS: of each partition its topic, its log and how far groups have come. ARGV: how many records to
/// keep, 0 for all; of each partition its number and how many its topic has; of each record which of
/// the partitions it goes to, how many fields and values it has, and those.
///
/// It stops at the first record that cannot be appended, or does nothing when a partition is not as
/// expected. Returns which partition that was (0 when all went well), what is wrong with it (empty when
/// its topic is not there as expected), how many records were appended, and of each partition the
/// offset of its first one.
const APPEND: &str = r"
local time = redis.call('TIME')
local now = time[1] .. string.format('%03d', math.floor(time[2] / 1000))
local keep, logs, at = tonumber(ARGV[1]), #KEYS / 3, 2
local ends, answer = {}, {0, '', 0}
for i = 1, logs do
  local row = redis.pcall('HMGET', KEYS[3 * i - 2], 'partitions', ARGV[at])
  if row.err then return {i, row.err, 0} end
  if row[1] ~= ARGV[at + 1] then return {i, '', 0} end
  ends[i] = tonumber(row[2] or 0)
  answer[3 + i] = string.format('%d', ends[i])
  at = at + 2
end
local moved = {}
while ARGV[at] do
  local i, values = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local id = string.format('%d-1', ends[i])
  local added = redis.pcall('XADD', KEYS[3 * i - 1], id, 't', now, unpack(ARGV, at + 2, at + 1 + values))
  if type(added) == 'table' and added.err then
    answer[1], answer[2] = i, added.err
    break
  end
  ends[i] = ends[i] + 1
  moved[i] = true
  answer[3] = answer[3] + 1
  at = at + 2 + values
end
for i = 1, logs do
  if moved[i] then
    redis.call('HSET', KEYS[3 * i - 2], ARGV[2 * i], string.format('%d', ends[i]))
    local first = ends[i] - keep
    local groups = keep > 0 and first > 0 and redis.pcall('HVALS', KEYS[3 * i])
    if groups and not groups.err then
      for _, done in ipairs(groups) do
        first = math.min(first, tonumber(string.match(done, '^%d+')) or 0)
      end
      if first > 0 then
        redis.pcall('XTRIM', KEYS[3 * i - 1], 'MINID', '~', string.format('%d-1', first))
      end
    end
  end
end
return answer
";

/// KEYS: the topic. ARGV: how many partitions. Returns how many it has, 0 when it is new.
const CREATE: &str = r"
if redis.call('HSETNX', KEYS[1], 'partitions', ARGV[1]) == 1 then return 0 end
return tonumber(redis.call('HGET', KEYS[1], 'partitions'))
";

/// KEYS: revision, members, signs of life, claims. Returns the revision, the time in microseconds,
/// members, signs of life and claims.
const LOAD: &str = r"
local time = redis.call('TIME')
local now = time[1] .. string.format('%06d', time[2])
local all = {redis.call('GET', KEYS[1]) or '0', now}
for i = 2, 4 do all[i + 1] = redis.call('HGETALL', KEYS[i]) end
return all
";

/// KEYS: revision, members, signs of life, claims, changes. ARGV: the revision that was loaded, the
/// new one, whose sign of life this is, how many members, of each its id, what it wants and its sign
/// of life, then claims and what they say. Returns 0 when the revision is not the loaded one.
///
/// A sign of life that is there stays: it may be newer than the one that was loaded.
const SAVE: &str = r"
if (redis.call('GET', KEYS[1]) or '0') ~= ARGV[1] then return 0 end
local before = redis.call('HKEYS', KEYS[2])
redis.call('DEL', KEYS[2], KEYS[4])
local at, now = 5, {}
for _ = 1, tonumber(ARGV[4]) do
  local id = ARGV[at]
  now[id] = true
  redis.call('HSET', KEYS[2], id, ARGV[at + 1])
  if id == ARGV[3] then
    redis.call('HSET', KEYS[3], id, ARGV[at + 2])
  else
    redis.call('HSETNX', KEYS[3], id, ARGV[at + 2])
  end
  at = at + 3
end
for _, id in ipairs(before) do
  if not now[id] then redis.call('HDEL', KEYS[3], id) end
end
while ARGV[at] do
  redis.call('HSET', KEYS[4], ARGV[at], ARGV[at + 1])
  at = at + 2
end
redis.call('SET', KEYS[1], ARGV[2])
redis.call('DEL', KEYS[5])
redis.call('XADD', KEYS[5], ARGV[2] .. '-1', 'r', ARGV[2])
return 1
";

/// KEYS: revision, signs of life. ARGV: a member. Returns the revision, and 1 when the member lives and
/// nobody is overdue.
///
/// Signs of life from the future tell that the clock went back; they count as given now, or a dead
/// member would stay until that time.
const TOUCH: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local rows, alive, due = redis.call('HGETALL', KEYS[2]), 0, false
for i = 1, #rows, 2 do
  local seen, timeout = string.match(rows[i + 1], '^(%d+) (%d+)$')
  local passed = now - tonumber(seen)
  if passed > tonumber(timeout) then
    due = true
  elseif rows[i] == ARGV[1] or passed < 0 then
    redis.call('HSET', KEYS[2], rows[i], string.format('%d ', now) .. timeout)
    if rows[i] == ARGV[1] then alive = 1 end
  end
end
return {redis.call('GET', KEYS[1]) or '0', due and 0 or alive}
";

/// Keeps a native consumer group where ours is, so that `XINFO GROUPS` shows how far behind it is.
/// Nothing depends on it, so it does not matter when that fails.
macro_rules! with_native_group {
    ($body:literal) => {
        concat!(
            r"
local function show(log, group, next)
  local id = '0-0'
  if next > 0 then id = string.format('%d-1', next - 1) end
  local read = string.format('%d', next)
  local set = redis.pcall('XGROUP', 'SETID', log, group, id, 'ENTRIESREAD', read)
  if set.err then
    redis.pcall('XGROUP', 'CREATE', log, group, id, 'MKSTREAM', 'ENTRIESREAD', read)
  end
end
",
            $body
        )
    };
}

/// KEYS: where the group has been, of each partition its topic, how far groups have come, and its log.
/// ARGV: the group, 1 when it begins at the end of a log or 0, the numbers of the partitions. Returns of each the offset of
/// its next record, and how far the group has come, empty when it never committed.
const ASSIGN: &str = with_native_group!(
    r"
local group, found = ARGV[1], {}
for i = 1, (#KEYS - 1) / 3 do
  local topic, done, log = KEYS[3 * i - 1], KEYS[3 * i], KEYS[3 * i + 1]
  redis.call('HSET', KEYS[1], done, log)
  local last = redis.call('HGET', topic, ARGV[2 + i]) or '0'
  local next = redis.call('HGET', done, group) or ''
  if next == '' then
    if ARGV[2] == '1' then next = last end
    redis.call('HSET', done, group, next)
  end
  show(log, group, tonumber(string.match(next, '^%d+') or 0))
  found[i] = {last, next}
end
return found
"
);

/// KEYS: claims, of each partition how far groups have come and its log. ARGV: the member, the group, by
/// which start of which server the records were read (empty when that is not known), of each partition
/// its name, epoch, next offset and what is to be stored. Returns 0, or the number of the first
/// partition that is not the member's: then nothing is committed. On another server, or after another
/// start, none is: it may have lost what was read, and have other records at those offsets.
const COMMIT: &str = with_native_group!(
    r"
if ARGV[3] ~= '' then
  local info = redis.call('INFO', 'server')
  if string.match(info, 'run_id:(%x+)') ~= ARGV[3] then return 1 end
end
local all = (#KEYS - 1) / 2
for i = 1, all do
  local claim = redis.call('HGET', KEYS[1], ARGV[4 * i])
  local ours = ARGV[1] .. ' ' .. ARGV[4 * i + 1]
  if not claim or (claim ~= ours and claim ~= ours .. ' r') then return i end
end
for i = 1, all do
  redis.call('HSET', KEYS[2 * i], ARGV[2], ARGV[4 * i + 3])
  show(KEYS[2 * i + 1], ARGV[2], tonumber(ARGV[4 * i + 2]))
end
return 0
"
);

/// KEYS: members, where the group has been, revision, signs of life, claims, changes. ARGV: the group.
/// Returns -1 when it has members, else how many partitions it has been in.
///
/// The keys of those partitions are in the slot of the others.
const DELETE: &str = r"
if redis.call('EXISTS', KEYS[1]) == 1 then return -1 end
local been = redis.call('HGETALL', KEYS[2])
for i = 1, #been, 2 do
  redis.call('HDEL', been[i], ARGV[1])
  redis.pcall('XGROUP', 'DESTROY', been[i + 1], ARGV[1])
end
for i = 2, 6 do redis.call('DEL', KEYS[i]) end
return #been / 2
";
