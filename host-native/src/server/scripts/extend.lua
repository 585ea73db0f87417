-- Lets entries live on. KEYS: entries. ARGV: for how many milliseconds each, if that is longer than it lives anyway.
for place, entry in ipairs(KEYS) do
  local left = redis.call('PTTL', entry)
  if left >= 0 and left < tonumber(ARGV[place]) then redis.call('PEXPIRE', entry, ARGV[place]) end
end
return 1
