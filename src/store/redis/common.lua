-- What all scripts share; put before each of them.
--
-- KEYS[1] is the prefix of a shard: every key of a call begins with it, so that all are in one slot.
--   event:<uid>            an event's record: a front that the scripts read (record.lua), the rest of its description,
--                          its body
--   state:<uid><target>    a delivery's state (deliveries.lua); one without an order has none before the first claim
--                          from the store or settlement
--   settled:<uid>          how many deliveries are settled for good, while that is some and not all of them
--   due:<target>/<route>   a queue: sorted set of the unsettled uids, by the millisecond when each falls due; a claim
--                          is a score in the future, so that retry, lease and take-over are one mechanism; what waits
--                          for its turn in its group has an infinite one
--   routes:<target>        sorted set (all scores 0) of the routes that have such a queue, and maybe of some more
--   turns:<target>         sorted set of the routes with a delivery that is due or will be. A negative score is a
--                          ticket: the route with the lowest is served next. Any other is never later than when the
--                          queue's first falls due
--   group:<group>          sorted set of the uids that are unsettled or hold the group up, by their place: the order of
--                          acceptance. One at most has its turn; the first is the next to have it
--   places                 the last place that was given
--   dead:<target>          sorted set of dead letters, by the millisecond in which the event was received
--   ids:<2 bytes>          a bucket of remembered event ids: hash of 12 more bytes of the id's key, to when the event was
--                          received (6: ms), the head of its body's digest (4), the minute when it is forgotten (4).
--                          2^15 buckets, each small enough for Redis' compact form
--   forgetting             hash: how far the walk over the buckets is, see expire.lua
--   log:<minute>           the uids of the events received in that minute (since 1970), in order of acceptance
--   logs                   sorted set of those minutes
--   unlogged               hash: how many of a minute's events have been removed
--   finished               sorted set of the uids whose deliveries are all settled, by the time of the last
--   names                  set of the targets that deliveries were stored for: those gone without a trace are not in it
--   replays                hash of the replays by filter, see save_replay.lua
--   secrets                hash of those that came in handshakes, see secrets.rs
--   paused                 set of the targets that an operator has paused
--   records                sorted set (all scores 0) of the records of requests, see keep_records.lua
--   record-bodies          sorted set (all scores 0) of those requests' bodies, where one is kept
--   record-bytes           the bytes of these bodies
--   shards                 how many shards there are
--   format                 which of these layouts it is, see format.rs
--   alive                  written to learn whether the shard can be written to
--   bytes                  the bodies' bytes
--
-- A delivery's token is its generation: odd while it is claimed (also when the lease has ended), even while
-- it waits. Each claim and each settlement raises it, so that neither a late, a repeated nor an invented
-- settlement ever fits. A delivery without a state has generation 0, or 1 when it was accepted already claimed:
-- then its score is half a millisecond less (a quarter, when it is its event's only one), which is due at the same
-- whole millisecond and costs no write.
--
-- ARGV[1] is the time in milliseconds, or empty: then the server's time counts, which all gateways share.
-- What follows it is each script's own; what is packed there is little-endian. No name has a slash.

local PREFIX = KEYS[1]
local EVENT, STATE, DUE, DEAD = PREFIX .. 'event:', PREFIX .. 'state:', PREFIX .. 'due:', PREFIX .. 'dead:'
local ROUTES, TURNS, GROUP, TARGETS = PREFIX .. 'routes:', PREFIX .. 'turns:', PREFIX .. 'group:', PREFIX .. 'names'
local FINISHED, IDS, LOG, LOGS = PREFIX .. 'finished', PREFIX .. 'ids:', PREFIX .. 'log:', PREFIX .. 'logs'
local MINUTE_MS, UID_BYTES = 60000, 16
local WAITS_FOR_ITS_TURN = 'inf'

-- Lua can unpack some 8000.
local ARGUMENTS_MAX = 4000

-- Runs a command that takes any number of arguments after its head, which is two words unless told, in parts where
-- they are very many; not at all where there are none.
local function run(command, head_words)
  local head, count = head_words or 2, #command
  if count <= ARGUMENTS_MAX then
    return count > head and redis.call(unpack(command))
  end
  for first = head + 1, count, ARGUMENTS_MAX do
    local part = { unpack(command, 1, head) }
    for i = first, math.min(first + ARGUMENTS_MAX - 1, count) do
      part[#part + 1] = command[i]
    end
    redis.call(unpack(part))
  end
end

local function now_ms()
  if ARGV[1] ~= '' then
    return tonumber(ARGV[1])
  end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- As text, since Redis would write a number with 17 digits and at some cost.
local function score(due_ms)
  return string.format('%.0f', due_ms)
end

-- How long until a score's whole millisecond, as Redis takes it; zero when it has come.
local function wait_ms(score, now)
  return math.max(0, math.ceil(tonumber(score)) - now)
end

-- Strings that were packed one after the other, each after its length.
local function strings(packed)
  local found, from = {}, 1
  while from <= #packed do
    found[#found + 1], from = struct.unpack('<I2c0', packed, from)
  end
  return found
end

-- Where the deliveries of a route to a target wait.
local function queue_of(target, route)
  return { target = target, route = route, key = DUE .. target .. '/' .. route }
end

-- A delivery of this queue falls due at this score.
local function lower_turn(queue, due)
  if redis.call('ZADD', TURNS .. queue.target, 'LT', due, queue.route) == 1 then
    redis.call('ZADD', ROUTES .. queue.target, 0, queue.route)
    redis.call('SADD', TARGETS, queue.target)
  end
end

-- When an event was received, which its uid begins with.
local function received_ms(uid)
  return (struct.unpack('>I6', uid))
end
