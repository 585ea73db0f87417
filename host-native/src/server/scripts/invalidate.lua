-- Adds rows at the next position. KEYS: table, bell, history (or not). ARGV: the incarnation, then rows to remove (their
-- number first), then rows to add, then with a history who this is.
local domain = domain_of(ARGV[1])
if not domain then return {'lost'} end
write_first()
local removed = tonumber(ARGV[2])
for place = 3, 2 + removed do redis.call('ZREM', V, ARGV[place]) end
local last = KEYS[3] and #ARGV - 1 or #ARGV
local members = {}
for place = 3 + removed, last do members[#members + 1] = ARGV[place] end
local position, before = mint(domain, members)
ring(domain, 0, before, position, members)
note(KEYS[3], ARGV[#ARGV], position, members)
return {'done', position, before}
