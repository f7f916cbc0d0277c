-- Gives one attempt back, never above capacity. A bucket that is full with it is forgotten.
-- KEYS: the bucket. ARGV: attempt, now in ms ('' = this server's clock), margin of the TTL in ms, capacity, refill in ms.
local kept = redis.call('HMGET', KEYS[1], 'n', 'at', 'last')
if not kept[1] then
  return 0
end
local now = tonumber(ARGV[2])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local margin, capacity, refill = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local n, at = math.min(capacity, tonumber(kept[1])), tonumber(kept[2])
if now > at then
  local added = math.floor((now - at) / refill)
  n = math.min(capacity, n + added)
  at = (n == capacity) and now or (at + added * refill)
end
n = n + 1
if n >= capacity then
  redis.call('DEL', KEYS[1])
  return 1
end
redis.call('HSET', KEYS[1], 'n', string.format('%.0f', n), 'at', string.format('%.0f', at))
if kept[3] == ARGV[1] then
  redis.call('HDEL', KEYS[1], 'last')
end
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', at + (capacity - n) * refill - now + margin))
return 1
