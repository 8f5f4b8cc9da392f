-- ARGV: age_ms, bytes of bodies to keep at most, how many events to remove at most.
-- Returns: how many were removed, 1 when more are to be removed now.

-- The head of a record with the names of a few targets.
local FRONT_BYTES = 512

local now = now_ms()
local oldest_ms, bytes_max, left = now - tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local bytes = tonumber(redis.call('GET', PREFIX .. 'bytes') or '0')
local freed, removed, dead = 0, { 'ZREM', FINISHED }, {}

-- The names of an event's targets and its body's bytes.
local function read_event(uid)
  local record = redis.call('GETRANGE', EVENT .. uid, 0, FRONT_BYTES - 1)
  local deliveries, body_bytes = read_record_head(record)
  if not deliveries then
    -- No version of ours: whatever it may have been delivered to.
    return redis.call('SMEMBERS', PREFIX .. 'targets'), 0
  end
  local read, targets = pcall(strings, record, RECORD_HEAD_BYTES + 1, deliveries)
  if not read then
    targets = strings(redis.call('GET', EVENT .. uid), RECORD_HEAD_BYTES + 1, deliveries)
  end
  return targets, body_bytes
end

local function remove(uid)
  local targets, body_bytes = read_event(uid)
  local keys = { 'UNLINK', EVENT .. uid, PREFIX .. 'settled:' .. uid }
  for _, target in ipairs(targets) do
    keys[#keys + 1] = STATE .. uid .. target
    dead[target] = dead[target] or { 'ZREM', DEAD .. target }
    table.insert(dead[target], uid)
  end
  redis.call(unpack(keys))
  freed = freed + body_bytes
  removed[#removed + 1] = uid
end

-- One more than may be removed, to know whether more are to be.
local oldest = redis.call('ZRANGE', FINISHED, 0, left, 'WITHSCORES')
local more = 0
for i = 1, #oldest, 2 do
  if tonumber(oldest[i + 1]) >= oldest_ms and bytes - freed <= bytes_max then
    break
  end
  if left == 0 then
    more = 1
    break
  end
  remove(oldest[i])
  left = left - 1
end
for _, command in pairs(dead) do
  run(command)
end
run(removed)
if freed > 0 then
  redis.call('DECRBY', PREFIX .. 'bytes', freed)
end
return { #removed - 2, more }
