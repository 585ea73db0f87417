-- Is this still the process that wrote the table, and one that may write? A replica, or a primary that has lost too
-- many of its replicas, refuses. ARGV: the incarnation. Says what time it is here.
if not domain_of(ARGV[1]) then return {'lost'} end
write_first()
return {'done', whole(now()), '0'}
