-- What the scripts read of an event's record. It begins with a byte of version, the bytes before the body and those of
-- the body (four each), the number of deliveries (two). From version 2 on the route follows, then for each delivery its
-- target and whether it is ordered: a byte, and with 1 (a dead letter steps aside) or 2 (it holds) the group (16).
-- In version 1 only the targets follow; the route stands 48 bytes behind them. Names stand after their length: two
-- bytes, and four for the route of version 1. A newer version may change all but the version.

local RECORD_HEAD, RECORD_HEAD_BYTES, GROUP_BYTES = '<BI4I4I2', 11, 16
local NEWEST_VERSION = 3
-- Enough for the fronts of most.
local FRONT_BYTES = 512

-- Returns the number of deliveries and the body's bytes; nothing when there is no record or none that can be read.
local function read_record_head(record)
  if #record < RECORD_HEAD_BYTES then
    return nil
  end
  local version, _, body_bytes, deliveries = struct.unpack(RECORD_HEAD, record)
  if version < 1 or version > NEWEST_VERSION then
    return nil
  end
  return deliveries, body_bytes
end

local function unpack_front(record)
  local version, _, body_bytes, deliveries, at = struct.unpack(RECORD_HEAD, record)
  local front = { body_bytes = body_bytes, targets = {}, is_ordered = {} }
  if version > 1 then
    front.route, at = struct.unpack('<I2c0', record, at)
  end
  for number = 1, deliveries do
    front.targets[number], at = struct.unpack('<I2c0', record, at)
    if version > 1 then
      local order
      order, at = struct.unpack('<B', record, at)
      if order > 0 then
        front.is_ordered[number] = true
        at = at + GROUP_BYTES
      end
    end
  end
  if version == 1 then
    front.route = struct.unpack('<I4c0', record, at + 48)
  end
  return front
end

-- An event's route, targets, which of its deliveries are ordered, and its body's bytes; nothing when there is no
-- record or none that can be read. Reads no more of it than it must.
local function read_front(uid)
  local record = redis.call('GETRANGE', EVENT .. uid, 0, FRONT_BYTES - 1)
  if not read_record_head(record) then
    return nil
  end
  local read, front = pcall(unpack_front, record)
  if not read then
    local _, bytes = struct.unpack('<BI4', record)
    read, front = pcall(unpack_front, redis.call('GETRANGE', EVENT .. uid, 0, bytes - 1))
  end
  return read and front or nil
end
