-- ARGV: how many deliveries to retire at most, then the known targets.
-- Returns: how many were retired, how many had no event, 1 when more are left.

local now = now_ms()
local left = tonumber(ARGV[1])
local known = {}
for i = 2, #ARGV do
  known[ARGV[i]] = true
end

local retired, orphans = 0, 0
local function retire(target, uid)
  local packed = redis.call('HMGET', event_key(uid), 'n', 's:' .. target)
  if not packed[1] then
    redis.call('ZREM', due_key(target), uid)
    orphans = orphans + 1
    return
  end
  local _, attempts, generation, history = read_state(packed[2])
  finish(uid, target, TARGET_REMOVED, attempts, generation + 2 - generation % 2, history, now)
  retired = retired + 1
end

for _, target in ipairs(redis.call('SMEMBERS', PREFIX .. 'targets')) do
  if not known[target] then
    if left > 0 then
      local uids = redis.call('ZRANGE', due_key(target), 0, left - 1)
      for _, uid in ipairs(uids) do
        retire(target, uid)
      end
      left = left - #uids
    end
    if redis.call('EXISTS', due_key(target)) == 1 then
      return { retired, orphans, 1 }
    end
    redis.call('SREM', PREFIX .. 'targets', target)
  end
end
return { retired, orphans, 0 }
