-- Makes everything stale: the root and the floor rise to the next position. KEYS: table, bell, history. ARGV: the
-- incarnation, who this is.
local domain = domain_of(ARGV[1])
if not domain then return {'lost'} end
write_first()
local position, before = mint(domain, {'t'})
add(position, {'!f'})
ring(domain, 0, before, position, {'t'})
note(KEYS[3], ARGV[2], position, {'t'})
return {'done', position, before}
