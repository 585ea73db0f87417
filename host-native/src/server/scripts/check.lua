-- Is this still the process that wrote the table, on data that has not gone back, and one that may write? A replica, or a primary that has lost too
-- many of its replicas, refuses. ARGV: the incarnation, the clock that the node has seen. Says what time it is here.
local domain = domain_of(ARGV[1])
if not domain or (not MUTANT_no_rollback_check and domain.clock < tonumber(ARGV[2])) then return {'lost'} end
write_first()
return {'done', whole(now()), '0'}
