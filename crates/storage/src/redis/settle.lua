-- Forgets keys, and gives attempts back to buckets, never above capacity. A bucket that is full with it is forgotten.
-- KEYS: the buckets, then the keys to forget. ARGV: now in ms ('' = this server's clock), margin of the TTL in ms, then for each bucket the
-- attempt, its capacity, its refill interval in ms.
local now, margin = tonumber(ARGV[1]), tonumber(ARGV[2])
local buckets = (#ARGV - 2) / 3
for i = buckets + 1, #KEYS do
  redis.call('DEL', KEYS[i])
end
for i = 1, buckets do
  local attempt, capacity, refill = ARGV[3 * i], tonumber(ARGV[3 * i + 1]), tonumber(ARGV[3 * i + 2])
  local kept = redis.call('HMGET', KEYS[i], 'n', 'at', 'last')
  if kept[1] then
    if not now then
      local time = redis.call('TIME')
      now = time[1] * 1000 + math.floor(time[2] / 1000)
    end
    local n, at = math.min(capacity, tonumber(kept[1])), tonumber(kept[2])
    if now > at then
      local added = math.floor((now - at) / refill)
      n = math.min(capacity, n + added)
      at = (n == capacity) and now or (at + added * refill)
    end
    n = n + 1
    if n >= capacity then
      redis.call('DEL', KEYS[i])
    else
      redis.call('HSET', KEYS[i], 'n', string.format('%.0f', n), 'at', string.format('%.0f', at))
      if kept[3] == attempt then
        redis.call('HDEL', KEYS[i], 'last')
      end
      redis.call('PEXPIRE', KEYS[i], string.format('%.0f', at + (capacity - n) * refill - now + margin))
    end
  end
end
return 0
