-- ARGV: the names of routes and targets; the plans: what events have in common; for each event its head, all of them
-- packed into one; for each ordered delivery of each event its group (16), packed likewise; then for each event its
-- record.
-- A plan is window_ms, the number of the route, the number of deliveries, and for each of those: number of the target,
-- lease_ms (negative: none), whether it is ordered as in a record. A head is uid, the id's bucket and field, what is
-- kept of it but for the minute, the minute of the log, the body's bytes, number of the plan. Numbers count from 1.
-- Returns two lists: for each event whose id was remembered its number and what is kept of the id; and for each
-- delivery that asked for a lease but has to wait for its turn the event's number and its own.

local HEAD, HEAD_BYTES, KEPT_BYTES = '<c16c2c12c10I4I4I2', 50, 10

local now = now_ms()
local names, packed_plans, heads, groups, FIRST_RECORD = strings(ARGV[2]), ARGV[3], ARGV[4], ARGV[5], 6

-- The commands that store what is accepted, one for all events.
local records, finished = { 'MSET' }, { 'ZADD', FINISHED }
local queues, logs, bytes = {}, {}, 0
local are_written = false
local next_group, last_place = 1, nil
local duplicates, waiting = {}, {}
-- The ids that were new: of each its bucket and field; and what else takes back what must not stay without its event.
local new_ids, undo = {}, {}

local function queue_for(target, route)
  local queue = queue_of(target, route)
  queue = queues[queue.key] or queue
  if not queue.due then
    queue.due, queue.earliest = { 'ZADD', queue.key }, math.huge
    queues[queue.key] = queue
  end
  return queue
end

