-- ARGV: age_ms, bytes of bodies to keep at most, how many events to remove at most.
-- Returns: how many were removed, 1 when more are to be removed now.

local now = now_ms()
local oldest_ms, bytes_max, left = now - tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local finished = PREFIX .. 'finished'
local bytes = tonumber(redis.call('GET', PREFIX .. 'bytes') or '0')
local freed, removed = 0, 0

local function remove(uid)
  local event = event_key(uid)
  freed = freed + redis.call('HSTRLEN', event, 'b')
  for _, field in ipairs(redis.call('HKEYS', event)) do
    if string.sub(field, 1, 2) == 's:' then
      redis.call('ZREM', PREFIX .. 'dead:' .. string.sub(field, 3), uid)
    end
  end
  redis.call('UNLINK', event)
  redis.call('ZREM', finished, uid)
  removed = removed + 1
end

local more = 0
while true do
  local first = redis.call('ZRANGE', finished, 0, 0, 'WITHSCORES')
  local expired = first[1] and (tonumber(first[2]) < oldest_ms or bytes - freed > bytes_max)
  if not expired then
    break
  end
  if removed >= left then
    more = 1
    break
  end
  remove(first[1])
end
if freed > 0 then
  redis.call('DECRBY', PREFIX .. 'bytes', freed)
end
return { removed, more }
