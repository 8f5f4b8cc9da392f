-- ARGV: pairs of a target and the route after which its queues are to be looked at (empty: all).
-- Returns for each: {pending, dead, milliseconds since the oldest past-due one fell due, the route after which to
-- go on, or false}.

local QUEUES_A_CALL = 1000

local now = now_ms()
local depths, left = {}, QUEUES_A_CALL
for at = 2, #ARGV, 2 do
  local target, after = ARGV[at], ARGV[at + 1]
  local from = after == '' and '-' or '(' .. after
  local routes = redis.call('ZRANGE', ROUTES .. target, from, '+', 'BYLEX', 'LIMIT', 0, math.max(1, left))
  local pending, oldest_ms = 0, 0
  for _, route in ipairs(routes) do
    local key = queue_of(target, route).key
    local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
    if first then
      pending = pending + redis.call('ZCARD', key)
      -- An infinite one is not past due.
      oldest_ms = math.max(oldest_ms, now - math.ceil(tonumber(first)))
    end
  end
  left = left - #routes
  local last = routes[#routes]
  local has_more = last and redis.call('ZLEXCOUNT', ROUTES .. target, '(' .. last, '+') > 0
  depths[#depths + 1] = { pending, redis.call('ZCARD', DEAD .. target), oldest_ms, has_more and last or false }
end
return depths
