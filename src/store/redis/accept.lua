-- ARGV: the targets' names; the plans: what events have in common; for each event its head, all of them packed
-- into one; then for each event its record.
-- A plan is window_ms, the number of deliveries, and for each of those: number of the target, lease_ms (negative:
-- none). A head is uid, id key, id value, the body's bytes, number of the plan. Numbers count from 1.
-- Returns, for each event whose id was remembered: its number, and the value that the id has.

local HEAD, HEAD_BYTES = '<c16c16c12I4I2', 50

local now = now_ms()
local targets, packed_plans, heads, FIRST_RECORD = strings(ARGV[2], 1), ARGV[3], ARGV[4], 5

-- The commands that store what is accepted, one for all events.
local records, due, used = { 'MSET' }, {}, { 'SADD', PREFIX .. 'targets' }
local bytes = 0

local function read_plans()
  local plans, at = {}, 1
  while at <= #packed_plans do
    local window_ms, deliveries
    window_ms, deliveries, at = struct.unpack('<i8I2', packed_plans, at)
    local plan = { window_ms = window_ms, targets = {}, scores = {} }
    for i = 1, deliveries do
      local lease_ms
      plan.targets[i], lease_ms, at = struct.unpack('<I2i8', packed_plans, at)
      plan.scores[i] = lease_ms < 0 and score(now) or score_of_claimed_at_once(now + lease_ms, deliveries == 1)
    end
    -- The first whole minute after the window.
    plan.minute = string.format('%.0f', math.floor((now + window_ms) / MINUTE_MS) + 1)
    plans[#plans + 1] = plan
  end
  return plans
end

-- The key of each event's id, the values of those that are remembered, and what is to be forgotten in which minute.
local id_keys, values, forgettable = {}, {}, {}

local function read_ids()
  for number = 1, #heads / HEAD_BYTES do
    local from = (number - 1) * HEAD_BYTES + 17
    id_keys[number] = ID .. string.sub(heads, from, from + 15)
  end
  for number, value in ipairs(redis.call('MGET', unpack(id_keys))) do
    values[id_keys[number]] = value
  end
end

-- Remembers an id, or returns its value when it is remembered already, from less than the window ago.
local function remember(number, id, value, plan)
  local key = id_keys[number]
  local earlier = values[key]
  if earlier then
    -- It may be kept for longer: by a window that was longer then, or until the end of its minute.
    local first_ms, received_ms = struct.unpack('<i8', earlier), struct.unpack('<i8', value)
    -- Equal times would make an equal uid, which must never overwrite its event.
    if first_ms + plan.window_ms > received_ms or first_ms == received_ms then
      return earlier
    end
  end
  values[key] = value
  records[#records + 1] = key
  records[#records + 1] = value
  local minute = forgettable[plan.minute] or {}
  forgettable[plan.minute] = minute
  minute[#minute + 1] = id
  minute[#minute + 1] = string.sub(value, 1, 8)
  return nil
end

local function store(uid, record, body_bytes, plan)
  records[#records + 1] = EVENT .. uid
  records[#records + 1] = record
  bytes = bytes + body_bytes
  for i, target in ipairs(plan.targets) do
    local command = due[target]
    if not command then
      command = { 'ZADD', DUE .. targets[target] }
      due[target] = command
      used[#used + 1] = targets[target]
    end
    command[#command + 1] = plan.scores[i]
    command[#command + 1] = uid
  end
  if #plan.targets == 0 then
    finished[#finished + 1] = score(now)
    finished[#finished + 1] = uid
  end
end

read_ids()
local plans, duplicates = read_plans(), {}
for number = 1, #heads / HEAD_BYTES do
  local uid, id, value, body_bytes, plan = struct.unpack(HEAD, heads, (number - 1) * HEAD_BYTES + 1)
  local earlier = remember(number, id, value, plans[plan])
  if earlier then
    duplicates[#duplicates + 1] = number
    duplicates[#duplicates + 1] = earlier
  else
    store(uid, ARGV[FIRST_RECORD + number - 1], body_bytes, plans[plan])
  end
end

for minute, ids in pairs(forgettable) do
  redis.call('RPUSH', IDS .. minute, table.concat(ids))
  redis.call('ZADD', MINUTES, minute, minute)
end
for _, command in pairs(due) do
  run(command)
end
run(finished)
run(used)
if bytes > 0 then
  redis.call('INCRBY', PREFIX .. 'bytes', bytes)
end
-- Last, because Redis takes nothing back when a command fails: then no id is remembered, and what is due without
-- its event is removed by who claims it.
run(records)
return duplicates
