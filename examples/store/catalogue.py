"""What the shop shows: four cached functions that call one another."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import zoocache

if TYPE_CHECKING:
    from collections.abc import Callable

    from database import Database, Location


def tag(location: Location) -> str:
    """Name a product as a path: whoever invalidates `org:1:store:2` invalidates its products, too."""
    return f"org:{location.organization}:store:{location.store}:product:{location.product}"


@dataclass(frozen=True)
class Catalogue:
    """The functions that a web application would call; cached or, for comparison, not."""

    product: Callable[[int], dict[str, Any]]
    rating: Callable[[int], float]
    store_page: Callable[[int], dict[str, Any]]
    organization_report: Callable[[int], dict[str, Any]]


def open_catalogue(database: Database, *, cached: bool) -> Catalogue:
    """Make the catalogue of a database."""
    # These functions capture their process's own database. The namespace says that they mean the same in all.
    cacheable: Any = functools.partial(zoocache.cacheable, namespace="catalogue") if cached else _as_it_is

    @cacheable
    def product(product_id: int) -> dict[str, Any]:
        sql = """SELECT product.name, cents, store, organization FROM product
                 JOIN store ON store.id = product.store WHERE product.id = ?"""
        name, cents, store, organization = database.rows(sql, product_id)[0]
        # The row says what the result depends on. It may be said late: an invalidation that came after
        # the query, and before this line, is not missed.
        zoocache.add_deps([f"org:{organization}:store:{store}:product:{product_id}"])
        return {"name": name, "price": cents / 100, "rating": rating(product_id)}

    @cacheable(deps=lambda product_id: [f"reviews:{product_id}"])
    def rating(product_id: int) -> float:
        return round(
            database.rows("SELECT avg(stars) FROM review WHERE product = ?", product_id)[0][0],
            2,
        )

    @cacheable
    def store_page(store_id: int) -> dict[str, Any]:
        organization, name = database.rows("SELECT organization, name FROM store WHERE id = ?", store_id)[0]
        # A list depends on everything below the store, also on products that are not there yet.
        zoocache.add_deps([f"org:{organization}:store:{store_id}:*"])
        ids = database.rows("SELECT id FROM product WHERE store = ? ORDER BY id", store_id)
        return {
            "name": name,
            "products": [product(product_id) for (product_id,) in ids],
        }

    @cacheable(deps=lambda organization_id: [f"org:{organization_id}"])
    def organization_report(organization_id: int) -> dict[str, Any]:
        stores = database.rows("SELECT id FROM store WHERE organization = ?", organization_id)
        # Nested calls pass on what they depend on, whether they are hits or not.
        prices = [item["price"] for (store_id,) in stores for item in store_page(store_id)["products"]]
        return {
            "stores": len(stores),
            "products": len(prices),
            "mean price": round(sum(prices) / len(prices), 2),
        }

    return Catalogue(product, rating, store_page, organization_report)


def _as_it_is(function: Any = None, **_options: object) -> Any:
    return function if function is not None else lambda function: function
