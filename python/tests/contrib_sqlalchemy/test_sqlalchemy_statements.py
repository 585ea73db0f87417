"""Cached statements give what they give without a cache, in the same types, and send nothing on a hit."""

import datetime as dt
import decimal
import uuid

import pytest
from sqlalchemy import Row, exists, func, lambda_stmt, literal, select, text, union_all
from sqlalchemy.orm import (
    Session,
    aliased,
    contains_eager,
    defer,
    joinedload,
    load_only,
    selectin_polymorphic,
    selectinload,
    subqueryload,
    undefer,
    with_loader_criteria,
    with_polymorphic,
)
from sqlalchemy_models import (
    Base,
    Code,
    Color,
    Engineer,
    Everything,
    Guest,
    Label,
    Money,
    Person,
    Place,
    Product,
    Review,
    product_tag,
)

from zoocache.contrib.sqlalchemy import Cached, attach

product = Product.__table__
counts = select(Review.product_id, func.count().label("n")).group_by(Review.product_id)
other = aliased(Product)
everyone = with_polymorphic(Person, "*")


def plain(value):
    """What can be compared of a value: objects as what is loaded of them."""
    if isinstance(value, Base):
        loaded = {k: v for k, v in vars(value).items() if k != "_sa_instance_state"}
        return type(value).__name__, {k: plain(v) for k, v in sorted(loaded.items())}
    if isinstance(value, (list, tuple, Row)):
        return [plain(part) for part in value]
    return type(value).__name__, value


def rows(statement):
    return lambda session: plain(
        session.execute(statement, execution_options={"cached": True}).unique().all()
    )


STATEMENTS = {
    "entities": select(Product).order_by(Product.id),
    "columns": select(Product.id, Product.name.label("n"), Product.price).order_by(Product.id),
    "where": select(Product).where(Product.name == "tea"),
    "one row": select(Product.name).where(Product.id == 2),
    "no row": select(Product.name).where(Product.id == 99),
    "in": select(Product.name).where(Product.id.in_([1, 3])).order_by(Product.id),
    "empty in": select(Product.name).where(Product.id.in_([])),
    "join": select(Product.name, Review.text).join(Review).order_by(Review.id),
    "outer join": select(Product.name, Review.text).outerjoin(Review).order_by(Product.id, Review.id),
    "secondary": select(Product.name, Label.text).join(Product.labels).order_by(Product.id, Label.id),
    "alias": select(other.name).where(other.id > 1).order_by(other.id),
    "subquery": select(Product.name, (s := counts.subquery()).c.n).join(s).order_by(Product.id),
    "cte": select(Product.name, (c := counts.cte()).c.n).join(c).order_by(Product.id),
    "exists": select(Product.name).where(exists().where(Review.product_id == Product.id)),
    "any": select(Product.name).where(Product.labels.any(Label.text == "blue")),
    "scalar subquery": select(select(func.max(Review.id)).scalar_subquery(), Product.name).order_by(
        Product.id
    ),
    "union": union_all(select(Product.name), select(Label.text)).order_by("name"),
    "aggregate": select(func.sum(Product.price), func.count()).select_from(Product),
    "core": select(product).order_by(product.c.id),
    "core secondary": select(product_tag).order_by(product_tag.c.product_id, product_tag.c.label_id),
    "joinedload": select(Product).options(joinedload(Product.reviews)).order_by(Product.id),
    "joinedload secondary": select(Product).options(joinedload(Product.labels)).order_by(Product.id),
    "selectinload": select(Product).options(selectinload(Product.reviews)).order_by(Product.id),
    "subqueryload": select(Product).options(subqueryload(Product.labels)).order_by(Product.id),
    "contains_eager": select(Product)
    .join(Product.reviews)
    .options(contains_eager(Product.reviews))
    .order_by(Product.id, Review.id),
    "load_only": select(Product).options(load_only(Product.name)).order_by(Product.id),
    "deferred": select(Product).options(defer(Product.name), undefer(Product.price)).order_by(Product.id),
    "criteria": select(Product)
    .options(selectinload(Product.reviews), with_loader_criteria(Review, Review.text == "hot"))
    .order_by(Product.id),
    "inheritance": select(Person).order_by(Person.id),
    "inheriting": select(Engineer).order_by(Engineer.id),
    "single table": select(Guest),
    "with_polymorphic": select(everyone).order_by(everyone.id),
    "selectin_polymorphic": select(Person)
    .options(selectin_polymorphic(Person, [Engineer]))
    .order_by(Person.id),
    "all types": select(Everything).order_by(Everything.id),
    "uuid": select(Everything).where(Everything.id == uuid.UUID(int=2)),
    "decimal": select(Everything.id).where(Everything.number == decimal.Decimal("12345678901.50000")),
    "datetime": select(Everything.id).where(Everything.at < dt.datetime(2027, 1, 1)),  # noqa: DTZ001
    "enum": select(Everything.color).where(Everything.color == Color.BLUE),
    "decorated": select(Everything.money).where(Everything.money == Money(995)),
    "composite": select(Place).where(Place.row == "a", Place.seat == 1),
    "lambda": lambda_stmt(lambda: select(Product.name).order_by(Product.id)),
    "several entities": select(Product, Review).join(Review).order_by(Review.id),
    "distinct": select(Review.product_id).distinct(),
    "limit": select(Product).order_by(Product.id).limit(2).offset(1),
    "same column twice": select(Product.id, Product.id, literal("x")).order_by(Product.id),
    "whole text": text("SELECT id, name FROM product ORDER BY id"),
    "textual": select(Product).from_statement(text("SELECT * FROM product ORDER BY id")),
}


