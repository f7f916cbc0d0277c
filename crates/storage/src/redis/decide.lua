-- Puts a mark on a challenge that has none; the TTL stays. Answers the mark that stands, false if there is no challenge.
-- KEYS: the challenge, whose bytes 5 to 36 are the mark, zeroes if it has none. ARGV: the mark.
local kept = redis.call('GET', KEYS[1])
if not kept then
  return false
end
local mark = string.sub(kept, 5, 36)
if mark == string.rep('\0', 32) then
  mark = ARGV[1]
  redis.call('SETRANGE', KEYS[1], 4, mark)
end
return mark
