-- Decides a challenge, if nobody has; the TTL stays. Answers what stands, -1 if there is no challenge.
-- KEYS: the challenge, whose fifth byte is the decision. ARGV: the decision, a number that is not 0.
local kept = redis.call('GET', KEYS[1])
if not kept then
  return -1
end
local decided = string.byte(kept, 5)
if decided == 0 then
  decided = tonumber(ARGV[1])
  redis.call('SETRANGE', KEYS[1], 4, string.char(decided))
end
return decided
