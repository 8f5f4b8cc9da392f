-- ARGV: how many records are kept, how many bytes of their bodies; then, of each record, its request's id, its
-- description, its body or nothing. Members are an id, a space, and what it has: they sort by id, which is by time.

local RECORDS, BODIES, BYTES = PREFIX .. 'records', PREFIX .. 'record-bodies', PREFIX .. 'record-bytes'
local records_max, bytes_max = tonumber(ARGV[2]), tonumber(ARGV[3])

-- Of nothing it is after all others.
local function id_of(member)
  return member and member:match('^[^ ]+') or '~'
end

local function first(key)
  return redis.call('ZRANGE', key, 0, 0)[1]
end

local bytes = tonumber(redis.call('GET', BYTES) or 0)
for i = 4, #ARGV, 3 do
  local id, body = ARGV[i], ARGV[i + 2]
  -- An exclamation mark is next to a space.
  if redis.call('ZLEXCOUNT', RECORDS, '[' .. id .. ' ', '(' .. id .. '!') == 0 then
    redis.call('ZADD', RECORDS, 0, id .. ' ' .. ARGV[i + 1])
    if body ~= '' then
      bytes = bytes + redis.call('ZADD', BODIES, 0, id .. ' ' .. body) * #body
    end
  end
end

local beyond = redis.call('ZCARD', RECORDS) - records_max
if beyond > 0 then
  redis.call('ZPOPMIN', RECORDS, beyond)
end
local oldest, body = id_of(first(RECORDS)), first(BODIES)
while body and (bytes > bytes_max or id_of(body) < oldest) do
  redis.call('ZREM', BODIES, body)
  bytes = bytes - (#body - #id_of(body) - 1)
  body = first(BODIES)
end
redis.call('SET', BYTES, score(bytes))
return 0
