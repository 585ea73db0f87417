-- Adds rows at the next position. ARGV: the incarnation, then rows to remove (their number first), then rows to add.
local incarnation = ARGV[1]
local clock = clock_of(incarnation)
if not clock then return {'lost'} end
write_first()
local removed = tonumber(ARGV[2])
for place = 3, 2 + removed do redis.call('ZREM', V, ARGV[place]) end
local members = {}
for place = 3 + removed, #ARGV do members[#members + 1] = ARGV[place] end
local position, before = mint(incarnation, clock, members)
ring(incarnation, 0, before, position, members)
return {'done', position, before}
