-- Marks a transaction, if it is there; its TTL stays.
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('SETRANGE', KEYS[1], 0, '\1')
end
return 0
