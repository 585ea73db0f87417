"""SQLAlchemy 2: invalidation of what sessions and connections change, and cached statements.

attach(engine)
session.scalars(select(User).execution_options(cached=True))
"""

from zoocache.contrib._extra import extra

with extra("sqlalchemy", "SQLAlchemy 2.0 or newer"):
    from sqlalchemy.ext.asyncio import async_sessionmaker as _new_in_2  # noqa: F401

from zoocache.contrib.sqlalchemy._attach import Attachment, attach, invalidate_after_commit
from zoocache.contrib.sqlalchemy._cached import Cached
from zoocache.contrib.sqlalchemy._tags import row_tag, table_tag

__all__ = ["Attachment", "Cached", "attach", "invalidate_after_commit", "row_tag", "table_tag"]
