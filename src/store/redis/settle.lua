-- ARGV: the names of routes and targets; the settlements' heads, packed into one; then for each settlement its
-- attempt as it is kept in a history, or empty.
-- A head is uid, number of the target, number of the route (from 1), token, status to set, as in a state, wait_ms (when
-- pending).
-- Returns the numbers (from 1) of those settlements whose lease was lost.

local HEAD, HEAD_BYTES = '<c16I2I2i8Bi8', 37
local ATTEMPT_LENGTHS, ATTEMPT_LENGTHS_BYTES, ATTEMPTS_KEPT = '<I2I2', 4, 256

local now = now_ms()
local names, heads, FIRST_ATTEMPT = strings(ARGV[2]), ARGV[3], 4

-- The history with one more attempt. Each is its two lengths, its facts and the head of the response;
-- only the newest keeps the head, and only the newest ATTEMPTS_KEPT are kept.
local function with_attempt(history, attempt)
  if history == '' then
    return attempt
  end
  local starts, at, facts_bytes = {}, 1, nil
  while at <= #history do
    local head_bytes
    starts[#starts + 1] = at
    facts_bytes, head_bytes = struct.unpack(ATTEMPT_LENGTHS, history, at)
    at = at + ATTEMPT_LENGTHS_BYTES + facts_bytes + head_bytes
  end
  local last = starts[#starts]
  local first = starts[math.max(1, #starts - ATTEMPTS_KEPT + 2)]
  local facts = last + ATTEMPT_LENGTHS_BYTES
  return string.sub(history, first, last - 1)
    .. struct.pack(ATTEMPT_LENGTHS, facts_bytes, 0)
    .. string.sub(history, facts, facts + facts_bytes - 1)
    .. attempt
end

-- True when it is done, false when the lease was lost.
local function settle(delivery, token, status, wait, attempt)
  if not delivery.score or delivery.generation ~= token or not is_claimed(token) then
    return false
  end
  delivery.changed = true
  delivery.generation = token + 1
  delivery.status = status
  delivery.score = status == PENDING and score(now + wait)
  if attempt ~= '' then
    delivery.attempts = delivery.attempts + 1
    delivery.history = with_attempt(delivery.history, attempt)
  end
  return true
end

-- For each queue the uids that are settled, each once, and where each is found.
local queues = {}

local function queue_for(target, route)
  local number = target * 65536 + route
  local queue = queues[number]
  if not queue then
    queue = queue_of(names[target], names[route])
    queue.uids, queue.places = {}, {}
    queues[number] = queue
  end
  return queue
end

for number = 1, #heads / HEAD_BYTES do
  local uid, target, route = struct.unpack('<c16I2I2', heads, (number - 1) * HEAD_BYTES + 1)
  local queue = queue_for(target, route)
  if not queue.places[uid] then
    local place = #queue.uids + 1
    queue.uids[place], queue.places[uid] = uid, place
  end
end

for _, queue in pairs(queues) do
  queue.deliveries = load(queue, queue.uids)
end
local lost = {}
for number = 1, #heads / HEAD_BYTES do
  local uid, target, route, token, status, wait = struct.unpack(HEAD, heads, (number - 1) * HEAD_BYTES + 1)
  local queue = queue_for(target, route)
  local delivery = queue.deliveries[queue.places[uid]]
  if not settle(delivery, token, status, wait, ARGV[FIRST_ATTEMPT + number - 1]) then
    lost[#lost + 1] = number
  end
end
for _, queue in pairs(queues) do
  save(queue, queue.deliveries, now)
end
count_settled(now)
return lost
