-- Takes one attempt from every bucket, or from none.
-- KEYS: the buckets, and last the time from which on this server has kept them, which it notes itself if it is not there: then it has
-- lost them. For an hour after that a bucket it does not know may have been empty, and begins at three tenths.
-- ARGV: attempt, now in ms ('' = this server's clock), margin of the TTL in ms, then for each bucket its
-- capacity, its refill interval in ms, and 1 if its last attempt locks it.
-- Answers {0, 0} if granted, {place of the first empty bucket from 1, ms until its next attempt} if not.
local now = tonumber(ARGV[2])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local attempt, margin = ARGV[1], tonumber(ARGV[3])
local kept_from = tonumber(redis.call('GET', KEYS[#KEYS]) or '')
if not kept_from then
  kept_from = now
  redis.call('SET', KEYS[#KEYS], string.format('%.0f', now))
end
local share = (now - kept_from < 3600000) and 0.3 or 1
local charged = {}
for i = 1, #KEYS - 1 do
  local capacity, refill = tonumber(ARGV[3 * i + 1]), tonumber(ARGV[3 * i + 2])
  local kept = redis.call('HMGET', KEYS[i], 'n', 'at', 'last')
  -- A repeated call of the same attempt is not charged twice.
  if kept[3] ~= attempt then
    local n, at = math.min(capacity, tonumber(kept[1]) or math.ceil(capacity * share)), tonumber(kept[2]) or now
    if now > at then
      local added = math.floor((now - at) / refill)
      n = math.min(capacity, n + added)
      at = (n == capacity) and now or (at + added * refill)
    end
    if n < 1 then
      return {i, at + refill - now}
    end
    n = n - 1
    if n == 0 and ARGV[3 * i + 3] == '1' then
      at = math.max(at, now)
    end
    charged[#charged + 1] = {KEYS[i], n, at, at + (capacity - n) * refill - now + margin}
  end
end
for _, bucket in ipairs(charged) do
  redis.call('HSET', bucket[1], 'n', string.format('%.0f', bucket[2]), 'at', string.format('%.0f', bucket[3]), 'last', attempt)
  redis.call('PEXPIRE', bucket[1], string.format('%.0f', bucket[4]))
end
return {0, 0}
