-- Converts one piece of a shard of format 2. Returns how many entries it moved; -1 when the shard is in format 3.
-- Each piece is whole in itself, so that any number of gateways may call this at once, and any of them may end.
--
-- Format 2 had one queue a target, due:<target>; dead letters by the time of death; each remembered id in a key of its
-- own, id:<key>, and for each minute a list ids:<minute> of what was to be forgotten in it: for each id its key (16)
-- and when it was received (8); no logs. Its set `targets` becomes a string: with that no gateway of an older version
-- that still runs can accept any more, and what is due there is no more for it.
-- Meanwhile: olddead:<target>, dead letters still to be moved; unsorted: uids for the logs, by when they were received.

local ENTRIES_A_CALL, BATCHES_A_CALL = 400, 4
local FORMAT, NEWEST, CONVERTING = PREFIX .. 'format', '4', PREFIX .. 'converting'
local UNSORTED, MINUTES, NO_ROUTE = PREFIX .. 'unsorted', PREFIX .. 'minutes', '?'

local function add_target(target)
  redis.call('SADD', TARGETS, target)
  if redis.call('EXISTS', DEAD .. target) == 1 then
    redis.call('RENAME', DEAD .. target, PREFIX .. 'olddead:' .. target)
  end
end

local function begin()
  for _, target in ipairs(redis.call('SMEMBERS', PREFIX .. 'targets')) do
    add_target(target)
  end
  redis.call('SET', PREFIX .. 'targets', 'see names')
  redis.call('SET', FORMAT, '2 to 3')
end

local function note_for_log(uid, front)
  redis.call('ZADD', UNSORTED, score(received_ms(uid)), uid)
  -- The older version forgot a target that was gone, and left its dead letters.
  for _, target in ipairs(front and front.targets or {}) do
    if redis.call('SISMEMBER', TARGETS, target) == 0 then
      add_target(target)
    end
  end
end

local function move_due(target)
  local moved = redis.call('ZRANGE', DUE .. target, 0, ENTRIES_A_CALL - 1, 'WITHSCORES')
  for i = 1, #moved, 2 do
    local uid, due = moved[i], moved[i + 1]
    local front = read_front(uid)
    -- Whoever claims it finds no event, or none that can be read.
    local queue = queue_of(target, front and front.route or NO_ROUTE)
    redis.call('ZADD', queue.key, due, uid)
    redis.call('ZREM', DUE .. target, uid)
    lower_turn(queue, due)
    note_for_log(uid, front)
  end
  return #moved / 2
end

local function move_dead(target)
  local moved = redis.call('ZPOPMIN', PREFIX .. 'olddead:' .. target, ENTRIES_A_CALL)
  for i = 1, #moved, 2 do
    redis.call('ZADD', DEAD .. target, score(received_ms(moved[i])), moved[i])
  end
  return #moved / 2
end

local function move_ids(minute)
  local batches = redis.call('LPOP', IDS .. minute, BATCHES_A_CALL)
  if not batches then
    redis.call('ZREM', MINUTES, minute)
    return 1
  end
  local ids = table.concat(batches)
  for at = 1, #ids, 24 do
    local key, received = struct.unpack('<c16c8', ids, at)
    local kept = redis.call('GET', PREFIX .. 'id:' .. key)
    -- With another time it was accepted anew, and stands in a later minute, too.
    if kept and string.sub(kept, 1, 8) == received then
      local bucket = string.char(string.byte(key) % 128) .. string.sub(key, 2, 2)
      local value = string.sub(kept, 1, 6) .. string.sub(kept, 9, 12) .. struct.pack('<I4', tonumber(minute))
      redis.call('HSET', IDS .. bucket, string.sub(key, 3, 14), value)
      redis.call('UNLINK', PREFIX .. 'id:' .. key)
    end
  end
  return #ids / 24
end

local function note_finished()
  local from = tonumber(redis.call('HGET', CONVERTING, 'finished') or 0)
  local uids = redis.call('ZRANGE', FINISHED, from, from + ENTRIES_A_CALL - 1)
  for _, uid in ipairs(uids) do
    note_for_log(uid, read_front(uid))
  end
  redis.call('HSET', CONVERTING, 'finished', from + #uids)
  return #uids
end

local function write_logs()
  local uids = redis.call('ZPOPMIN', UNSORTED, ENTRIES_A_CALL)
  for i = 1, #uids, 2 do
    local minute = math.floor(received_ms(uids[i]) / MINUTE_MS)
    redis.call('APPEND', LOG .. score(minute), uids[i])
    redis.call('ZADD', LOGS, minute, minute)
  end
  return #uids / 2
end

local function convert()
  local targets = redis.call('SMEMBERS', TARGETS)
  for _, move in ipairs({ move_due, move_dead }) do
    for _, target in ipairs(targets) do
      local moved = move(target)
      if moved > 0 then
        return moved
      end
    end
  end
  local minute = redis.call('ZRANGE', MINUTES, 0, 0)[1]
  local moved = minute and move_ids(minute) or note_finished()
  if moved == 0 then
    moved = write_logs()
  end
  if moved == 0 then
    redis.call('DEL', CONVERTING)
    redis.call('SET', FORMAT, NEWEST)
    return -1
  end
  return moved
end

local format = redis.call('GET', FORMAT)
if format == '2' then
  begin()
  return 0
end
if format == '3' then
  redis.call('SET', FORMAT, NEWEST)
end
return format == '2 to 3' and convert() or -1
