-- ARGV: a time in milliseconds, or empty, and pairs of a uid and a target. Returns for each: 0 due again, 1 pending
-- already, 2 not stored, 3 replayed at that time or later.

local DUE_AGAIN, PENDING_ALREADY, UNKNOWN, SINCE = 0, 1, 2, 3

local now = now_ms()
local unless_since = tonumber(ARGV[2])

-- Takes a delivery out of what is settled.
local function unsettle(uid, deliveries)
  local key = PREFIX .. 'settled:' .. uid
  local settled = deliveries
  if redis.call('ZREM', FINISHED, uid) == 0 then
    settled = tonumber(redis.call('GET', key) or '1')
  end
  if settled > 1 then
    redis.call('SET', key, settled - 1)
  else
    redis.call('DEL', key)
  end
end

-- The score of a delivery that is back in its group at its old place. Whoever has the turn keeps it.
local function take_place(queue, delivery)
  local first = redis.call('ZRANGE', GROUP .. delivery.group, 0, 0)[1]
  redis.call('ZADD', GROUP .. delivery.group, delivery.place, delivery.uid)
  local is_first = redis.call('ZRANGE', GROUP .. delivery.group, 0, 0)[1] == delivery.uid
  -- A dead letter that holds up those behind it has no score.
  local is_another_unsettled = first and first ~= delivery.uid and redis.call('ZSCORE', queue.key, first)
  return is_first and not is_another_unsettled and score(now) or WAITS_FOR_ITS_TURN
end

local function replay(uid, target)
  local front = read_front(uid)
  local is_meant = false
  for _, name in ipairs(front and front.targets or {}) do
    is_meant = is_meant or name == target
  end
  if not is_meant then
    return UNKNOWN
  end
  local queue = queue_of(target, front.route)
  if redis.call('ZSCORE', queue.key, uid) then
    return PENDING_ALREADY
  end
  local delivery = new_delivery(uid)
  local packed = redis.call('GET', STATE .. uid .. target)
  if packed then
    read_state(delivery, packed)
  end
  if unless_since and delivery.replayed_ms ~= 0 and delivery.replayed_ms >= unless_since then
    return SINCE
  end
  delivery.changed, delivery.status, delivery.attempts, delivery.replayed_ms = true, PENDING, 0, now
  redis.call('ZREM', DEAD .. target, uid)
  unsettle(uid, #front.targets)
  delivery.score = delivery.order == UNORDERED and score(now) or take_place(queue, delivery)
  save(queue, { delivery }, now)
  redis.call('ZADD', ROUTES .. target, 0, front.route)
  redis.call('SADD', TARGETS, target)
  return DUE_AGAIN
end

local replayed = {}
for at = 3, #ARGV, 2 do
  replayed[#replayed + 1] = replay(ARGV[at], ARGV[at + 1])
end
return replayed
