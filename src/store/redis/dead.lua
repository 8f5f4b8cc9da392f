-- ARGV: 1 for newest first, else 0; the uid after which to go on, or empty; how many uids to return, about; the first
-- and the last millisecond in which they were received; the target, or empty for all.
-- Returns: the uids of events with dead letters, in one, by when they were received; 1 when there are more.

local AT_LEAST = 8

local newest_first, after, max, first, last = ARGV[2] == '1', ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6]
local targets = ARGV[7] ~= '' and { ARGV[7] } or redis.call('SMEMBERS', TARGETS)

-- As Redis sorts them: Lua would ask the locale.
local function goes_before(a, b)
  if newest_first then
    a, b = b, a
  end
  local a1, a2, a3 = struct.unpack('>I6I5I5', a)
  local b1, b2, b3 = struct.unpack('>I6I5I5', b)
  if a1 ~= b1 then
    return a1 < b1
  end
  if a2 ~= b2 then
    return a2 < b2
  end
  return a3 < b3
end

-- So many of a target's that come after `after`; and the last of them, when there may be more.
local function read(target, count)
  local found, offset = {}, 0
  while #found < count do
    local command = { 'ZRANGE', DEAD .. target, first, last, 'BYSCORE' }
    if newest_first then
      command[3], command[4], command[6] = last, first, 'REV'
    end
    for _, word in ipairs({ 'LIMIT', offset, count }) do
      command[#command + 1] = word
    end
    local uids = redis.call(unpack(command))
    for _, uid in ipairs(uids) do
      if after == '' or goes_before(after, uid) then
        found[#found + 1] = uid
      end
    end
    if #uids < count then
      return found, nil
    end
    offset = offset + count
  end
  return found, found[#found]
end

if after ~= '' then
  if newest_first then
    last = score(received_ms(after))
  else
    first = score(received_ms(after))
  end
end
local uids, is_found, cut = {}, {}, nil
for _, target in ipairs(targets) do
  local found, last_found = read(target, math.max(AT_LEAST, math.ceil(max / #targets)))
  for _, uid in ipairs(found) do
    if not is_found[uid] then
      is_found[uid] = true
      uids[#uids + 1] = uid
    end
  end
  -- What comes after this one may not be all there is.
  if last_found and (not cut or goes_before(last_found, cut)) then
    cut = last_found
  end
end
table.sort(uids, goes_before)
while cut and goes_before(cut, uids[#uids]) do
  uids[#uids] = nil
end
return { table.concat(uids), cut and 1 or 0 }
