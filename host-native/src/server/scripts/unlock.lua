-- Gives a lock back. KEYS: lock, bell. ARGV: its token.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('UNLINK', KEYS[1])
  redis.pcall('PUBLISH', KEYS[2], 'u ' .. KEYS[1])
end
return 1
