-- What the scripts share; put before each of them.
--
-- KEYS[1] is the prefix of a shard: every key of a call begins with it, so that all are in one slot.
--   event:<uid>          an event's record: a head that the scripts know (below), its description, its body
--   state:<uid><target>  a delivery's state; there is none before the first claim from the store or settlement
--   settled:<uid>        how many deliveries are settled for good, while that is some and not all of them
--   due:<target>         sorted set of the unsettled uids, by the millisecond when each falls due; a claim is a
--                        score in the future, so that retry, lease and take-over are one mechanism
--   dead:<target>        sorted set of dead letters, by the time of death
--   id:<key>             a remembered event id: its time of acceptance (8) and the head of its body's digest (4)
--   ids:<minute>         list of what is to be forgotten in that minute: for each id its key (16) and that time (8)
--   minutes              sorted set of the minutes that have such a list
--   finished             sorted set of the uids whose deliveries are all settled, by the time of the last
--   targets              set of the targets that deliveries were stored for
--   format         which of these layouts it is, see format.rs
--   bytes                the bodies' bytes
--
-- A record begins with a byte of version, the bytes before the body and those of the body (four each), the number
-- of deliveries (two) and their targets, each after its length (two). A newer version may change what follows.
--
-- A delivery's token is its generation: odd while it is claimed (also when the lease has ended), even while
-- it waits. Each claim and each settlement raises it, so that neither a late, a repeated nor an invented
-- settlement ever fits. A delivery without a state has generation 0, or 1 when it was accepted already claimed:
-- then its score is half a millisecond less (a quarter, when it is its event's only one), which is due at the same
-- whole millisecond and costs no write.
--
-- ARGV[1] is the time in milliseconds, or empty: then the server's time counts, which all gateways share.
-- What follows it is each script's own; what is packed there is little-endian.

local PREFIX = KEYS[1]
local EVENT, STATE, DUE, DEAD = PREFIX .. 'event:', PREFIX .. 'state:', PREFIX .. 'due:', PREFIX .. 'dead:'
local FINISHED = PREFIX .. 'finished'
local ID, IDS, MINUTES, MINUTE_MS = PREFIX .. 'id:', PREFIX .. 'ids:', PREFIX .. 'minutes', 60000
local PENDING, DELIVERED, TARGET_REMOVED = 0, 1, 5
local ATTEMPTS_KEPT = 20
local RECORD_VERSION, RECORD_HEAD, RECORD_HEAD_BYTES = 1, '<BI4I4I2', 11

-- Runs a command that takes any number of arguments after the first two, unless it has none of them.
local function run(command)
  if command[3] then
    redis.call(unpack(command))
  end
end

local function now_ms()
  if ARGV[1] ~= '' then
    return tonumber(ARGV[1])
  end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- As text, since Redis would write a number with 17 digits and at some cost.
local function score(due_ms)
  return string.format('%.0f', due_ms)
end

local function score_of_claimed_at_once(due_ms, is_only)
  return string.format('%.2f', due_ms - (is_only and 0.25 or 0.5))
end

-- Returns whether the delivery was accepted already claimed and has no state, and whether it is its event's only one.
local function read_score(score)
  local fraction = string.match(score, '%.(%d+)$')
  return fraction ~= nil, fraction == '75'
end

-- How long until a score's whole millisecond, as Redis takes it; zero when it has come.
local function wait_ms(score, now)
  return math.max(0, math.ceil(tonumber(score)) - now)
end

-- Strings that were packed one after the other, each after its length; `count` of them, or all.
local function strings(packed, from, count)
  local found = {}
  while count and #found < count or not count and from <= #packed do
    found[#found + 1], from = struct.unpack('<I2c0', packed, from)
  end
  return found
end

-- Returns the number of deliveries and the body's bytes; nothing when there is no record or none that can be read.
local function read_record_head(record)
  if #record < RECORD_HEAD_BYTES then
    return nil
  end
  local version, _, body_bytes, deliveries = struct.unpack(RECORD_HEAD, record)
  if version ~= RECORD_VERSION then
    return nil
  end
  return deliveries, body_bytes
end

local function is_claimed(generation)
  return generation % 2 == 1
end

-- The deliveries of a target with these uids. Those that are settled or never were have no score.
local function load(target, uids)
  local deliveries, with_state, keys = {}, {}, {}
  for i, due in ipairs(redis.call('ZMSCORE', DUE .. target, unpack(uids))) do
    local delivery = { uid = uids[i], score = due, status = PENDING, attempts = 0, generation = 0, history = '' }
    deliveries[i] = delivery
    local is_claimed_at_once = false
    if due then
      is_claimed_at_once, delivery.is_only = read_score(due)
    end
    if is_claimed_at_once then
      delivery.generation = 1
    elseif due then
      with_state[#with_state + 1] = delivery
      keys[#keys + 1] = STATE .. uids[i] .. target
    end
  end
  if #keys > 0 then
    for i, packed in ipairs(redis.call('MGET', unpack(keys))) do
      if packed then
        local delivery, from = with_state[i], nil
        delivery.status, delivery.attempts, delivery.generation, from = struct.unpack('<BI4I4', packed)
        delivery.history = string.sub(packed, from)
      end
    end
  end
  return deliveries
end

-- What `save` has settled for good: how many deliveries of which uid; and events with a single delivery.
local settled, finished = {}, { 'ZADD', FINISHED }

local function is_unsettled(uid)
  for _, target in ipairs(redis.call('SMEMBERS', PREFIX .. 'targets')) do
    if redis.call('ZSCORE', DUE .. target, uid) then
      return true
    end
  end
  return false
end

-- Counts what was settled for good, once all is saved.
local function count_settled(now)
  for uid, count in pairs(settled) do
    local total = read_record_head(redis.call('GETRANGE', EVENT .. uid, 0, RECORD_HEAD_BYTES - 1))
    if not total then
      -- No version of ours: it does not tell how many there are.
      total = is_unsettled(uid) and math.huge or count
    end
    if count < total then
      local key = PREFIX .. 'settled:' .. uid
      count = redis.call('INCRBY', key, count)
      if count >= total then
        redis.call('DEL', key)
      end
    end
    if count >= total then
      finished[#finished + 1] = score(now)
      finished[#finished + 1] = uid
    end
  end
  run(finished)
end

-- Writes those deliveries of a target that have changed. What has no score any more is settled for good.
local function save(target, deliveries, now)
  local states, due, ended, dead = { 'MSET' }, { 'ZADD', DUE .. target }, { 'ZREM', DUE .. target }, { 'ZADD', DEAD .. target }
  local now_score = score(now)
  for _, delivery in ipairs(deliveries) do
    if delivery.changed then
      local uid = delivery.uid
      states[#states + 1] = STATE .. uid .. target
      states[#states + 1] = struct.pack('<BI4I4', delivery.status, delivery.attempts, delivery.generation)
        .. delivery.history
      if delivery.score then
        due[#due + 1] = delivery.score
        due[#due + 1] = uid
      else
        ended[#ended + 1] = uid
        if delivery.is_only then
          finished[#finished + 1] = now_score
          finished[#finished + 1] = uid
        else
          settled[uid] = (settled[uid] or 0) + 1
        end
        if delivery.status ~= DELIVERED then
          dead[#dead + 1] = now_score
          dead[#dead + 1] = uid
        end
      end
    end
  end
  run(states)
  run(due)
  run(ended)
  run(dead)
end
