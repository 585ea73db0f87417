-- Makes everything stale: the root and the floor rise to the next position. ARGV: the incarnation.
local incarnation = ARGV[1]
local clock = clock_of(incarnation)
if not clock then return {'lost'} end
write_first()
local position, before = mint(incarnation, clock, {'t'})
add(position, {'!f'})
ring(incarnation, 0, before, position, {'t'})
return {'done', position, before}
