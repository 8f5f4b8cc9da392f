-- ARGV: the targets' names; the settlements' heads, packed into one; then for each settlement its attempt as it is
-- kept in a history, or empty.
-- A head is uid, number of the target (from 1), token, status to set (0 pending, 1 delivered, else the dead letter's
-- reason), wait_ms (when pending).
-- Returns the numbers (from 1) of those settlements whose lease was lost.

local HEAD, HEAD_BYTES = '<c16I2i8Bi8', 35

local now = now_ms()
local targets, heads, FIRST_ATTEMPT = strings(ARGV[2], 1), ARGV[3], 4

-- The history with one more attempt. Each is its two lengths, its facts and the head of the response;
-- only the newest keeps the head, and only the newest ATTEMPTS_KEPT are kept.
local function with_attempt(history, attempt)
  if history == '' then
    return attempt
  end
  local earlier, at = {}, 1
  while at <= #history do
    local facts_bytes, head_bytes, from = struct.unpack('<I2I2', history, at)
    earlier[#earlier + 1] = string.sub(history, from, from + facts_bytes - 1)
    at = from + facts_bytes + head_bytes
  end
  local parts = {}
  for i = math.max(1, #earlier - ATTEMPTS_KEPT + 2), #earlier do
    parts[#parts + 1] = struct.pack('<I2I2', #earlier[i], 0) .. earlier[i]
  end
  parts[#parts + 1] = attempt
  return table.concat(parts)
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

-- For each target the uids that are settled, each once, and where each is found.
local uids, places = {}, {}
for number = 1, #targets do
  uids[number], places[number] = {}, {}
end
for number = 1, #heads / HEAD_BYTES do
  local uid, target = struct.unpack('<c16I2', heads, (number - 1) * HEAD_BYTES + 1)
  if not places[target][uid] then
    table.insert(uids[target], uid)
    places[target][uid] = #uids[target]
  end
end

local deliveries = {}
for number, target in ipairs(targets) do
  deliveries[number] = load(target, uids[number])
end
local lost = {}
for number = 1, #heads / HEAD_BYTES do
  local uid, target, token, status, wait = struct.unpack(HEAD, heads, (number - 1) * HEAD_BYTES + 1)
  local delivery = deliveries[target][places[target][uid]]
  if not settle(delivery, token, status, wait, ARGV[FIRST_ATTEMPT + number - 1]) then
    lost[#lost + 1] = number
  end
end
for number, target in ipairs(targets) do
  save(target, deliveries[number], now)
end
count_settled(now)
return lost
