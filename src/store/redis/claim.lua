-- ARGV: bytes of records to return at most (the last one may exceed them), then for each want:
-- target, max, lease_ms.
-- Returns: the claimed, each {number of the want, uid, record, attempts, token, route, when it was last replayed};
-- for each want the milliseconds until its next delivery falls due, or false;
-- the number of waiting deliveries that had no event.

-- Of a target with more queues in question a call looks at so many, and the next one goes on.
local QUEUES_A_CALL = 256
local FIRST_TICKET = -2 ^ 52

local now = now_ms()
local budget = tonumber(ARGV[2])
local claimed, next_due, orphans = {}, {}, 0
local looks

local function give_ticket(target, route)
  local last = redis.call('ZRANGE', TURNS .. target, '(0', '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, 1, 'WITHSCORES')[2]
  redis.call('ZADD', TURNS .. target, score(last and last + 1 or FIRST_TICKET), route)
end

-- Writes down when it is a queue's turn, after it was looked at.
local function rank(queue)
  local first = redis.call('ZRANGE', queue.key, 0, 0, 'WITHSCORES')
  if not first[1] then
    redis.call('ZREM', TURNS .. queue.target, queue.route)
    redis.call('ZREM', ROUTES .. queue.target, queue.route)
  elseif first[2] == WAITS_FOR_ITS_TURN then
    redis.call('ZREM', TURNS .. queue.target, queue.route)
  elseif tonumber(first[2]) <= now then
    give_ticket(queue.target, queue.route)
  else
    redis.call('ZADD', TURNS .. queue.target, first[2], queue.route)
  end
end

-- The routes to serve next, in their order: those whose time has come go behind those that wait for longer.
local function routes_to_serve(target, max)
  for _, route in ipairs(redis.call('ZRANGE', TURNS .. target, 0, now, 'BYSCORE', 'LIMIT', 0, QUEUES_A_CALL)) do
    give_ticket(target, route)
  end
  return redis.call('ZRANGE', TURNS .. target, '-inf', '(0', 'BYSCORE', 'LIMIT', 0, max)
end

local function claim(rows, want, queue, delivery, lease_ms)
  local record = redis.call('GET', EVENT .. delivery.uid)
  if not record then
    orphans = orphans + 1
    return false
  end
  delivery.changed = true
  delivery.generation = delivery.generation + (is_claimed(delivery.generation) and 2 or 1)
  delivery.score = score(now + lease_ms)
  budget = budget - #record
  rows[#rows + 1] = {
    want, delivery.uid, record, delivery.attempts, delivery.generation, queue.route, delivery.replayed_ms,
  }
  return true
end

-- Returns what was claimed of those that have been due for longest.
local function claim_from(want, queue, max, lease_ms, rows)
  local uids = redis.call('ZRANGE', queue.key, '-inf', now, 'BYSCORE', 'LIMIT', 0, max)
  if #uids == 0 then
    return
  end
  local deliveries = load(queue, uids)
  for _, delivery in ipairs(deliveries) do
    if budget <= 0 then
      break
    end
    if not claim(rows, want, queue, delivery, lease_ms) then
      redis.call('ZREM', queue.key, delivery.uid)
      leave_group(delivery, queue, now)
    end
  end
  save(queue, deliveries, now)
end

-- The routes' deliveries alternately.
local function add_in_turn(rows_of, routes)
  local longest = 0
  for _, route in ipairs(routes) do
    longest = math.max(longest, #rows_of[route])
  end
  for i = 1, longest do
    for _, route in ipairs(routes) do
      claimed[#claimed + 1] = rows_of[route][i]
    end
  end
end

-- Shares what may be claimed among the routes; what one does not use goes to the others in the next round.
local function claim_due(want, target, max, lease_ms)
  local rows_of, served, left = {}, {}, max
  while left > 0 and budget > 0 and looks > 0 do
    local routes = routes_to_serve(target, math.min(left, looks))
    if #routes == 0 then
      break
    end
    local share = math.floor(left / #routes)
    for _, route in ipairs(routes) do
      if budget > 0 then
        local queue = queue_of(target, route)
        if not rows_of[route] then
          rows_of[route] = {}
          served[#served + 1] = route
        end
        local before = #rows_of[route]
        claim_from(want, queue, share, lease_ms, rows_of[route])
        left = left - (#rows_of[route] - before)
        rank(queue)
        looks = looks - 1
      end
    end
  end
  add_in_turn(rows_of, served)
end

-- Looks at queues until the first is the one that stands first.
local function wait_of(target)
  while looks > 0 do
    local first = redis.call('ZRANGE', TURNS .. target, 0, 0, 'WITHSCORES')
    if not first[1] then
      return false
    end
    local queue = queue_of(target, first[1])
    local due = redis.call('ZRANGE', queue.key, 0, 0, 'WITHSCORES')[2]
    if due and due ~= WAITS_FOR_ITS_TURN and (tonumber(due) <= now or tonumber(due) == tonumber(first[2])) then
      return wait_ms(due, now)
    end
    rank(queue)
    looks = looks - 1
  end
  return 0
end

for at = 3, #ARGV, 3 do
  local target, max, lease_ms = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  looks = QUEUES_A_CALL
  if max > 0 and budget > 0 then
    claim_due((at - 3) / 3, target, max, lease_ms)
  end
  next_due[#next_due + 1] = wait_of(target)
end
return { claimed, next_due, orphans }
