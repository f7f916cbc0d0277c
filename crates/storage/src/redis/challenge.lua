-- Keeps a challenge in its slot; the one that was there goes.
-- KEYS: the challenge, its slot. ARGV: the challenge, 'PXAT' or 'PX', the time of the TTL in ms.
local earlier = redis.call('GET', KEYS[2])
if earlier then
  redis.call('DEL', earlier)
end
redis.call('SET', KEYS[1], ARGV[1], ARGV[2], ARGV[3])
redis.call('SET', KEYS[2], KEYS[1], ARGV[2], ARGV[3])
return 0
