"""A shop: what mappings can be made of, in one metadata."""

import datetime as dt
import decimal
import enum
import uuid

from sqlalchemy import (
    JSON,
    Column,
    DateTime,
    Enum,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    Uuid,
    func,
    select,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, column_property, mapped_column, relationship
from sqlalchemy.types import TypeDecorator


class Base(DeclarativeBase):
    metadata = MetaData()


class Color(enum.Enum):
    RED = 1
    BLUE = 2


class Money:
    def __init__(self, cents):
        self.cents = cents

    def __eq__(self, other):
        return isinstance(other, Money) and self.cents == other.cents

    def __hash__(self):
        return hash(self.cents)


class Cents(TypeDecorator):
    impl = Integer
    cache_ok = True

    def process_bind_param(self, value, dialect):
        return None if value is None else value.cents

    def process_result_value(self, value, dialect):
        return None if value is None else Money(value)


product_tag = Table(
    "product_label",
    Base.metadata,
    Column("product_id", ForeignKey("product.id"), primary_key=True),
    Column("label_id", ForeignKey("label.id"), primary_key=True),
)


class Label(Base):
    __tablename__ = "label"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


class Review(Base):
    __tablename__ = "review"
    id: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int | None] = mapped_column(ForeignKey("product.id"))
    text: Mapped[str]


class Product(Base):
    __tablename__ = "product"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    price: Mapped[decimal.Decimal] = mapped_column(Numeric(10, 2), default=decimal.Decimal("1.50"))
    labels: Mapped[list[Label]] = relationship(secondary=product_tag, order_by=Label.id)
    reviews: Mapped[list[Review]] = relationship(order_by=Review.id, cascade="all, delete-orphan")
    review_count = column_property(
        select(func.count(Review.id))
        .where(Review.product_id == id)
        .correlate_except(Review)
        .scalar_subquery()
    )


class Person(Base):
    __tablename__ = "person"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    name: Mapped[str]
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "person"}  # noqa: RUF012 - as it is declared


class Engineer(Person):
    __tablename__ = "engineer"
    id: Mapped[int] = mapped_column(ForeignKey("person.id"), primary_key=True)
    language: Mapped[str]
    __mapper_args__ = {"polymorphic_identity": "engineer"}  # noqa: RUF012


class Guest(Person):  # of the same table
    __mapper_args__ = {"polymorphic_identity": "guest"}  # noqa: RUF012


class Everything(Base):
    __tablename__ = "everything"
    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    number: Mapped[decimal.Decimal | None] = mapped_column(Numeric(20, 5))
    ratio: Mapped[float | None] = mapped_column(Float)
    at: Mapped[dt.datetime | None] = mapped_column(DateTime)
    day: Mapped[dt.date | None]
    span: Mapped[dt.timedelta | None]
    color: Mapped[Color | None] = mapped_column(Enum(Color))
    data: Mapped[dict | list | None] = mapped_column(JSON)
    raw: Mapped[bytes | None] = mapped_column(LargeBinary)
    money: Mapped[Money | None] = mapped_column(Cents)
    yes: Mapped[bool | None]
    text: Mapped[str | None] = mapped_column(String(2000))


class Parent(Base):
    __tablename__ = "parent"
    id: Mapped[int] = mapped_column(primary_key=True)
    children: Mapped[list["Child"]] = relationship(passive_deletes=True, cascade="all, delete")


class Child(Base):
    __tablename__ = "child"
    id: Mapped[int] = mapped_column(primary_key=True)
    parent_id: Mapped[int] = mapped_column(ForeignKey("parent.id", ondelete="CASCADE"))


class Toy(Base):
    __tablename__ = "toy"
    id: Mapped[int] = mapped_column(primary_key=True)
    child_id: Mapped[int | None] = mapped_column(ForeignKey("child.id", ondelete="SET NULL"))


class Place(Base):
    """Its key has two parts and may change; others follow."""

    __tablename__ = "place"
    row: Mapped[str] = mapped_column(String(200), primary_key=True)
    seat: Mapped[int] = mapped_column(primary_key=True)
    who: Mapped[str | None]


class Code(Base):
    __tablename__ = "code"
    code: Mapped[str] = mapped_column(String(20), primary_key=True)
    name: Mapped[str | None]


class CodeUse(Base):
    __tablename__ = "code_use"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(ForeignKey("code.code", onupdate="CASCADE"))


def fill(session):
    """Put the same rows into a new database."""
    red, blue = Label(id=1, text="red"), Label(id=2, text="blue")
    tea = Product(
        id=1, name="tea", labels=[red], reviews=[Review(id=1, text="good"), Review(id=2, text="hot")]
    )
    rice = Product(id=2, name="rice", price=decimal.Decimal("2.25"), labels=[red, blue])
    session.add_all([tea, rice, Product(id=3, name="salt")])
    session.add_all(
        [Person(id=1, name="ann"), Engineer(id=2, name="bob", language="C"), Guest(id=3, name="eve")]
    )
    session.add_all([Parent(id=1, children=[Child(id=1), Child(id=2)]), Parent(id=2, children=[Child(id=3)])])
    session.flush()
    session.add_all([Toy(id=1, child_id=1), Toy(id=2, child_id=3)])
    session.add_all([Place(row="a", seat=1, who="ann"), Place(row="b", seat=2), Code(code="x", name="ex")])
    session.flush()
    session.add(CodeUse(id=1, code="x"))
    session.add_all(
        [
            Everything(id=uuid.UUID(int=1)),
            Everything(
                id=uuid.UUID(int=2),
                number=decimal.Decimal("12345678901.50000"),
                ratio=0.1,
                at=dt.datetime(2026, 2, 3, 4, 5, 6, 789),  # noqa: DTZ001 - a column without a time zone
                day=dt.date(2026, 2, 3),
                span=dt.timedelta(days=1, microseconds=5),
                color=Color.BLUE,
                data={"a": [1, 2.5, None, {"b": "c"}]},
                raw=b"\x00\xff",
                money=Money(995),
                yes=True,
                text="'ü\U0001f600",
            ),
        ]
    )
    session.commit()
