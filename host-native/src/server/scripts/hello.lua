-- Enters the domain: the incarnation that is there, if it is whole; else a new one.
-- ARGV: the incarnation and the clock this node has seen, a name for a new incarnation, marks it knows.
local seen = tonumber(ARGV[2])
local bound, role = binding()
if role == 'slave' then return redis.error_reply('READONLY this server is a replica') end
local top = redis.pcall('ZRANGE', V, -1, -1, 'WITHSCORES')
local latest = 0
if not top.err and #top == 2 then
  local incarnation, clock = string.match(top[1], '^~c:(%x+)$'), tonumber(top[2])
  if incarnation and clock and clock < 2^53 - 2^20 then
    latest = clock
    local is_whole = MUTANT_ignore_binding or redis.call('ZSCORE', V, bound)
    if is_whole and (MUTANT_no_rollback_check or incarnation ~= ARGV[1] or clock >= seen) then
      -- Marks that a former incarnation lost with its table.
      if incarnation ~= ARGV[1] and #ARGV > 3 then
        local lost = {}
        for place = 4, #ARGV do
          if not redis.call('ZSCORE', V, ARGV[place]) then lost[#lost + 1] = ARGV[place] end
        end
        if #lost > 0 then
          local position, before = mint(incarnation, clock, lost)
          ring(incarnation, 0, before, position, lost)
        end
      end
      return {incarnation, whole(now())}
    end
  end
end
redis.call('UNLINK', V)
local incarnation = ARGV[3]
local position = whole(math.max(now(), seen + 1, latest + 1))
local floor = position
if MUTANT_keep_incarnation and string.find(ARGV[1], '[^0]') then incarnation, floor = ARGV[1], '0' end
redis.call('ZADD', V, -1, bound, position, '~c:' .. incarnation, floor, '!f', position, '!i')
local marks = {}
for place = 4, #ARGV do marks[#marks + 1] = ARGV[place] end
add(position, marks)
redis.pcall('PUBLISH', BELL, 'n ' .. incarnation)
return {incarnation, whole(now())}
