-- Announces a change. ARGV: the incarnation, the mark's number, for how long it stands in microseconds, its tags.
local domain = domain_of(ARGV[1])
if not domain then return {'lost'} end
write_first()
local timeout = math.min(tonumber(ARGV[3]), 2^52)
local times = string.format('%016.0f%016.0f', math.min(now() + timeout, 2^53 - 1), timeout)
local mark = 'm' .. ARGV[2] .. times .. ARGV[4]
local position, before = mint(domain, {mark})
ring(domain, 0, before, position, {mark})
return {'done', position, before, mark}