def question(statement, name):
    """Ask it in a session."""
    if name in {"whole text", "textual"}:
        options = {"cached": Cached(tags=["product:*"])}
        return lambda session: plain(session.execute(statement, execution_options=options).all())
    return rows(statement)


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_hit_gives_the_same_and_sends_nothing(database, name):
    ask = question(STATEMENTS[name], name)
    expected = database.fresh(ask)
    engine = database.engine()
    attach(engine)
    with Session(engine) as session:
        assert ask(session) == expected
    # A transaction of SQLite stores what it reads first of several statements.
    with Session(engine) as session:
        assert ask(session) == expected
    database.sent.clear()
    with Session(engine) as session:
        assert ask(session) == expected
    # SQLAlchemy does not give the option to this loader, which asks the database each time.
    assert len(database.sent) == (name == "selectin_polymorphic")


WRITES = {
    "product": lambda s: s.add(Product(id=9, name="new")),
    "product row": lambda s: setattr(s.get(Product, 1), "name", "green tea"),
    "product gone": lambda s: s.delete(s.get(Product, 2)),
    "review": lambda s: s.add(Review(id=9, product_id=3, text="new")),
    "review row": lambda s: setattr(s.get(Review, 2), "text", "cold"),
    "review moved": lambda s: setattr(s.get(Review, 1), "product_id", 3),
    "orphan": lambda s: setattr(s.get(Product, 1), "reviews", []),
    "label": lambda s: setattr(s.get(Label, 2), "text", "azure"),
    "labelled": lambda s: setattr(s.get(Product, 3), "labels", [s.get(Label, 2)]),
    "unlabelled": lambda s: setattr(s.get(Product, 2), "labels", []),
    "person": lambda s: setattr(s.get(Person, 2), "name", "rob"),
    "engineer": lambda s: setattr(s.get(Engineer, 2), "language", "Rust"),
    "new engineer": lambda s: s.add(Engineer(id=9, name="new", language="C")),
    "guest": lambda s: s.delete(s.get(Guest, 3)),
    "everything": lambda s: s.add(Everything(id=uuid.UUID(int=9), color=Color.BLUE, money=Money(995))),
    "everything row": lambda s: setattr(s.get(Everything, uuid.UUID(int=2)), "money", Money(1)),
    "place": lambda s: setattr(s.get(Place, ("a", 1)), "who", "eve"),
}


@pytest.mark.parametrize("write", WRITES)
def test_every_statement_is_fresh_after_every_write(database, write):
    engine = database.engine()
    attach(engine)
    asked = {name: question(statement, name) for name, statement in STATEMENTS.items()}
    for ask in asked.values():
        with Session(engine) as session:
            ask(session)
    with Session(engine) as session:
        WRITES[write](session)
        session.commit()
    for name, ask in asked.items():
        with Session(engine) as session:
            assert ask(session) == database.fresh(ask), name


def test_get_depends_on_its_row(database):
    engine = database.engine()
    attach(engine)

    def get(key):
        with Session(engine) as session:
            found = session.get(Code, key, execution_options={"cached": True})
            return found and found.name

    with Session(engine) as session:
        session.add(Code(code="y", name="why"))
        session.commit()
    assert [get("x"), get("y"), get("z")] == ["ex", "why", None]
    with Session(engine) as session:
        session.get(Code, "x").name = "changed"
        session.add(Code(code="z", name="new"))
        session.commit()
    database.sent.clear()
    assert get("y") == "why"
    assert database.sent == []
    assert [get("x"), get("z")] == ["changed", "new"]


def test_parameters_with_different_types_are_different(database):
    engine = database.engine()
    attach(engine)
    for value in [1, True, "1", 1.0, decimal.Decimal(1), None, b"1"]:
        with engine.connect() as connection:
            statement = select(literal(value), Product.id).where(Product.id == 1)
            assert type(connection.execute(statement, execution_options={"cached": True}).one()[0]) is type(
                value
            )
