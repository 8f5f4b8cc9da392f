-- ARGV: targets. Returns for each: {pending, dead, milliseconds since the oldest past-due one fell due}.

local now = now_ms()
local depths = {}
for i = 2, #ARGV do
  local target = ARGV[i]
  local first = redis.call('ZRANGE', DUE .. target, 0, 0, 'WITHSCORES')
  depths[i - 1] = {
    redis.call('ZCARD', DUE .. target),
    redis.call('ZCARD', DEAD .. target),
    first[2] and math.max(0, now - math.ceil(tonumber(first[2]))) or 0,
  }
end
return depths
