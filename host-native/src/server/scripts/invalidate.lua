-- Adds rows at the next position. ARGV: the incarnation, then rows to remove (their number first), then rows to add.
local domain = domain_of(ARGV[1])
if not domain then return {'lost'} end
write_first()
local removed = tonumber(ARGV[2])
for place = 3, 2 + removed do redis.call('ZREM', V, ARGV[place]) end
local members = {}
for place = 3 + removed, #ARGV do members[#members + 1] = ARGV[place] end
local position, before = mint(domain, members)
ring(domain, 0, before, position, members)
return {'done', position, before}
