-- Enters the domain: the incarnation that is there, if it is whole; else a new one.
-- ARGV: the incarnation and the clock this node has seen, a name for a new incarnation, whether it is to be a new one in
-- any case, marks it knows.
local seen, force = tonumber(ARGV[2]), ARGV[4] == '1'
local bound = binding()
-- Without it a restart with old data could not be told from going on.
if not bound then return redis.error_reply('NOPERM INFO replication tells nothing here, and zoocache needs it') end
if redis.call('TYPE', V).ok ~= 'zset' then redis.call('UNLINK', V) else write_first() end
local top = redis.call('ZRANGE', V, -1, -1, 'WITHSCORES')
local latest = 0
if #top == 2 then
  local incarnation, clock = string.match(top[1], '^~c:(%x+)$'), tonumber(top[2])
  if incarnation and #incarnation == 32 and clock and clock < 2^53 - 2^20 then
    latest = clock
    local is_whole = MUTANT_ignore_binding or redis.call('ZSCORE', V, bound)
    -- Also of another incarnation: this node may have seen it, and been elsewhere since.
    if is_whole and not force and (MUTANT_no_rollback_check or clock >= seen) then
      -- Marks that a former incarnation lost with its table.
      if incarnation ~= ARGV[1] and #ARGV > 4 then
        local lost = {}
        for place = 5, #ARGV do
          if not redis.call('ZSCORE', V, ARGV[place]) then lost[#lost + 1] = ARGV[place] end
        end
        if #lost > 0 then
          local position, before = mint(incarnation, clock, lost)
          ring(incarnation, 0, before, position, lost)
          clock = tonumber(position)
        end
      end
      return {incarnation, whole(now()), whole(clock)}
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
for place = 5, #ARGV do marks[#marks + 1] = ARGV[place] end
add(position, marks)
redis.pcall('PUBLISH', BELL, 'n ' .. incarnation)
return {incarnation, whole(now()), position}
