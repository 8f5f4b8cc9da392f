-- ARGV, for each settlement: uid, target, token, status to set (0 pending, 1 delivered, else the dead
-- letter's reason), wait_ms (when pending), 1 when there was an attempt, its facts, its response's head.
-- Returns for each: 1 done, 0 the lease was lost.

local now = now_ms()

local function settle(uid, target, token, status, wait_ms, attempted, facts, head)
  local event = event_key(uid)
  if not redis.call('ZSCORE', due_key(target), uid) then
    return 0
  end
  local packed = redis.call('HGET', event, 's:' .. target)
  local _, attempts, generation, history = read_state(packed)
  if generation ~= token or not is_claimed(generation) then
    return 0
  end
  if attempted then
    attempts = attempts + 1
    history = with_attempt(history, facts, head)
  end
  if status == PENDING then
    redis.call('ZADD', due_key(target), now + wait_ms, uid)
    write_state(event, target, PENDING, attempts, generation + 1, history)
  else
    finish(uid, target, status, attempts, generation + 1, history, now)
  end
  return 1
end

local results = {}
for at = 1, #ARGV, 8 do
  results[#results + 1] = settle(
    ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4]),
    ARGV[at + 5] == '1', ARGV[at + 6], ARGV[at + 7])
end
return results
