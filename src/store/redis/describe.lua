-- ARGV: bytes to return about; uids. Returns for each, until there are so many bytes, {front of the record, state of
-- each delivery or false}; false for one that is not stored; an empty one when it cannot be read.

local budget = tonumber(ARGV[2])

local function describe(uid)
  local front = read_front(uid)
  if not front then
    return redis.call('EXISTS', EVENT .. uid) == 1 and {}
  end
  local _, bytes = struct.unpack('<BI4', redis.call('GETRANGE', EVENT .. uid, 0, 4))
  local found, keys = { redis.call('GETRANGE', EVENT .. uid, 0, bytes - 1) }, { 'MGET' }
  for _, target in ipairs(front.targets) do
    keys[#keys + 1] = STATE .. uid .. target
  end
  if #keys > 1 then
    for i, state in ipairs(redis.call(unpack(keys))) do
      found[i + 1] = state
    end
  end
  for _, part in ipairs(found) do
    budget = budget - (part and #part or 0)
  end
  return found
end

local described = {}
for at = 3, #ARGV do
  described[#described + 1] = describe(ARGV[at])
  if budget <= 0 then
    break
  end
end
return described
