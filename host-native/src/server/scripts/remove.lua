-- Removes entries that are still those that were found dead. KEYS: entries. ARGV: the number of each.
local removed = 0
for place, entry in ipairs(KEYS) do
  if redis.call('TYPE', entry).ok == 'string' and redis.call('GETRANGE', entry, 0, 15) == ARGV[place] then
    removed = removed + redis.call('UNLINK', entry)
  end
end
return removed
