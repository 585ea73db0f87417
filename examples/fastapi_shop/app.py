"""A shop: FastAPI, SQLAlchemy, and responses that are cached until what they show has changed.

    uvicorn --app-dir examples/fastapi_shop app:app --workers 2

keeps its database and its cache in the folder it is started in. The workers share both.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator  # noqa: TC003 - FastAPI reads annotations
from contextlib import asynccontextmanager
from typing import Annotated

from database import Product, Review, Sessions, create, engine
from fastapi import Depends, FastAPI, Header, HTTPException, Response
from pydantic import BaseModel
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from zoocache.contrib.fastapi import cache_endpoint, cache_lifespan

if os.environ.get("SHOP_SHOW_QUERIES"):
    logging.basicConfig(format="%(message)s")
    logging.getLogger("sqlalchemy.engine").setLevel(logging.INFO)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Make the tables."""
    await create()
    yield
    await engine.dispose()


app = FastAPI(title="Shop", lifespan=cache_lifespan(lifespan, storage_url="lmdb://./shop-cache"))


async def session() -> AsyncIterator[AsyncSession]:
    """Open a session for one request."""
    async with Sessions() as opened:
        yield opened


Session = Annotated[AsyncSession, Depends(session)]


class ProductOut(BaseModel, from_attributes=True):
    """A product as customers see it."""

    id: int
    name: str
    price: int
    version: int


class Page(BaseModel):
    """A product with its reviews."""

    product: ProductOut
    reviews: list[str]


class Change(BaseModel):
    """What becomes of a product."""

    name: str
    price: int = 100


@app.get("/products")
@cache_endpoint(http=True, cluster_lock=True)
async def products(db: Session) -> list[ProductOut]:
    """List all products. Stale as soon as any product changes: the query says what it depends on."""
    found = await db.scalars(select(Product).order_by(Product.id))
    return [ProductOut.model_validate(product) for product in found]


@app.get("/products/{product_id}")
@cache_endpoint(http=True, cluster_lock=True)
async def product(product_id: int, db: Session) -> Page:
    """Show a product."""
    found = await db.get(Product, product_id)
    if found is None:
        raise HTTPException(404, f"there is no product {product_id}")
    reviews = await db.scalars(select(Review.text).where(Review.product_id == product_id).order_by(Review.id))
    return Page(product=ProductOut.model_validate(found), reviews=list(reviews))


@app.get("/value")
@cache_endpoint(http=True)
async def value(db: Session) -> int:
    """Sum up all prices."""
    return await db.scalar(select(func.coalesce(func.sum(Product.price), 0))) or 0


@app.put("/products/{product_id}")
async def change(product_id: int, change: Change, db: Session) -> ProductOut:
    """Change a product, or add it. The commit makes stale what showed it; nothing to be done here."""
    found = await db.get(Product, product_id)
    if found is None:
        found = Product(id=product_id, version=0)
        db.add(found)
    found.name, found.price, found.version = change.name, change.price, found.version + 1
    await db.commit()
    return ProductOut.model_validate(found)


@app.post("/products/{product_id}/reviews", status_code=201)
async def review(product_id: int, text: str, db: Session) -> None:
    """Write a review."""
    db.add(Review(product_id=product_id, text=text))
    await db.commit()


def customer(authorization: Annotated[str | None, Header()] = None) -> str:
    """Find out who asks. A real shop would check a token."""
    if authorization is None:
        raise HTTPException(401, "say who you are: Authorization: NAME")
    return authorization


@app.get("/basket")
@cache_endpoint(deps=lambda name: [f"basket:{name}"], http=True)
async def basket(name: Annotated[str, Depends(customer)], response: Response) -> dict[str, str]:
    """Show a basket. It depends on who asks, so nobody gets another's."""
    response.headers["x-customer"] = name
    return {"of": name}
