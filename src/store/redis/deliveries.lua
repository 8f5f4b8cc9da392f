-- Reading deliveries, and writing those that have changed.
--
-- A state is a byte of status (0 pending, 1 delivered, 7 filtered, else the dead letter's reason), the attempts since
-- the last replay and the generation (four each). With 128 added to the status there follow: when it was last replayed (eight,
-- 0: never), its place (eight), its group (16), whether it is ordered: a byte as in a record. Then the history: every
-- attempt as settle.lua says.

local PENDING, DELIVERED, TARGET_REMOVED, FILTERED, EXTENDED = 0, 1, 5, 7, 128
local UNORDERED, HOLDS, NO_GROUP = 0, 2, string.rep('\0', 16)
local STATE_HEAD, STATE_EXTENSION = '<BI4I4', '<I8I8c16B'
local HEADS_A_TURN = 100

-- Returns whether the delivery was accepted already claimed and has no state, and whether it is its event's only one.
local function read_score(score)
  local fraction = string.match(score, '%.(%d+)$')
  return fraction ~= nil, fraction == '75'
end

local function is_claimed(generation)
  return generation % 2 == 1
end

local function is_dead(status)
  return status ~= PENDING and status ~= DELIVERED and status ~= FILTERED
end

local function read_state(delivery, packed)
  local status, from
  status, delivery.attempts, delivery.generation, from = struct.unpack(STATE_HEAD, packed)
  if status >= EXTENDED then
    status = status - EXTENDED
    delivery.replayed_ms, delivery.place, delivery.group, delivery.order, from =
      struct.unpack(STATE_EXTENSION, packed, from)
  end
  delivery.status = status
  delivery.history = string.sub(packed, from)
end

local function packed_state(delivery)
  if delivery.replayed_ms == 0 and delivery.order == UNORDERED then
    return struct.pack(STATE_HEAD, delivery.status, delivery.attempts, delivery.generation) .. delivery.history
  end
  return struct.pack(STATE_HEAD, delivery.status + EXTENDED, delivery.attempts, delivery.generation)
    .. struct.pack(STATE_EXTENSION, delivery.replayed_ms, delivery.place, delivery.group, delivery.order)
    .. delivery.history
end

local function new_delivery(uid, score)
  return {
    uid = uid, score = score, status = PENDING, attempts = 0, generation = 0, history = '',
    replayed_ms = 0, place = 0, group = NO_GROUP, order = UNORDERED,
  }
end

-- The deliveries of a queue with these uids. Those that are settled or never were have no score.
local function load(queue, uids)
  local deliveries, with_state, keys = {}, {}, {}
  for i, due in ipairs(redis.call('ZMSCORE', queue.key, unpack(uids))) do
    local delivery = new_delivery(uids[i], due)
    deliveries[i] = delivery
    local is_claimed_at_once = false
    if due then
      is_claimed_at_once, delivery.is_only = read_score(due)
    end
    if is_claimed_at_once then
      delivery.generation = 1
    elseif due then
      with_state[#with_state + 1] = delivery
      keys[#keys + 1] = STATE .. uids[i] .. queue.target
    end
  end
  if #keys > 0 then
    for i, packed in ipairs(redis.call('MGET', unpack(keys))) do
      if packed then
        read_state(with_state[i], packed)
      end
    end
  end
  return deliveries
end

local turns_given = 0

-- Makes the first of a group due, unless it is already, or is a dead letter that holds. For when the one that had the
-- turn is settled: it keeps it until then.
local function give_turn(group, queue, now)
  for _ = 1, HEADS_A_TURN do
    local head = redis.call('ZRANGE', GROUP .. group, 0, 0)[1]
    local due = head and redis.call('ZSCORE', queue.key, head)
    if due == WAITS_FOR_ITS_TURN then
      redis.call('ZADD', queue.key, score(now), head)
      lower_turn(queue, score(now))
      turns_given = turns_given + 1
    end
    if not head or due or redis.call('ZSCORE', DEAD .. queue.target, head) then
      return
    end
    -- Neither waiting nor dead: it was lost inside Redis, and holds up nobody.
    redis.call('ZREM', GROUP .. group, head)
  end
end

-- Of a delivery that is gone.
local function leave_group(delivery, queue, now)
  if delivery.order ~= UNORDERED then
    redis.call('ZREM', GROUP .. delivery.group, delivery.uid)
    give_turn(delivery.group, queue, now)
  end
end

-- What `save` has settled for good: how many deliveries of which uid; and events with a single delivery.
local settled, finished = {}, { 'ZADD', FINISHED }

local function is_unsettled(uid)
  for _, target in ipairs(redis.call('SMEMBERS', TARGETS)) do
    for _, route in ipairs(redis.call('ZRANGE', ROUTES .. target, 0, -1)) do
      if redis.call('ZSCORE', queue_of(target, route).key, uid) then
        return true
      end
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

-- Writes those deliveries of a queue that have changed. What has no score any more is settled for good.
local function save(queue, deliveries, now)
  local states, due, ended = { 'MSET' }, { 'ZADD', queue.key }, { 'ZREM', queue.key }
  local dead, earliest, groups = { 'ZADD', DEAD .. queue.target }, math.huge, {}
  for _, delivery in ipairs(deliveries) do
    if delivery.changed then
      local uid = delivery.uid
      states[#states + 1] = STATE .. uid .. queue.target
      states[#states + 1] = packed_state(delivery)
      if delivery.score then
        due[#due + 1] = delivery.score
        due[#due + 1] = uid
        earliest = math.min(earliest, tonumber(delivery.score))
      else
        ended[#ended + 1] = uid
        if delivery.is_only then
          finished[#finished + 1] = score(now)
          finished[#finished + 1] = uid
        else
          settled[uid] = (settled[uid] or 0) + 1
        end
        if is_dead(delivery.status) then
          dead[#dead + 1] = score(received_ms(uid))
          dead[#dead + 1] = uid
        end
      end
      if delivery.order ~= UNORDERED and not delivery.score then
        groups[delivery.group] = true
        if not is_dead(delivery.status) or delivery.order ~= HOLDS then
          redis.call('ZREM', GROUP .. delivery.group, uid)
        end
      end
    end
  end
  run(states, 1)
  run(due)
  run(ended)
  run(dead)
  if earliest < math.huge then
    lower_turn(queue, score(earliest))
  end
  for group in pairs(groups) do
    give_turn(group, queue, now)
  end
end
