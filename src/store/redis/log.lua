-- ARGV: 1 for newest first, else 0; the minute to read, or empty; how many of its uids were read before (newest first:
-- where they began; negative: none); how many to read at most; the first and the last minute that may be told.
-- Returns: the uids, in one; what to give as the third argument next, or false when the minute has no more;
-- the next minute with a log, or false.

local newest_first, minute, offset, max = ARGV[2] == '1', ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local first, last = ARGV[6], ARGV[7]

local function read()
  local count = math.floor(redis.call('STRLEN', LOG .. minute) / UID_BYTES)
  local from, to
  if newest_first then
    to = offset < 0 and count or math.min(offset, count)
    from = math.max(0, to - max)
  else
    from = math.max(0, offset)
    to = math.min(count, from + max)
  end
  if from >= to then
    return '', false
  end
  local uids = redis.call('GETRANGE', LOG .. minute, from * UID_BYTES, to * UID_BYTES - 1)
  if newest_first then
    local reversed = {}
    for at = #uids - UID_BYTES + 1, 1, -UID_BYTES do
      reversed[#reversed + 1] = string.sub(uids, at, at + UID_BYTES - 1)
    end
    return table.concat(reversed), from > 0 and from
  end
  return uids, to < count and to
end

local uids, next_offset = '', false
if minute ~= '' then
  uids, next_offset = read()
end
local next
if newest_first then
  next = redis.call('ZRANGE', LOGS, minute == '' and last or '(' .. minute, first, 'BYSCORE', 'REV', 'LIMIT', 0, 1)[1]
else
  next = redis.call('ZRANGE', LOGS, minute == '' and first or '(' .. minute, last, 'BYSCORE', 'LIMIT', 0, 1)[1]
end
return { uids, next_offset, next or false }
