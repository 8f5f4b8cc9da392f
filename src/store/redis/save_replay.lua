-- ARGV: the replay's id, the revision that it was read with, the millisecond of its end (0: it has not ended), its
-- description, how many replays are kept at most. One is kept as its revision (8), its end (8), its description.
-- Returns: 1 saved, 0 changed meanwhile, 2 no room for one more.

local HEAD, SAVED, CHANGED, FULL = '<I8i8', 1, 0, 2

local key, id, revision, ended_ms, kept_max = PREFIX .. 'replays', ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[6])

-- The one that ended first.
local function oldest_ended()
  local oldest, oldest_ms
  local kept = redis.call('HGETALL', key)
  for i = 1, #kept, 2 do
    local _, ms = struct.unpack(HEAD, kept[i + 1])
    if ms ~= 0 and (not oldest or ms < oldest_ms) then
      oldest, oldest_ms = kept[i], ms
    end
  end
  return oldest
end

local earlier = redis.call('HGET', key, id)
if (earlier and struct.unpack(HEAD, earlier) or 0) ~= revision then
  return CHANGED
end
if not earlier and redis.call('HLEN', key) >= kept_max then
  local oldest = oldest_ended()
  if not oldest then
    return FULL
  end
  redis.call('HDEL', key, oldest)
end
redis.call('HSET', key, id, struct.pack(HEAD, revision + 1, ended_ms) .. ARGV[5])
return SAVED
