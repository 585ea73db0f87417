-- Announces a change. ARGV: the incarnation, the mark's number, for how long it stands in microseconds, its tags.
local domain = domain_of(ARGV[1])
if not domain then return {'lost'} end
write_first()
local deadline = string.format('%016.0f', math.min(now() + tonumber(ARGV[3]), 2^53 - 1))
local mark = 'm' .. ARGV[2] .. deadline .. ARGV[4]
local position, before = mint(domain, {mark})
ring(domain, 0, before, position, {mark})
return {'done', position, before, mark}
