-- Deletes an entry. KEYS: table, bell, entry. ARGV: the incarnation, a row that tells others to forget the key, the
-- number of this node.
local domain = domain_of(ARGV[1])
if not domain then return {'lost'} end
write_first()
local found = redis.pcall('GET', KEYS[3])
redis.call('UNLINK', KEYS[3])
local position, before = mint(domain, {ARGV[2]})
ring(domain, ARGV[3], before, position, {ARGV[2]})
return {'done', position, before, type(found) == 'string' and found or false}