local function read_plans()
  local plans, at = {}, 1
  while at <= #packed_plans do
    local window_ms, route, count
    window_ms, route, count, at = struct.unpack('<i8I2I2', packed_plans, at)
    local plan = { window_ms = window_ms, deliveries = {}, is_ordered = false }
    for number = 1, count do
      local target, lease_ms, order
      target, lease_ms, order, at = struct.unpack('<I2i8B', packed_plans, at)
      local due_ms = now + math.max(0, lease_ms)
      local due = score(due_ms)
      if lease_ms >= 0 and order == 0 then
        -- See common.lua.
        due = string.format('%.2f', due_ms - (count == 1 and 0.25 or 0.5))
      end
      plan.is_ordered = plan.is_ordered or order > 0
      plan.deliveries[number] = {
        queue = queue_for(names[target], names[route]), due = due, due_ms = due_ms, order = order,
        is_leased = lease_ms >= 0,
      }
    end
    -- The first whole minute after the window.
    plan.minute = struct.pack('<I4', math.floor((now + window_ms) / MINUTE_MS) + 1)
    plans[#plans + 1] = plan
  end
  return plans
end

-- Remembers an id, or returns what is kept of it when it is remembered already, from less than the window ago.
local function remember(bucket, field, kept, plan)
  local key, value = IDS .. bucket, kept .. plan.minute
  if redis.call('HSETNX', key, field, value) == 1 then
    local count = #new_ids
    new_ids[count + 1], new_ids[count + 2] = key, field
    return nil
  end
  local earlier = redis.call('HGET', key, field)
  local first_ms, received_ms = struct.unpack('<I6', earlier), struct.unpack('<I6', kept)
  -- It may be kept for longer: by a window that was longer then, or until the walk comes by.
  -- Equal times would make an equal uid, which must never overwrite its event.
  if first_ms + plan.window_ms > received_ms or first_ms == received_ms then
    return string.sub(earlier, 1, KEPT_BYTES)
  end
  if struct.unpack('<I4', earlier, KEPT_BYTES + 1) > struct.unpack('<I4', plan.minute) then
    value = kept .. string.sub(earlier, KEPT_BYTES + 1)
  end
  redis.call('HSET', key, field, value)
  undo[#undo + 1] = { 'HSET', key, field, earlier }
  return nil
end

-- The last place of a group. Returns whether that is the first, too.
local function take_place(uid, group)
  if not last_place then
    local count = #groups / GROUP_BYTES
    last_place = redis.call('INCRBY', PREFIX .. 'places', count) - count
  end
  last_place = last_place + 1
  redis.call('ZADD', GROUP .. group, last_place, uid)
  undo[#undo + 1] = { 'ZREM', GROUP .. group, uid }
  return redis.call('ZCARD', GROUP .. group) == 1
end

local function add_ordered(uid, delivery)
  local group = string.sub(groups, next_group, next_group + GROUP_BYTES - 1)
  next_group = next_group + GROUP_BYTES
  local has_turn = take_place(uid, group)
  local state = new_delivery(uid)
  state.generation = has_turn and delivery.is_leased and 1 or 0
  state.order, state.group, state.place = delivery.order, group, last_place
  records[#records + 1] = STATE .. uid .. delivery.queue.target
  records[#records + 1] = packed_state(state)
  return has_turn
end

local function store(number, uid, record, body_bytes, minute, plan)
  records[#records + 1] = EVENT .. uid
  records[#records + 1] = record
  bytes = bytes + body_bytes
  local log = logs[minute]
  if not log then
    log = {}
    logs[minute] = log
  end
  log[#log + 1] = uid
  for i, delivery in ipairs(plan.deliveries) do
    local queue, due = delivery.queue, delivery.due
    if delivery.order > 0 and not add_ordered(uid, delivery) then
      due = WAITS_FOR_ITS_TURN
      if delivery.is_leased then
        waiting[#waiting + 1] = number
        waiting[#waiting + 1] = i
      end
    elseif delivery.due_ms < queue.earliest then
      queue.earliest = delivery.due_ms
    end
    local command = queue.due
    command[#command + 1] = due
    command[#command + 1] = uid
  end
  if #plan.deliveries == 0 then
    finished[#finished + 1] = score(now)
    finished[#finished + 1] = uid
  end
end

local function skip_groups(plan)
  for _, delivery in ipairs(plan.deliveries) do
    next_group = next_group + (delivery.order > 0 and GROUP_BYTES or 0)
  end
end

local function accept_all()
  local plans = read_plans()
  for number = 1, #heads / HEAD_BYTES do
    local uid, bucket, field, kept, minute, body_bytes, plan = struct.unpack(HEAD, heads, (number - 1) * HEAD_BYTES + 1)
    plan = plans[plan]
    local earlier = remember(bucket, field, kept, plan)
    if not earlier then
      store(number, uid, ARGV[FIRST_RECORD + number - 1], body_bytes, minute, plan)
    else
      duplicates[#duplicates + 1] = number
      duplicates[#duplicates + 1] = earlier
      if plan.is_ordered then
        skip_groups(plan)
      end
    end
  end
end

local function write_all()
  for minute, uids in pairs(logs) do
    if redis.call('APPEND', LOG .. score(minute), table.concat(uids)) == #uids * UID_BYTES then
      redis.call('ZADD', LOGS, minute, minute)
    end
  end
  for _, queue in pairs(queues) do
    if #queue.due > 2 then
      run(queue.due)
      if queue.earliest < math.huge then
        lower_turn(queue, score(queue.earliest))
      else
        redis.call('ZADD', ROUTES .. queue.target, 0, queue.route)
        redis.call('SADD', TARGETS, queue.target)
      end
    end
  end
  run(finished)
  if bytes > 0 then
    redis.call('INCRBY', PREFIX .. 'bytes', bytes)
  end
  are_written = true
  run(records, 1)
end

local function take_back()
  for i = #undo, 1, -1 do
    redis.pcall(unpack(undo[i]))
  end
  for i = 1, #new_ids, 2 do
    redis.pcall('HDEL', new_ids[i], new_ids[i + 1])
  end
  for _, queue in pairs(queues) do
    for i = 4, #queue.due, 2 do
      redis.pcall('ZREM', queue.key, queue.due[i])
    end
  end
  -- Very many records are written in parts.
  if are_written then
    for i = 2, #records, 2 do
      redis.pcall('DEL', records[i])
    end
    redis.pcall('DECRBY', PREFIX .. 'bytes', bytes)
  end
end

-- Redis takes nothing back when a command fails. Then no id may be remembered, no place be taken, and nothing be due.
local done, fault = pcall(function()
  accept_all()
  write_all()
end)
if not done then
  take_back()
  return type(fault) == 'table' and fault or redis.error_reply('ERR ' .. tostring(fault))
end
return { duplicates, waiting }
