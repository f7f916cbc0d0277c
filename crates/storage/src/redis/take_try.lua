-- Takes one try, if one is left; the TTL stays. Answers the challenge as it was before.
-- KEYS: the challenge. Its first four bytes are the tries, the most significant first.
local kept = redis.call('GET', KEYS[1])
if not kept then
  return false
end
local tries = struct.unpack('>I4', kept)
if tries > 0 then
  redis.call('SETRANGE', KEYS[1], 0, struct.pack('>I4', tries - 1))
end
return kept
