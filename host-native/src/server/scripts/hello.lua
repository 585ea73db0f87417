-- Enters the domain: the incarnation that is there, if it is whole; else a new one.
-- ARGV: the incarnation this node has seen, its clock and the latest of its rows, a name for a new incarnation, one
-- that is not to be entered any more, marks it knows.
local seen, latest = tonumber(ARGV[2]), tonumber(ARGV[3])
local bound = binding()
-- Without it a restart with old data could not be told from going on.
if not bound then return redis.error_reply('NOPERM INFO replication tells nothing here, and zoocache needs it') end
if redis.call('TYPE', V).ok ~= 'zset' then redis.call('UNLINK', V) else write_first() end
local domain = read_clock()
if domain then
  local is_known = domain.incarnation == ARGV[1]
  local is_whole = MUTANT_ignore_binding or redis.call('ZSCORE', V, bound)
  -- The clock also of another incarnation: this node may have seen it, and been elsewhere since.
  local is_behind = domain.clock < seen or (is_known and tonumber(domain.latest) < latest)
  if is_whole and domain.incarnation ~= ARGV[5] and (MUTANT_no_rollback_check or not is_behind) then
    -- Marks that a former incarnation lost with its table.
    local lost = {}
    for place = 6, is_known and 0 or #ARGV do
      if not redis.call('ZSCORE', V, ARGV[place]) then lost[#lost + 1] = ARGV[place] end
    end
    if #lost > 0 then
      local position, before = mint(domain, lost)
      ring(domain, 0, before, position, lost)
    end
    return {domain.incarnation, whole(now()), whole(domain.clock)}
  end
end
redis.call('UNLINK', V)
local incarnation = ARGV[4]
local position = whole(math.max(now(), seen + 1, (domain and domain.clock or 0) + 1))
local floor = position
if MUTANT_keep_incarnation and string.find(ARGV[1], '[^0]') then incarnation, floor = ARGV[1], '0' end
redis.call('ZADD', V, -1, bound, position, '~c:' .. incarnation .. ':' .. position, floor, '!f')
local marks = {}
for place = 6, #ARGV do marks[#marks + 1] = ARGV[place] end
add(position, marks)
redis.pcall('PUBLISH', BELL, 'n ' .. incarnation)
return {incarnation, whole(now()), position}
