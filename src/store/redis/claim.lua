-- ARGV: bytes of bodies to return at most (the last one may exceed them), then for each want:
-- target, max, lease_ms.
-- Returns: the claimed, each {number of the want, uid, description, body, attempts, token};
-- for each want the milliseconds until its next delivery falls due, or false;
-- the number of waiting deliveries that had no event.

local now = now_ms()
local budget = tonumber(ARGV[1])
local claimed, next_due, orphans = {}, {}, 0

local function claim(want, target, lease_ms, uid)
  local event = event_key(uid)
  local row = redis.call('HMGET', event, 'm', 'b', 's:' .. target)
  if not (row[1] and row[2]) then
    redis.call('ZREM', due_key(target), uid)
    orphans = orphans + 1
    return
  end
  local _, attempts, generation, history = read_state(row[3])
  generation = generation + (is_claimed(generation) and 2 or 1)
  redis.call('ZADD', due_key(target), now + lease_ms, uid)
  write_state(event, target, PENDING, attempts, generation, history)
  budget = budget - #row[2]
  claimed[#claimed + 1] = { want, uid, row[1], row[2], attempts, generation }
end

for at = 2, #ARGV, 3 do
  local want = (at - 2) / 3
  local target, max, lease_ms = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  if max > 0 and budget > 0 then
    local due = redis.call('ZRANGE', due_key(target), '-inf', now, 'BYSCORE', 'LIMIT', 0, max)
    for _, uid in ipairs(due) do
      if budget <= 0 then
        break
      end
      claim(want, target, lease_ms, uid)
    end
  end
  local first = redis.call('ZRANGE', due_key(target), 0, 0, 'WITHSCORES')
  next_due[#next_due + 1] = first[2] and math.max(0, tonumber(first[2]) - now) or false
end
return { claimed, next_due, orphans }
