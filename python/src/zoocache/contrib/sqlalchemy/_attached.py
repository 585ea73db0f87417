"""What `attach` was told, and the state of an engine that follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import zoocache

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from sqlalchemy.engine import Dialect
    from sqlalchemy.engine.interfaces import ExecutionContext
    from sqlalchemy.sql.selectable import TableClause

from sqlalchemy.util import await_only

from zoocache.contrib.sqlalchemy._tags import tag_of


@dataclass(frozen=True)
class Settings:
    """What `attach` was told; see there."""

    cache: zoocache.Cache | None
    prefix: str
    name: str | None
    crash_safe: bool
    timeout: float | timedelta | str

    def tag(self, table: TableClause, context: ExecutionContext) -> str:
        """The tag of a table that a statement names."""
        schemas = context.execution_options.get("schema_translate_map") or {}
        return tag_of(table, self.prefix, schemas, context.dialect.default_schema_name)

    def invalidate(self, dialect: Dialect, tags: list[str]) -> None:
        """Invalidate tags, without blocking the event loop of an asyncio driver."""
        if not tags:
            return
        if dialect.is_async:
            invalidate = zoocache.invalidate_async if self.cache is None else self.cache.invalidate_async
            await_only(invalidate(*tags))
        else:
            (zoocache.invalidate if self.cache is None else self.cache.invalidate)(*tags)

    def commit(self, dialect: Dialect, tags: list[str], commit: Callable[[], Any]) -> None:
        """Commit, and invalidate afterwards, whatever came of it: an error may have come after the commit."""
        if self.crash_safe and tags:
            changing = zoocache.changing if self.cache is None else self.cache.changing
            block = changing(*tags, timeout=self.timeout)
            if not dialect.is_async:
                with block:
                    commit()
                return
            await_only(block.__aenter__())
            try:
                commit()
            finally:
                await_only(block.__aexit__(None, None, None))
            return
        try:
            commit()
        finally:
            self.invalidate(dialect, tags)
