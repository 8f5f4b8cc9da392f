-- ARGV: uid. Returns the event's record, then for each of its deliveries the state, or false when it has none;
-- nothing when there is no event.

local uid = ARGV[2]
local record = redis.call('GET', EVENT .. uid)
if not record then
  return {}
end
local keys, front = { EVENT .. uid }, read_front(uid)
for _, target in ipairs(front and front.targets or {}) do
  keys[#keys + 1] = STATE .. uid .. target
end
return redis.call('MGET', unpack(keys))
