-- ARGV, for each event: uid, id key, id value, received_ms, window_ms, description, body,
-- number of deliveries, and for each of those: target, lease_ms (negative: none).
-- Returns for each event: 1 when it is stored, or the value of the id that was remembered before.

-- The id's value when the id is remembered from less than the window ago. The only place, with
-- `remember`, that knows how ids are laid out.
local function remembered(id, received_ms, window_ms)
  local value = redis.call('GET', PREFIX .. 'id:' .. id)
  if not value then
    return nil
  end
  local first_ms = struct.unpack('<i8', value)
  -- Equal times would make an equal uid, which must never overwrite its event.
  if first_ms + window_ms > received_ms or first_ms == received_ms then
    return value
  end
  return nil
end

local function remember(id, value, window_ms)
  redis.call('SET', PREFIX .. 'id:' .. id, value, 'PX', math.max(1, window_ms))
end

local CLAIMED_AT_ONCE = pack_state(PENDING, 0, 1, '')
local now = now_ms()
local results, targets, seen, bytes = {}, {}, {}, 0
local at = 1
while at <= #ARGV do
  local uid, id, id_value = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local received_ms, window_ms = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local description, body = ARGV[at + 5], ARGV[at + 6]
  local deliveries = tonumber(ARGV[at + 7])
  at = at + 8

  local first = remembered(id, received_ms, window_ms)
  if first then
    results[#results + 1] = first
  else
    remember(id, id_value, window_ms)
    local fields = { 'm', description, 'b', body, 'n', deliveries }
    for i = 0, deliveries - 1 do
      local target, lease_ms = ARGV[at + 2 * i], tonumber(ARGV[at + 2 * i + 1])
      redis.call('ZADD', due_key(target), now + math.max(0, lease_ms), uid)
      if lease_ms >= 0 then
        fields[#fields + 1] = 's:' .. target
        fields[#fields + 1] = CLAIMED_AT_ONCE
      end
      if not seen[target] then
        seen[target] = true
        targets[#targets + 1] = target
      end
    end
    redis.call('HSET', event_key(uid), unpack(fields))
    if deliveries == 0 then
      redis.call('ZADD', PREFIX .. 'finished', now, uid)
    end
    bytes = bytes + #body
    results[#results + 1] = 1
  end
  at = at + 2 * deliveries
end
if #targets > 0 then
  redis.call('SADD', PREFIX .. 'targets', unpack(targets))
end
if bytes > 0 then
  redis.call('INCRBY', PREFIX .. 'bytes', bytes)
end
return results
