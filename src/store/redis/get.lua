-- ARGV: uid. Returns the event's record, then for each of its deliveries the state, or false when it has none;
-- nothing when there is no event.

local uid = ARGV[2]
local record = redis.call('GET', EVENT .. uid)
if not record then
  return {}
end
local keys = { EVENT .. uid }
for _, target in ipairs(strings(record, RECORD_HEAD_BYTES + 1, read_record_head(record) or 0)) do
  keys[#keys + 1] = STATE .. uid .. target
end
return redis.call('MGET', unpack(keys))
