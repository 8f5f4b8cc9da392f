-- ARGV: how many deliveries to retire at most, "these" or "all_but", then targets.
-- Returns: how many were retired, how many had no event, 1 when more are left.

local QUEUES_A_CALL = 500

local now = now_ms()
local left, queues_left = tonumber(ARGV[2]), QUEUES_A_CALL
local these, named = ARGV[3] == 'these', {}
for i = 4, #ARGV do
  named[ARGV[i]] = true
end

local retired, orphans = 0, 0
local function retire(queue, uids)
  local deliveries = load(queue, uids)
  for _, delivery in ipairs(deliveries) do
    if redis.call('EXISTS', EVENT .. delivery.uid) == 1 then
      delivery.changed = true
      delivery.generation = delivery.generation + 2 - delivery.generation % 2
      delivery.status = TARGET_REMOVED
      delivery.score = nil
      retired = retired + 1
    else
      redis.call('ZREM', queue.key, delivery.uid)
      orphans = orphans + 1
    end
  end
  save(queue, deliveries, now)
  -- They hold up nobody. Those that are left over have their turn: this may be the last call, and the target be back.
  for _, delivery in ipairs(deliveries) do
    leave_group(delivery, queue, now)
  end
end

-- Returns whether nothing is left of the target's queues.
local function retire_target(target)
  for _, route in ipairs(redis.call('ZRANGE', ROUTES .. target, 0, queues_left - 1)) do
    local queue = queue_of(target, route)
    local uids = left > 0 and redis.call('ZRANGE', queue.key, 0, left - 1) or {}
    if #uids > 0 then
      retire(queue, uids)
      left = left - #uids
    end
    if redis.call('EXISTS', queue.key) == 1 then
      return false
    end
    redis.call('ZREM', ROUTES .. target, route)
    queues_left = queues_left - 1
  end
  return queues_left > 0
end

local function retire_gone()
  for _, target in ipairs(redis.call('SMEMBERS', TARGETS)) do
    if (named[target] ~= nil) == these then
      if not retire_target(target) then
        return 1
      end
      redis.call('DEL', TURNS .. target)
      -- Its dead letters are listed by it.
      if redis.call('EXISTS', DEAD .. target) == 0 then
        redis.call('SREM', TARGETS, target)
      end
    end
  end
  return 0
end

local more = retire_gone()
count_settled(now)
return { retired, orphans, more }
