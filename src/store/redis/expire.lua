-- ARGV: age_ms, bytes of bodies to keep at most, how many events to remove at most.
-- Returns: how many were removed, how many ids were forgotten, 1 when more is to be removed now.

-- Ids to forget, about; and how many batches, of what one call accepted, are taken at once.
local IDS_A_CALL, BATCHES, ID_BYTES = 1000, 8, 24
-- The head of a record with the names of a few targets.
local FRONT_BYTES = 512

local now = now_ms()
local oldest_ms, bytes_max, left = now - tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local bytes = tonumber(redis.call('GET', PREFIX .. 'bytes') or '0')
local freed, removed, dead = 0, { 'ZREM', FINISHED }, {}

-- The names of an event's targets and its body's bytes.
local function read_event(uid)
  local front = redis.call('GETRANGE', EVENT .. uid, 0, FRONT_BYTES - 1)
  local deliveries, body_bytes = read_record_head(front)
  local read, targets = pcall(strings, front, RECORD_HEAD_BYTES + 1, deliveries or 0)
  if not read then
    read, targets = pcall(strings, redis.call('GET', EVENT .. uid), RECORD_HEAD_BYTES + 1, deliveries)
  end
  if not deliveries or not read then
    -- No version of ours, or not whole: whatever it may have been delivered to.
    targets = redis.call('SMEMBERS', PREFIX .. 'targets')
  end
  return targets, body_bytes or 0
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

-- Forgets ids, unless they have been accepted anew since; returns how many.
local function forget(ids)
  local keys, times = {}, {}
  for at = 1, #ids, ID_BYTES do
    keys[#keys + 1] = ID .. string.sub(ids, at, at + 15)
    times[#times + 1] = string.sub(ids, at + 16, at + 23)
  end
  local forgotten = { 'UNLINK' }
  for i, value in ipairs(redis.call('MGET', unpack(keys))) do
    if value and string.sub(value, 1, 8) == times[i] then
      forgotten[#forgotten + 1] = keys[i]
    end
  end
  if #forgotten > 1 then
    redis.call(unpack(forgotten))
  end
  return #forgotten - 1
end

-- Forgets ids of the oldest minute that has come.
local function forget_oldest()
  local minute = redis.call('ZRANGE', MINUTES, '-inf', math.floor(now / MINUTE_MS), 'BYSCORE', 'LIMIT', 0, 1)[1]
  if not minute then
    return 0
  end
  more = 1
  local seen, forgotten = 0, 0
  while seen < IDS_A_CALL do
    local batches = redis.call('LPOP', IDS .. minute, BATCHES)
    if not batches then
      redis.call('ZREM', MINUTES, minute)
      break
    end
    local ids = table.concat(batches)
    seen = seen + #ids / ID_BYTES
    forgotten = forgotten + forget(ids)
  end
  return forgotten
end

local forgotten = forget_oldest()
return { #removed - 2, forgotten, more }
