-- ARGV: bytes of records to return at most (the last one may exceed them), then for each want:
-- target, max, lease_ms.
-- Returns: the claimed, each {number of the want, uid, record, attempts, token};
-- for each want the milliseconds until its next delivery falls due, or false;
-- the number of waiting deliveries that had no event.

local now = now_ms()
local budget = tonumber(ARGV[2])
local claimed, next_due, orphans = {}, {}, 0

local function claim(want, delivery, lease_ms)
  local record = redis.call('GET', EVENT .. delivery.uid)
  if not record then
    orphans = orphans + 1
    return false
  end
  delivery.changed = true
  delivery.generation = delivery.generation + (is_claimed(delivery.generation) and 2 or 1)
  delivery.score = score(now + lease_ms)
  budget = budget - #record
  claimed[#claimed + 1] = { want, delivery.uid, record, delivery.attempts, delivery.generation }
  return true
end

local function claim_due(want, target, max, lease_ms)
  local uids = redis.call('ZRANGE', DUE .. target, '-inf', now, 'BYSCORE', 'LIMIT', 0, max)
  if #uids == 0 then
    return
  end
  local deliveries = load(target, uids)
  for _, delivery in ipairs(deliveries) do
    if budget <= 0 then
      break
    end
    if not claim(want, delivery, lease_ms) then
      redis.call('ZREM', DUE .. target, delivery.uid)
    end
  end
  save(target, deliveries, now)
end

for at = 3, #ARGV, 3 do
  local target, max, lease_ms = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  if max > 0 and budget > 0 then
    claim_due((at - 3) / 3, target, max, lease_ms)
  end
  local first = redis.call('ZRANGE', DUE .. target, 0, 0, 'WITHSCORES')
  next_due[#next_due + 1] = first[2] and wait_ms(first[2], now) or false
end
return { claimed, next_due, orphans }
