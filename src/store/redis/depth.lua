-- ARGV: targets. Returns for each: {pending, dead, milliseconds since the oldest past-due one fell due}.

local now = now_ms()
local depths = {}
for i, target in ipairs(ARGV) do
  local first = redis.call('ZRANGE', due_key(target), 0, 0, 'WITHSCORES')
  depths[i] = {
    redis.call('ZCARD', due_key(target)),
    redis.call('ZCARD', PREFIX .. 'dead:' .. target),
    first[2] and math.max(0, now - tonumber(first[2])) or 0,
  }
end
return depths
