-- What the scripts share; put before each of them.
--
-- KEYS[1] is the prefix of a shard: every key of a call begins with it, so that all are in one slot.
--   event:<uid>    hash: m (description), b (body), n (unsettled deliveries), s:<target> (a delivery's state)
--   due:<target>   sorted set of the unsettled uids, by the millisecond when each falls due; a claim is a
--                  score in the future, so that retry, lease and take-over are one mechanism
--   dead:<target>  sorted set of dead letters, by the time of death
--   id:<key>       a remembered event id
--   finished       sorted set of the uids whose deliveries are all settled, by the time of the last
--   targets        set of the targets that deliveries were stored for
--   bytes          the bodies' bytes
--
-- A delivery's token is its generation: odd while it is claimed (also when the lease has ended), even while
-- it waits. Each claim and each settlement raises it, so that neither a late, a repeated nor an invented
-- settlement ever fits. No state is stored before the first claim or settlement.
--
-- ARGV[1] is the time in milliseconds, or empty: then the server's time counts, which all gateways share.
-- What follows it is each script's own.

local PREFIX = KEYS[1]
local PENDING, DELIVERED, TARGET_REMOVED = 0, 1, 5
local ATTEMPTS_KEPT = 20

local given_ms = table.remove(ARGV, 1)

local function now_ms()
  if given_ms ~= '' then
    return tonumber(given_ms)
  end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function event_key(uid)
  return PREFIX .. 'event:' .. uid
end

local function due_key(target)
  return PREFIX .. 'due:' .. target
end

-- Returns status, attempts, generation, history.
local function read_state(packed)
  if not packed then
    return PENDING, 0, 0, ''
  end
  local status, attempts, generation, from = struct.unpack('<BI4I4', packed)
  return status, attempts, generation, string.sub(packed, from)
end

local function pack_state(status, attempts, generation, history)
  return struct.pack('<BI4I4', status, attempts, generation) .. history
end

local function is_claimed(generation)
  return generation % 2 == 1
end

local function write_state(event, target, status, attempts, generation, history)
  redis.call('HSET', event, 's:' .. target, pack_state(status, attempts, generation, history))
end

-- The history with one more attempt. Each is its two lengths, its facts and the head of the response;
-- only the newest keeps the head, and only the newest ATTEMPTS_KEPT are kept.
local function with_attempt(history, facts, head)
  local earlier, at = {}, 1
  while at <= #history do
    local facts_bytes, head_bytes, from = struct.unpack('<I2I2', history, at)
    earlier[#earlier + 1] = string.sub(history, from, from + facts_bytes - 1)
    at = from + facts_bytes + head_bytes
  end
  local parts = {}
  for i = math.max(1, #earlier - ATTEMPTS_KEPT + 2), #earlier do
    parts[#parts + 1] = struct.pack('<I2I2', #earlier[i], 0) .. earlier[i]
  end
  parts[#parts + 1] = struct.pack('<I2I2', #facts, #head) .. facts .. head
  return table.concat(parts)
end

-- Settles a delivery for good. The generation is that after the settlement.
local function finish(uid, target, status, attempts, generation, history, now)
  local event = event_key(uid)
  redis.call('ZREM', due_key(target), uid)
  write_state(event, target, status, attempts, generation, history)
  if status ~= DELIVERED then
    redis.call('ZADD', PREFIX .. 'dead:' .. target, now, uid)
  end
  if redis.call('HINCRBY', event, 'n', -1) <= 0 then
    redis.call('ZADD', PREFIX .. 'finished', now, uid)
  end
end
