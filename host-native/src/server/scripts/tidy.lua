-- Forgets some rows that are too old to decide anything, raising the floor first; says how many.
-- ARGV: the incarnation, the age in microseconds, how many rows to look at, how many to pass over (marks).
if not domain_of(ARGV[1]) then return {'lost'} end
local floor = tonumber(redis.call('ZSCORE', V, '!f') or '0')
local horizon = math.max(now() - tonumber(ARGV[2]), floor)
local rows = redis.call('ZRANGEBYSCORE', V, 1, '(' .. whole(horizon), 'WITHSCORES', 'LIMIT', ARGV[4], ARGV[3])
local old, marks, last = {}, 0, floor
for place = 1, #rows, 2 do
  local kind = string.sub(rows[place], 1, 1)
  if kind == 'm' or kind == '!' or kind == '~' then
    marks = marks + 1
  else
    old[#old + 1] = rows[place]
    last = math.max(last, tonumber(rows[place + 1]))
  end
end
if #old > 0 then
  add(whole(last), {'!f'})
  redis.call('ZREM', V, unpack(old))
end
return {'done', whole(#old), whole(marks)}
