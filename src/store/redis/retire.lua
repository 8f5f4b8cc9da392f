-- ARGV: how many deliveries to retire at most, then the known targets.
-- Returns: how many were retired, how many had no event, 1 when more are left.

local now = now_ms()
local left = tonumber(ARGV[2])
local known = {}
for i = 3, #ARGV do
  known[ARGV[i]] = true
end

local retired, orphans = 0, 0
local function retire(target, uids)
  local deliveries = load(target, uids)
  for _, delivery in ipairs(deliveries) do
    if redis.call('EXISTS', EVENT .. delivery.uid) == 1 then
      delivery.changed = true
      delivery.generation = delivery.generation + 2 - delivery.generation % 2
      delivery.status = TARGET_REMOVED
      delivery.score = nil
      retired = retired + 1
    else
      redis.call('ZREM', DUE .. target, delivery.uid)
      orphans = orphans + 1
    end
  end
  save(target, deliveries, now)
end

local function retire_unknown()
  for _, target in ipairs(redis.call('SMEMBERS', PREFIX .. 'targets')) do
    if not known[target] then
      local uids = left > 0 and redis.call('ZRANGE', DUE .. target, 0, left - 1) or {}
      if #uids > 0 then
        retire(target, uids)
        left = left - #uids
      end
      if redis.call('EXISTS', DUE .. target) == 1 then
        return 1
      end
      redis.call('SREM', PREFIX .. 'targets', target)
    end
  end
  return 0
end

local more = retire_unknown()
count_settled(now)
return { retired, orphans, more }
