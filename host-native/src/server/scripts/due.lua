-- Settles a mark whose deadline has passed. KEYS: table, bell, history (or not). ARGV: the incarnation, the mark, its deadline (0 if it has been seen for as long
-- as it stands: the clock here may have been ahead when it was announced), rows to add, of which the last says that it
-- was settled.
local domain = domain_of(ARGV[1])
if not domain then return {'lost'} end
-- Settled already. Where neither stands the table was lost with the mark: nobody but its holders know of the change.
if redis.call('ZSCORE', V, ARGV[#ARGV]) then return {'gone'} end
local left = tonumber(ARGV[3]) - now()
if left > 0 then return {'early', whole(left)} end
redis.call('ZREM', V, ARGV[2])
local members = {}
for place = 4, #ARGV do members[#members + 1] = ARGV[place] end
local position, before = mint(domain, members)
ring(domain, 0, before, position, members)
note(KEYS[3], 'the deadline of a change', position, members)
return {'done', position, before}
