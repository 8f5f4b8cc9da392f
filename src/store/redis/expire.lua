-- ARGV: age_ms, bytes of bodies to keep at most, how many events to remove at most.
-- Returns: how many were removed, how many ids were forgotten, 1 when more is to be removed now, how many deliveries
-- have their turn by that.
--
-- Records of requests that came before that age go, too.
--
-- Ids are forgotten by a walk over their buckets. The gateways together look, in each minute, at a sixtieth of the
-- buckets, so that a round takes an hour at most, and at more as long as there is little in them: at all of them when
-- the store is small.

local BUCKETS, BUCKETS_A_CALL, BUCKETS_A_MINUTE = 32768, 2048, 547
local IDS_A_CALL, IDS_A_MINUTE, MINUTE_AT = 2000, 20000, 11
local BODIES_A_CALL = 100
local RECORDS_A_CALL = 1000

local now = now_ms()
local oldest_ms, bytes_max, left = now - tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local bytes = tonumber(redis.call('GET', PREFIX .. 'bytes') or '0')
local freed, removed, dead, unlogged = 0, { 'ZREM', FINISHED }, {}, {}

-- The route of whoever is behind it in its group.
local function route_behind(delivery)
  for _, uid in ipairs(redis.call('ZRANGE', GROUP .. delivery.group, 0, 1)) do
    local front = uid ~= delivery.uid and read_front(uid)
    if front then
      return front.route
    end
  end
  return ''
end

-- Lets those behind an ordered delivery have their turn, if it held them up: otherwise another has it.
local function end_order(uid, target, route)
  local packed = redis.call('GET', STATE .. uid .. target)
  if not packed then
    return
  end
  local delivery = new_delivery(uid)
  read_state(delivery, packed)
  if redis.call('ZRANGE', GROUP .. delivery.group, 0, 0)[1] == uid then
    leave_group(delivery, queue_of(target, route or route_behind(delivery)), now)
  else
    redis.call('ZREM', GROUP .. delivery.group, uid)
  end
end

local function remove(uid)
  -- Of no version of ours, or not whole: whatever it may have been delivered to.
  local front = read_front(uid) or { targets = redis.call('SMEMBERS', TARGETS), body_bytes = 0 }
  local keys = { 'UNLINK', EVENT .. uid, PREFIX .. 'settled:' .. uid }
  for number, target in ipairs(front.targets) do
    keys[#keys + 1] = STATE .. uid .. target
    redis.call('ZREM', DEAD .. target, uid)
    if not front.route or front.is_ordered[number] then
      end_order(uid, target, front.route)
    end
  end
  redis.call(unpack(keys))
  freed = freed + front.body_bytes
  removed[#removed + 1] = uid
  local minute = math.floor(received_ms(uid) / MINUTE_MS)
  unlogged[minute] = (unlogged[minute] or 0) + 1
end

-- A minute's log goes with the last of its events.
local function unlog()
  for minute, count in pairs(unlogged) do
    local log = LOG .. score(minute)
    if redis.call('HINCRBY', PREFIX .. 'unlogged', minute, count) * UID_BYTES >= redis.call('STRLEN', log) then
      redis.call('UNLINK', log)
      redis.call('ZREM', LOGS, minute)
      redis.call('HDEL', PREFIX .. 'unlogged', minute)
    end
  end
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
run(removed)
unlog()
if freed > 0 then
  redis.call('DECRBY', PREFIX .. 'bytes', freed)
end

-- Forgets the ids of a bucket whose minute has come. Returns how many were there, and how many of them went.
local function forget(bucket, minute)
  local key = IDS .. struct.pack('>I2', bucket)
  local ids, over = redis.call('HGETALL', key), { 'HDEL', key }
  for i = 1, #ids, 2 do
    if struct.unpack('<I4', ids[i + 1], MINUTE_AT) <= minute then
      over[#over + 1] = ids[i]
    end
  end
  run(over)
  return #ids / 2, #over - 2
end

local function walk()
  local key, minute = PREFIX .. 'forgetting', math.floor(now / MINUTE_MS)
  local kept = redis.call('HMGET', key, 'minute', 'buckets', 'ids', 'next')
  local buckets, ids, next, forgotten = 0, 0, tonumber(kept[4] or 0), 0
  if tonumber(kept[1] or 0) == minute then
    buckets, ids = tonumber(kept[2]), tonumber(kept[3])
  end
  local function is_enough()
    return buckets >= BUCKETS or buckets >= BUCKETS_A_MINUTE and ids >= IDS_A_MINUTE
  end
  if is_enough() then
    return 0
  end
  local buckets_max, ids_max = buckets + BUCKETS_A_CALL, ids + IDS_A_CALL
  while buckets < buckets_max and ids < ids_max and not is_enough() do
    local seen, gone = forget(next, minute)
    next, buckets, ids, forgotten = (next + 1) % BUCKETS, buckets + 1, ids + seen, forgotten + gone
  end
  redis.call('HSET', key, 'minute', minute, 'buckets', buckets, 'ids', ids, 'next', next)
  if not is_enough() then
    more = 1
  end
  return forgotten
end

-- Records of requests, by the time that their ids tell. They are in the first shard.
local function forget_records()
  local key, before = PREFIX .. 'record-bodies', '(' .. string.format('%012x', math.max(oldest_ms, 0))
  local records = redis.call('ZRANGE', PREFIX .. 'records', '-', before, 'BYLEX', 'LIMIT', 0, RECORDS_A_CALL)
  local gone = { 'ZREM', PREFIX .. 'records' }
  for _, record in ipairs(records) do
    gone[#gone + 1] = record
  end
  run(gone)
  local bodies = redis.call('ZRANGE', key, '-', before, 'BYLEX', 'LIMIT', 0, BODIES_A_CALL)
  local over, size = { 'ZREM', key }, 0
  for _, body in ipairs(bodies) do
    over[#over + 1] = body
    size = size + #body - #body:match('^[^ ]+ ')
  end
  run(over)
  if size > 0 then
    redis.call('DECRBY', PREFIX .. 'record-bytes', size)
  end
  if #bodies == BODIES_A_CALL or #records == RECORDS_A_CALL then
    more = 1
  end
end

forget_records()
local forgotten = walk()
return { #removed - 2, forgotten, more, turns_given }
