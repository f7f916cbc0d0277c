-- How many ms until a bucket has an attempt; 0 if it has one. Writes nothing.
-- KEYS: the bucket. ARGV: now in ms ('' = this server's clock), capacity, refill in ms.
local kept = redis.call('HMGET', KEYS[1], 'n', 'at')
if not kept[1] then
  return 0
end
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local capacity, refill = tonumber(ARGV[2]), tonumber(ARGV[3])
local n, at = math.min(capacity, tonumber(kept[1])), tonumber(kept[2])
if now > at then
  n = math.min(capacity, n + math.floor((now - at) / refill))
end
if n > 0 then
  return 0
end
return at + refill - now
